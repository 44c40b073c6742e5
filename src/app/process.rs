//! A running process: its loops, its HTTP server, and the way in which they end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::metering::{self, Metering};
use super::signals::Signals;
use super::{Exit, Failure, files, parts};
use crate::account::connect::Connect;
use crate::account::{Tokens, Vault};
use crate::config::Config;
use crate::event::Stage;
use crate::ffmpeg::Tools;
use crate::health::Health;
use crate::http::{self, AppState};
use crate::ledger::Ledger;
use crate::media::Media;
use crate::relay::{self, Dispatch};
use crate::stage::Acks;
use crate::stage::publish::{Confirm, Publish, Publisher};
use crate::stage::{Engine, Stop, Times, Work, due, edit::Edit, streamed};
use crate::stream::Streams;
use crate::tiktok::client::Client;
use crate::trace;
use crate::upkeep::{self, Retention};
use crate::webhook::Webhooks;

/// A loop that was silent for so long hangs: each turns every second, but for what it waits for in a store.
const SILENCE: Duration = Duration::from_secs(120);

/// How often the spool is looked through.
const SPOOL: Duration = Duration::from_secs(600);

/// The stores and the loops over them.
pub(super) struct Process {
    pub(super) config: Config,
    pub(super) ledger: Ledger,
    pub(super) media: Media,
    pub(super) dispatch: Dispatch,
    pub(super) health: Health,
    pub(super) stop: Stop,
    /// Cancelled after the loops have ended.
    metered: CancellationToken,
    loops: JoinSet<&'static str>,
    traces: Option<trace::Exporter>,
    server: Option<(AppState, tokio::task::JoinHandle<std::io::Result<()>>)>,
}

impl Process {
    /// `name` stands in the count of Redis commands.
    pub(super) fn new(
        config: Config,
        ledger: Ledger,
        media: Media,
        streams: Option<Streams>,
        name: &'static str,
    ) -> Self {
        let dispatch = Dispatch::new(streams, config.stages.clone());
        let metered = CancellationToken::new();
        let traces = config.traces.as_ref().and_then(|traces| trace::begin(traces, name, ledger.clone()));
        let mut loops = JoinSet::new();
        let metering = Metering {
            ledger: ledger.clone(),
            meter: dispatch.streams().map(|streams| streams.meter().clone()),
            budget: dispatch.budget().clone(),
            cap: config.redis.metered_commands(),
        };
        let counting = metering::run(metering, name, metered.clone());
        loops.spawn(async move {
            counting.await;
            "metering"
        });
        Self {
            dispatch,
            config,
            ledger,
            media,
            health: Health::default(),
            stop: Stop::default(),
            metered,
            loops,
            traces,
            server: None,
        }
    }

    fn engine(&self, stage: Stage) -> Engine {
        Engine {
            ledger: self.ledger.clone(),
            dispatch: self.dispatch.clone(),
            config: self.config.stages.of(stage).clone(),
            times: Times::default().paced(),
            stop: self.stop.clone(),
            health: self.health.clone(),
            acks: Acks::default(),
        }
    }

    fn run(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.health.watch(name, SILENCE);
        self.loops.spawn(async move {
            work.await;
            name
        });
    }

    pub(super) fn relay(&mut self) {
        if self.dispatch.streams().is_some() {
            let engine = self.engine(Stage::Edit);
            self.run("relay", relay::run(engine));
        }
    }

    /// Leftovers, and what was kept long enough.
    pub(super) fn upkeep(&mut self) {
        let retention = Retention::of(&self.config.stages);
        let tidying = upkeep::run(self.ledger.clone(), self.media.clone(), retention, self.stop.reading.clone());
        self.loops.spawn(async move {
            tidying.await;
            "upkeep"
        });
    }

    /// What processes left in the spool that have died since.
    pub(super) fn tend_spool(&mut self, tools: &Tools) {
        let Some(spool) = tools.setup().held.clone() else { return };
        let stop = self.stop.reading.clone();
        self.loops.spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(SPOOL) => {}
                    () = stop.cancelled() => return "spool",
                }
                let spool = spool.clone();
                if let Ok(Err(error)) = tokio::task::spawn_blocking(move || spool.tidy()).await {
                    tracing::warn!(%error, "the spool could not be tidied up");
                }
            }
        });
    }

    fn streamed<W: Work>(&mut self, name: &'static str, work: W) {
        let Some(streams) = self.dispatch.streams().cloned() else { return };
        let reading = streamed::Reading { block: self.config.redis.block };
        let engine = self.engine(W::STAGE);
        self.run(name, streamed::work(engine, Arc::new(work), streams, reading));
    }

    pub(super) fn edit(&mut self, work: Edit) {
        self.streamed("edit", work);
    }

    pub(super) fn publish(&mut self, publisher: Publisher) {
        self.streamed("publish", Publish(publisher.clone()));
        if self.dispatch.streams().is_some() {
            let engine = self.engine(Stage::Confirm);
            self.run("confirm", due::work(engine, Arc::new(Confirm(publisher))));
        }
    }

    pub(super) async fn serve(&mut self, tools: Arc<Tools>) -> Result<std::net::SocketAddr, Failure> {
        self.opens_tokens().await?;
        files::may_be_many();
        let http = &self.config.http;
        let listener = TcpListener::bind((http.host.as_str(), http.port));
        let listener = listener.await.map_err(|error| not_listening(&http.host, http.port, &error))?;
        let local = listener.local_addr().map_err(|error| Failure::failed(error.to_string()))?;
        let state = AppState::new(http::Parts {
            ledger: self.ledger.clone(),
            media: self.media.clone(),
            dispatch: self.dispatch.clone(),
            stages: self.config.stages.clone(),
            http: self.config.http.clone(),
            monthly_commands: self.config.redis.metered_commands(),
            tools,
            health: self.health.clone(),
            connect: self.connect().await?,
            closing: CancellationToken::new(),
        });
        let sampling = http::keep_history(state.clone(), self.stop.reading.clone());
        self.loops.spawn(async move {
            sampling.await;
            "history"
        });
        let server = tokio::spawn(http::serve(listener, http::router(state.clone()), state.clone()));
        self.server = Some((state, server));
        Ok(local)
    }

    /// TikTok's login, where there is an app at TikTok.
    async fn connect(&self) -> Result<Option<Connect>, Failure> {
        let Some((client, vault)) = self.tiktok().await? else { return Ok(None) };
        Ok(Some(Connect::new(self.ledger.clone(), vault, client)))
    }

    /// What TikTok tells us unasked.
    pub(super) async fn webhooks(&mut self) -> Result<(), Failure> {
        let Some((client, vault)) = self.tiktok().await? else { return Ok(()) };
        let ledger = self.ledger.clone();
        let webhooks = Webhooks { tokens: Tokens::new(ledger.clone(), vault, client), ledger };
        self.run("webhooks", webhooks.run(self.health.clone(), self.stop.reading.clone()));
        Ok(())
    }

    /// With another installation's key it would connect accounts that no publisher can open, and answer webhooks for none.
    async fn opens_tokens(&self) -> Result<(), Failure> {
        let Some(keys) = &self.config.keys else { return Ok(()) };
        parts::opens_tokens(&self.config, &self.ledger, &*parts::vault(&self.config, &self.ledger, keys).await?).await
    }

    /// An editor opens no token, so it works on; but whoever set its key should know before a publisher ends over it.
    pub(super) async fn warns_of_its_key(&self) -> Result<(), Failure> {
        match self.opens_tokens().await {
            Err(failure) if failure.exit == Exit::Configuration => {
                tracing::warn!(
                    "{}; editing needs no token and goes on, `serve` and `work publish` end over it",
                    failure.message
                );
                Ok(())
            }
            other => other,
        }
    }

    async fn tiktok(&self) -> Result<Option<(Client, Arc<Vault>)>, Failure> {
        let (Some(config), Some(keys)) = (&self.config.tiktok, &self.config.keys) else { return Ok(None) };
        if config.app.is_none() {
            return Ok(None);
        }
        Ok(Some((parts::client(config)?, parts::vault(&self.config, &self.ledger, keys).await?)))
    }

    /// Until a signal, then to the end: nothing new is read, running work has its deadline, the rest is handed back.
    pub(super) async fn until_stopped(mut self, signals: &mut Signals) -> Result<(), Failure> {
        let mut failure = None;
        tokio::select! {
            () = signals.next() => tracing::info!("stopping; a second signal ends it now"),
            // Without Redis there are none; the HTTP server alone is no reason to end.
            text = first_to_end(&mut self.loops), if !self.loops.is_empty() => {
                tracing::error!(text, "the process can't go on");
                failure = Some(Failure::failed(format!("{text}; the log says why")));
            }
        }
        let (stop, deadline) = (self.stop.clone(), self.config.shutdown);
        if signals.stop(&stop, deadline, self.end()).await.is_none() {
            return Err(Failure::failed(
                "ended by a second signal; what was running is taken over when its lease is over",
            ));
        }
        failure.map_or(Ok(()), Err)
    }

    async fn end(mut self) {
        if let Some((state, server)) = self.server.take() {
            state.closing.cancel();
            // Requests under way are finished; who keeps a connection open does not hold up the end.
            tokio::select! {
                ended = server => if let Ok(Err(error)) = ended { tracing::warn!(%error, "the HTTP server ended badly") },
                () = self.stop.working.cancelled() => {}
            }
        }
        // The meter is the last to end: it counts what the others, and the connections, send at theirs.
        while self.loops.len() > 1 {
            self.loops.join_next().await;
        }
        if let Some(traces) = self.traces.take() {
            traces.end().await;
        }
        if let Some(streams) = self.dispatch.streams() {
            streams.close().await;
        }
        self.metered.cancel();
        while self.loops.join_next().await.is_some() {}
    }

    /// The tools and, for publishing, the way to TikTok.
    pub(super) async fn publisher(&self, client: Client) -> Result<Publisher, Failure> {
        let keys = self.config.keys.as_ref().ok_or_else(|| Failure::failed("ENCRYPTION_KEY is not set"))?;
        let vault = parts::vault(&self.config, &self.ledger, keys).await?;
        parts::opens_tokens(&self.config, &self.ledger, &vault).await?;
        Ok(parts::publisher(&self.config, &self.ledger, &self.dispatch, &self.media, (client, vault)))
    }
}

/// A loop that ends before it is told to, or panics: whoever keeps the process running starts it anew.
async fn first_to_end(loops: &mut JoinSet<&'static str>) -> String {
    match loops.join_next().await {
        Some(Ok(name)) => format!("the loop {name} ended"),
        Some(Err(error)) => format!("a loop of the process broke: {error}"),
        None => "nothing runs".to_owned(),
    }
}

/// Names the variable that has to change: a port that is taken stays so until somebody looks.
fn not_listening(host: &str, port: u16, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let text = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "PORT: something listens on {host}:{port} already; stop it, or set PORT to another one (0: any that is free)"
        ),
        ErrorKind::PermissionDenied => {
            format!("PORT: listening on {host}:{port} is not allowed ({error}); set PORT to one above 1023")
        }
        _ => format!(
            "HOST: {host} can't be listened on ({error}); expected an address of this machine; set it like HOST=127.0.0.1 \
             or HOST=0.0.0.0"
        ),
    };
    Failure::new(Exit::Configuration, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pitfall_24_a_loop_that_panics_or_ends_is_noticed_while_others_go_on() {
        let mut loops = JoinSet::new();
        loops.spawn(std::future::pending());
        loops.spawn(async { "relay" });
        assert_eq!(first_to_end(&mut loops).await, "the loop relay ended");
        loops.spawn(async { panic!("as the test wants it") });
        let text = first_to_end(&mut loops).await;
        assert!(text.starts_with("a loop of the process broke") && text.contains("as the test wants it"), "{text}");
    }
}
