//! A TikTok sandbox: the Content Posting API (Direct Post by FILE_UPLOAD) and Login Kit's OAuth over HTTP, as strict as
//! TikTok's documents, for whoever writes a client. It says which rule a client broke, it breaks on request, and it
//! remembers what it was asked and what was posted.
//!
//! All it knows is a `State`: creators, token pairs, tasks (one for each publish id, see `task`) and posts. The state
//! is what comes of applying the entries of an append-only `journal`, which is written before anything is answered; so a sandbox
//! that was killed goes on where it was. Time is its own `clock`'s.
//!
//! A request enters through `call`: a fault that was asked for may meet it (`fault`, with `cut` for broken
//! connections), then the handler of its path decides on the state in one step: `direct_post` for creator info,
//! init and status, `upload` for chunks, `oauth` and `authorize` for logins. What became of it is a
//! `record::Call` in the journal. A refusal carries the rule's name in the header `X-Sandbox-Rule`.
//!
//! `webhook` tells what happened to whoever asked for it. `admin` has the sandbox's own routes, under `/sandbox/`, and `page` what people look at.

mod admin;
mod answer;
mod app;
mod authorize;
mod avatar;
mod call;
mod clock;
mod creator;
mod cut;
mod direct_post;
mod fault;
mod fields;
mod journal;
mod oauth;
mod options;
mod page;
mod record;
mod state;
mod task;
mod upload;
mod video;
mod webhook;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http::{HeaderValue, header};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use self::creator::{CreatorSpec, Tokens};
pub use self::fault::{Action, BadFault, Fault, Target};
pub use self::options::{Abandoned, AfterComplete, Limits, Options, RangeAnswer, Readings, StoredAgain};
pub use self::record::{Call, Filter, Kind, Post};
pub use self::webhook::{Delivery, Event};

use self::app::App;
use self::clock::Clock;
use self::cut::{Cuttable, Peer};
use self::journal::{Entry, Journal};
use self::state::State;
use self::webhook::Webhooks;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the sandbox can't listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the sandbox listens on loopback addresses only, and {0} is none; it must be allowed expressly")]
    Remote(SocketAddr),
    #[error("the sandbox can't use the folder {folder}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error("another sandbox uses the folder {0}")]
    InUse(PathBuf),
    #[error("the sandbox can't read or write its journal {path}")]
    Journal { path: PathBuf, source: io::Error },
    #[error("the scale of the sandbox's clock is {0}, and must be more than 0")]
    Scale(f64),
    #[error("{0}")]
    Failed(String),
}

/// A running sandbox. Dropping it stops it, too, but waits for nothing.
pub struct Sandbox {
    app: Arc<App>,
    address: SocketAddr,
    serving: Option<JoinHandle<io::Result<()>>>,
}

impl Sandbox {
    /// Reads the journal in the folder, listens, and serves until it is shut down or dropped.
    pub async fn start(options: Options) -> Result<Self, Error> {
        if !options.listen.ip().is_loopback() && !options.remote {
            return Err(Error::Remote(options.listen));
        }
        if !(options.clock_scale.is_finite() && options.clock_scale > 0.0) {
            return Err(Error::Scale(options.clock_scale));
        }
        let (folder, scale) = (options.folder.clone(), options.clock_scale);
        let opened = tokio::task::spawn_blocking(move || open(&folder, scale)).await;
        let (state, journal, clock) = opened.map_err(|error| Error::Failed(error.to_string()))??;

        let listening = |source| Error::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let (told, queue) = mpsc::unbounded_channel();
        let webhooks = Webhooks::new(options.webhook_url.clone(), told);
        let app = Arc::new(App::new(options, format!("http://{address}"), state, journal, (clock, webhooks)));
        tokio::spawn(webhook::run(app.clone(), queue));
        let service = router(app.clone()).into_make_service_with_connect_info::<Peer>();
        let closing = app.closing.clone();
        let serve =
            axum::serve(Cuttable(listener), service).with_graceful_shutdown(async move { closing.cancelled().await });
        let serving = tokio::spawn(serve.into_future());
        Ok(Self { app, address, serving: Some(serving) })
    }

    /// The address it listens on, with the port it really has.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What to set `TIKTOK_API_URL` and `TIKTOK_AUTH_URL` to: `http://127.0.0.1:PORT`, no slash at the end.
    pub fn base_url(&self) -> &str {
        &self.app.base_url
    }

    /// Makes the creator, or finds them by their name and changes what `spec` sets, and gives them a new token pair.
    /// Pairs that they have already stay alive.
    pub async fn grant(&self, spec: &CreatorSpec) -> Result<Tokens, Error> {
        let tokens = self.app.grant(spec).map_err(failed)?;
        self.app.sync().await.map_err(failed)?;
        Ok(tokens)
    }

    /// Asks for more faults.
    pub fn add_faults(&self, faults: Vec<Fault>) {
        self.app.faults.add(faults);
    }

    pub fn clear_faults(&self) {
        self.app.faults.clear();
    }

    /// Sets the sandbox's clock forward.
    pub fn advance(&self, by: Duration) -> Result<(), Error> {
        self.app.advance(by).map_err(failed)
    }

    /// The person takes the app's permission away, as in TikTok's own settings.
    pub async fn revoke(&self, open_id: &str) -> Result<(), Error> {
        self.app.revoke(open_id).map_err(failed)?;
        self.app.sync().await.map_err(failed)
    }

    /// Where webhooks go from now on. None: there are none.
    pub fn send_webhooks_to(&self, url: Option<url::Url>) {
        self.app.webhooks.aim(url);
    }

    /// Sends an event that need not have happened.
    pub fn send_webhook(&self, event: Event) {
        self.app.webhooks.send(event);
    }

    /// What became of the webhooks so far, in the order in which they were done with.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.app.webhooks.deliveries()
    }

    /// All posts, oldest first.
    pub fn posts(&self) -> Vec<Post> {
        self.app.look(|state, _| state.posts.clone())
    }

    /// The recorded calls that `filter` takes, in the order in which they were answered.
    pub async fn record(&self, filter: Filter) -> Result<Vec<Call>, Error> {
        self.app.calls(filter).await.map_err(failed)
    }

    /// Takes no more requests, ends those that hang, and gives the folder free.
    pub async fn shutdown(mut self) {
        self.app.closing.cancel();
        if let Some(serving) = self.serving.take() {
            let stop = serving.abort_handle();
            if tokio::time::timeout(Duration::from_secs(5), serving).await.is_err() {
                stop.abort();
            }
        }
        self.app.close();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.app.close();
    }
}

fn failed(refusal: answer::Refusal) -> Error {
    Error::Failed(refusal.message.into_owned())
}

/// Makes the folder, takes it, reads what is in it, and goes on with its clock.
fn open(folder: &Path, scale: f64) -> Result<(State, Journal, Clock), Error> {
    let unusable = |source| Error::Folder { folder: folder.to_owned(), source };
    let videos = folder.join("videos");
    std::fs::create_dir_all(&videos).map_err(unusable)?;
    let mut state = State::default();
    let mut journal = Journal::open(folder, |entry| state.apply(entry))?;
    let clock = Clock::start(state.clock, scale);
    journal
        .append(&[Entry::Clock(clock.anchor())])
        .map_err(|source| Error::Journal { path: folder.to_owned(), source })?;
    for video in std::fs::read_dir(&videos).map_err(unusable)? {
        let video = video.map_err(unusable)?;
        if state.is_dead(&video.file_name().to_string_lossy(), clock.now()) {
            std::fs::remove_dir_all(video.path()).map_err(unusable)?;
            continue;
        }
        // Bodies that didn't come in whole before the last end.
        for chunk in std::fs::read_dir(video.path()).map_err(unusable)? {
            let chunk = chunk.map_err(unusable)?.path();
            if chunk.extension().is_some_and(|extension| extension == "part") {
                std::fs::remove_file(&chunk).map_err(unusable)?;
            }
        }
    }
    Ok((state, journal, clock))
}

fn router(app: Arc<App>) -> Router {
    let calls = [
        ("/v2/post/publish/creator_info/query/", MethodFilter::POST, Kind::CreatorInfo),
        ("/v2/post/publish/video/init/", MethodFilter::POST, Kind::Init),
        ("/v2/post/publish/status/fetch/", MethodFilter::POST, Kind::Status),
        ("/v2/oauth/token/", MethodFilter::POST, Kind::Token),
        ("/v2/oauth/revoke/", MethodFilter::POST, Kind::Revoke),
        ("/v2/user/info/", MethodFilter::GET, Kind::Userinfo),
        ("/v2/auth/authorize/", MethodFilter::GET.or(MethodFilter::POST), Kind::Authorize),
        ("/upload/{digits}", MethodFilter::PUT, Kind::Chunk),
    ];
    let handler = |kind: Kind, app: Arc<App>| {
        move |ConnectInfo(peer): ConnectInfo<Peer>, request: Request| call::answer(app.clone(), kind, peer, request)
    };
    let mut router = admin::routes().with_state(app.clone());
    for (path, method, kind) in calls {
        router = router.route(path, on(method, handler(kind, app.clone())));
    }
    router
        .method_not_allowed_fallback(handler(Kind::Unknown, app.clone()))
        .fallback(handler(Kind::Unknown, app.clone()))
        .layer(axum::middleware::map_response(move |response: Response| dated(app.clone(), response)))
}

/// `Date` on every answer, by the sandbox's clock.
async fn dated(app: Arc<App>, mut response: Response) -> Response {
    let date = record::time(app.clock.now()).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::try_from(date) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}
