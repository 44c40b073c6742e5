//! The consent page, `/v2/auth/authorize/`. A request that is wrong about who asks or where to go back to is told so on the
//! page; everything else goes back to the redirect address, as an answer or as an error.

use std::collections::HashMap;

use axum::response::IntoResponse;
use http::{Method, StatusCode, header};
use url::Url;

use super::answer::Refusal;
use super::app::App;
use super::call::{Done, Received};
use super::clock::millis;
use super::creator::{Creator, hex};
use super::journal::Entry;
use super::oauth::Code;
use super::page;

/// A well-formed request for consent.
struct Asked {
    redirect: Url,
    redirect_uri: String,
    scopes: Vec<String>,
    code_challenge: Option<String>,
}

const CODE_LIFETIME: std::time::Duration = std::time::Duration::from_mins(10);
const SCOPES: [&str; 7] = [
    "user.info.basic",
    "user.info.profile",
    "user.info.stats",
    "video.list",
    "video.upload",
    "video.publish",
    "artist.certification.read",
];

pub(super) async fn authorize(app: &App, received: &mut Received, body: &[u8]) -> Result<Done, Refusal> {
    let query = received.parts.uri.query().unwrap_or_default();
    let asked_for: HashMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let asked = match Asked::of(app, &asked_for)? {
        Ok(asked) => asked,
        Err((redirect, refusal)) => {
            received.call.outcome = refusal.code.to_string();
            received.call.rule = refusal.rule.map(str::to_owned);
            return Ok(back(
                redirect,
                &[("error", &refusal.code), ("error_description", &refusal.message)],
                &asked_for,
            ));
        }
    };
    let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let posted = received.parts.method == Method::POST;
    let name = if posted { form.get("name") } else { app.options.auto_approve.as_ref() };
    let Some(name) = name else {
        let names = app.look(|state, _| state.creators.values().map(|creator| creator.name.clone()).collect());
        return Ok(Done::Whole(page::consent(&asked.scopes, names)));
    };
    if posted && form.get("decision").is_none_or(|decision| decision != "approve") {
        received.call.outcome = "access_denied".into();
        let error = [("error", "access_denied"), ("error_description", "The user did not give consent")];
        return Ok(back(asked.redirect, &error, &asked_for));
    }
    let granted = granted(&asked.scopes, body);
    let (code, scopes) = (hex(&rand::random::<[u8; 24]>()), granted.join(","));
    received.call.open_id = app.step(|state, now| {
        let fresh = Creator::new(name, app.options.audited);
        let open_id = fresh.open_id.clone();
        let mut entries = vec![];
        if !state.creators.contains_key(&open_id) {
            entries.push(Entry::Creator(fresh));
        }
        entries.push(Entry::Code(Code {
            code: code.clone(),
            open_id: open_id.clone(),
            scopes: granted,
            redirect_uri: asked.redirect_uri,
            code_challenge: asked.code_challenge,
            expires_at: now + millis(CODE_LIFETIME),
        }));
        Ok((entries, Some(open_id)))
    })?;
    app.sync().await?;
    Ok(back(asked.redirect, &[("code", &code), ("scopes", &scopes)], &asked_for))
}

/// The person may grant less than was asked for. A form that leaves the choice out grants it all.
fn granted(asked: &[String], body: &[u8]) -> Vec<String> {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    let has = |wanted: &str, value: &str| form.iter().any(|(name, given)| name == wanted && given == value);
    let choice = has("chosen", "yes");
    asked.iter().filter(|scope| !choice || has("scope", scope)).cloned().collect()
}

/// A redirect with these and the state.
fn back(mut redirect: Url, answer: &[(&str, &str)], asked_for: &HashMap<String, String>) -> Done {
    redirect.query_pairs_mut().extend_pairs(answer);
    redirect.query_pairs_mut().append_pair("state", asked_for.get("state").map_or("", String::as_str));
    Done::Whole((StatusCode::SEE_OTHER, [(header::LOCATION, redirect.to_string())]).into_response())
}

fn refused(code: &'static str, rule: &'static str, message: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, message).rule(rule)
}

impl Asked {
    /// `Err`: to be told on the page; `Ok(Err)`: to be told to the redirect address.
    fn of(app: &App, asked_for: &HashMap<String, String>) -> Result<Result<Self, (Url, Refusal)>, Refusal> {
        let get = |name: &str| asked_for.get(name).map_or("", String::as_str);
        if get("client_key") != app.options.client_key {
            return Err(refused("unauthorized_client", "client", "The client_key is unknown (it is not client_id)"));
        }
        let redirect_uri = get("redirect_uri");
        let (redirect, desktop) = redirect(redirect_uri)?;
        let registered = &app.options.redirect_uris;
        if !registered.is_empty() && !registered.iter().any(|uri| is_same(uri, redirect_uri, &redirect)) {
            return Err(refused("invalid_request", "redirect_uri", "The redirect_uri is not registered"));
        }
        let told = |code, rule, message| Ok(Err((redirect.clone(), refused(code, rule, message))));
        if get("response_type") != "code" {
            return told("unsupported_response_type", "response_type", "The response_type is not code");
        }
        let scopes: Vec<String> =
            get("scope").split(',').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        if scopes.is_empty() || scopes.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
            return told("invalid_scope", "scope", "The scope is not a comma separated list of known scopes");
        }
        if get("state").is_empty() {
            return told("invalid_request", "state", "The state is missing");
        }
        let challenge = get("code_challenge");
        if challenge.is_empty() && desktop {
            return told("invalid_request", "code_challenge", "The code_challenge is missing");
        }
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let well_formed = challenge.len() == 64 && challenge.bytes().all(hexadecimal);
        let right = challenge.is_empty() || (well_formed && get("code_challenge_method") == "S256");
        if !right {
            let message = "The code_challenge is not the lower-case hex of a SHA-256, or its method not S256";
            return told("invalid_request", "code_challenge", message);
        }
        Ok(Ok(Self {
            redirect,
            redirect_uri: redirect_uri.to_owned(),
            scopes,
            code_challenge: Some(challenge.to_owned()).filter(|challenge| !challenge.is_empty()),
        }))
    }
}

/// The redirect address if it obeys the rules of Login Kit, and whether they were those for desktop.
fn redirect(uri: &str) -> Result<(Url, bool), Refusal> {
    let bad = |message| refused("invalid_request", "redirect_uri", message);
    let url = Url::parse(uri).map_err(|_| bad("The redirect_uri is missing or not a URL"))?;
    if url.query().is_some() || url.fragment().is_some() || uri.len() >= 512 {
        return Err(bad("The redirect_uri has a query or a fragment or is too long"));
    }
    let desktop = matches!(url.host_str(), Some("localhost" | "127.0.0.1"));
    // `Url` drops a scheme's own port, so the text is asked.
    let authority = uri.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (desktop, url.scheme()) {
        (true, "http" | "https") if port => Ok((url, true)),
        (true, "http" | "https") => Err(bad("The redirect_uri has no port")),
        (false, "https") => Ok((url, false)),
        _ => Err(bad("The redirect_uri is neither https nor on localhost or 127.0.0.1")),
    }
}

fn is_same(registered: &str, uri: &str, url: &Url) -> bool {
    let any_port = url.port_or_known_default().map(|port| registered.replacen(":*", &format!(":{port}"), 1));
    registered == uri || any_port.is_some_and(|registered| registered == uri)
}
