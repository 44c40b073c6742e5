//! `accounts connect`: TikTok's login in a browser of this machine, whose answer comes to a port of our own. The server is
//! asked for the address before, and is brought the answer after, so this works with any server.

use std::io::IsTerminal;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::client::Api;
use super::print::{self, cell};
use crate::app::{Exit, Failure, Manner, Output};

/// How long the login is good for at the server, too.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long the page with the outcome may take to reach the browser.
const GOODBYE: Duration = Duration::from_secs(2);

/// TikTok's answer as the browser brought it, and where the page that it gets is waited for.
type Brought = (String, oneshot::Sender<String>);

pub(super) async fn run(
    api: &Api,
    account: Option<&str>,
    port: u16,
    no_browser: bool,
    manner: Manner,
) -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        Failure::failed(format!("port {port} of this machine can't be listened on: {error}; choose another --port"))
    })?;
    let port = listener.local_addr().map_err(|error| Failure::failed(error.to_string()))?.port();
    let redirect_uri = format!("http://127.0.0.1:{port}/callback/");
    let mut asked = vec![("redirectUri", redirect_uri.as_str())];
    asked.extend(account.map(|id| ("accountId", id)));
    if manner.dry_run {
        return print::line(&format!("would begin a login at TikTok that comes back to {redirect_uri}"));
    }
    let login = api.get(&["api", "accounts", "connect"], &asked).await?;
    let address = cell(&login, "url");
    let state = state_of(&address).ok_or_else(|| Failure::failed("the server gave no address to go to"))?;

    let (bring, mut brought) = mpsc::channel::<Brought>(1);
    let server = Router::new().route("/callback/", get(take)).with_state((state, bring));
    let closing = CancellationToken::new();
    let closed = closing.clone().cancelled_owned();
    let serving = tokio::spawn(axum::serve(listener, server).with_graceful_shutdown(closed).into_future());
    let opened = !no_browser && open(&address);
    eprintln!("{}", if opened { "TikTok's page opens in your browser:" } else { "open this address in a browser:" });
    eprintln!("{}", print::printable(&address));
    eprintln!("waiting for your answer there, up to ten minutes (Ctrl-C ends it)");

    let waited = tokio::time::timeout(PATIENCE, brought.recv()).await;
    let Ok(Some((answer, page))) = waited else {
        let text = "nobody answered at TikTok within ten minutes, so nothing was connected; run it again";
        return Err(Failure::failed(text));
    };
    let done = bring_on(api, &answer).await;
    let said = match &done {
        Ok(account) => format!("{} is connected. You can close this page.", cell(account, "displayName")),
        Err(failure) => format!("Nothing was connected: {}", failure.message),
    };
    page.send(said).ok();
    closing.cancel();
    // Whoever keeps the connection open does not hold us up.
    tokio::time::timeout(GOODBYE, serving).await.ok();
    let account = done?;
    match manner.output {
        Output::Json => print::json(&account),
        Output::Table => {
            print::line(&format!("{}  {}  connected", cell(&account, "id"), cell(&account, "displayName")))
        }
    }
}

/// Takes the answer to the server, which alone can make something of it.
async fn bring_on(api: &Api, answer: &str) -> Result<Value, Failure> {
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(answer.as_bytes()).into_owned().collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let done = api.get(&["api", "accounts", "callback"], &fields).await;
    match done {
        Ok(body) => Ok(body.get("account").cloned().unwrap_or_default()),
        Err(failure) if failure.exit == Exit::Unavailable => Err(failure),
        Err(failure) => Err(Failure::failed(failure.message)),
    }
}

/// Only what answers our own question is taken: anything on this machine may knock here.
async fn take(
    State((state, bring)): State<(String, mpsc::Sender<Brought>)>,
    RawQuery(query): RawQuery,
) -> (StatusCode, Html<String>) {
    let query = query.unwrap_or_default();
    let ours = url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "state" && value == state);
    if !ours {
        return (StatusCode::BAD_REQUEST, page("This is no answer to the login that is waited for."));
    }
    let (tell, told) = oneshot::channel();
    if bring.try_send((query, tell)).is_err() {
        return (StatusCode::CONFLICT, page("This login is answered already."));
    }
    let said = told.await.unwrap_or_else(|_| "The command was ended.".to_owned());
    (StatusCode::OK, page(&said))
}

fn page(text: &str) -> Html<String> {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>SubiteYa</title><p>{text}</p></html>"
    ))
}

fn state_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.query_pairs().find(|(name, _)| name == "state").map(|(_, value)| value.into_owned())
}

/// Whether a browser was asked to open it: only for a person at a desk.
fn open(address: &str) -> bool {
    let desk = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|set| !set.is_empty()));
    if !desk || !std::io::stderr().is_terminal() {
        return false;
    }
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet =
        Command::new(opener).arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    quiet.is_ok()
}
