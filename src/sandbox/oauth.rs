//! Login Kit's token part. A consent gives a [`Code`], a code gives a [`Grant`] (an access token and a refresh token), and each
//! refresh token gives one successor: it is used up by that, and whoever comes with it again is told `invalid_grant`.

use std::collections::HashMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Refusal, invalid};
use super::app::App;
use super::call::{Done, Received};
use super::clock::millis;
use super::creator::{Tokens, hex};
use super::journal::Entry;
use super::options::Options;
use super::state::{RefreshToken, State};

/// Given to the redirect address, good for one exchange.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Code {
    pub(super) code: String,
    pub(super) open_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) redirect_uri: String,
    /// Lower-case hex of the verifier's SHA-256: TikTok's form, not RFC 7636's.
    pub(super) code_challenge: Option<String>,
    pub(super) expires_at: i64,
}

/// A token pair.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) open_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) access_token: String,
    pub(super) access_expires: i64,
    pub(super) refresh_token: String,
    pub(super) refresh_expires: i64,
    pub(super) issued_at: i64,
    /// The code it was exchanged for.
    pub(super) code: Option<String>,
    /// The refresh token that it follows.
    pub(super) replaces: Option<String>,
}

impl Grant {
    pub(super) fn new(open_id: String, scopes: Vec<String>, options: &Options, now: i64) -> Self {
        Self {
            open_id,
            scopes,
            access_token: format!("act.{}", hex(&rand::random::<[u8; 24]>())),
            access_expires: now + millis(options.access_token_lifetime),
            refresh_token: format!("rft.{}", hex(&rand::random::<[u8; 24]>())),
            refresh_expires: now + millis(options.refresh_token_lifetime),
            issued_at: now,
            code: None,
            replaces: None,
        }
    }

    pub(super) fn tokens(&self, display_name: String, now: i64) -> Tokens {
        let seconds = |expires: i64| u64::try_from((expires - now) / 1000).unwrap_or(0);
        Tokens {
            open_id: self.open_id.clone(),
            display_name,
            access_token: self.access_token.clone(),
            refresh_token: self.refresh_token.clone(),
            expires_in: seconds(self.access_expires),
            refresh_expires_in: seconds(self.refresh_expires),
            scope: self.scopes.join(","),
        }
    }

    fn answer(&self, now: i64) -> Value {
        let Tokens { open_id, access_token, refresh_token, expires_in, refresh_expires_in, scope, .. } =
            self.tokens(String::new(), now);
        json!({
            "access_token": access_token, "expires_in": expires_in,
            "refresh_token": refresh_token, "refresh_expires_in": refresh_expires_in,
            "open_id": open_id, "scope": scope, "token_type": "Bearer",
        })
    }
}

/// A form's fields, and how to refuse it.
struct Asked<'a> {
    app: &'a App,
    fields: HashMap<String, String>,
}

impl<'a> Asked<'a> {
    fn of(app: &'a App, received: &Received, body: &[u8]) -> Result<Self, Refusal> {
        let asked = Self { app, fields: url::form_urlencoded::parse(body).into_owned().collect() };
        if received.content_type() != "application/x-www-form-urlencoded" {
            let refusal = asked.refusal("invalid_request", "The Content-Type is not application/x-www-form-urlencoded");
            return Err(refusal.rule("content_type"));
        }
        if !app.is_client(asked.required("client_key")?, asked.required("client_secret")?) {
            return Err(asked.refusal("invalid_client", "Client key or secret is incorrect").rule("client"));
        }
        Ok(asked)
    }

    fn refusal(&self, code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
        let ok = self.app.options.readings.oauth_refusal_is_200;
        Refusal::new(if ok { StatusCode::OK } else { StatusCode::BAD_REQUEST }, code, message)
    }

    fn required(&self, name: &str) -> Result<&str, Refusal> {
        let value = self.fields.get(name).filter(|value| !value.is_empty());
        let missing = || self.refusal("invalid_request", format!("The field {name} is missing")).rule("field_missing");
        value.map(String::as_str).ok_or_else(missing)
    }
}

pub(super) async fn token(app: &App, received: &mut Received, body: &[u8]) -> Result<Done, Refusal> {
    let asked = Asked::of(app, received, body)?;
    let grant_type = asked.required("grant_type")?;
    received.call.grant_type = Some(grant_type.chars().take(64).collect());
    let answer = app.step(|state, now| match grant_type {
        "authorization_code" => exchange(&asked, state, now),
        "refresh_token" => refresh(&asked, state, now),
        _ => Err(asked.refusal("unsupported_grant_type", "The grant_type is not supported").rule("grant_type")),
    });
    // Also a refusal may have killed something.
    app.sync().await?;
    let (open_id, answer) = answer?;
    received.call.open_id = open_id;
    answer.map(Done::Flat)
}

/// Whose it was, and the answer.
type Answered = (Option<String>, Result<Value, Refusal>);

fn exchange(asked: &Asked<'_>, state: &State, now: i64) -> Result<(Vec<Entry>, Answered), Refusal> {
    let refused = |message: &'static str| asked.refusal("invalid_grant", message);
    let redirect_uri = asked.required("redirect_uri")?;
    let Some(code) = state.codes.get(asked.required("code")?) else {
        return Err(refused("The code is unknown or was used").rule("code"));
    };
    if now >= code.expires_at {
        return Err(refused("The code has expired"));
    }
    if redirect_uri != code.redirect_uri {
        return Err(refused("The redirect_uri is not the one of the authorization").rule("redirect_uri"));
    }
    if let Some(challenge) = &code.code_challenge {
        let verifier = asked.required("code_verifier")?;
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
            let message = "The code_verifier is not 43 to 128 unreserved characters";
            return Err(asked.refusal("invalid_request", message).rule("code_verifier"));
        }
        if hex(&Sha256::digest(verifier.as_bytes())) != *challenge {
            return Err(refused("The code_verifier does not match the code_challenge").rule("code_verifier"));
        }
    }
    let mut grant = Grant::new(code.open_id.clone(), code.scopes.clone(), &asked.app.options, now);
    grant.code = Some(code.code.clone());
    let answer = grant.answer(now);
    Ok((vec![Entry::Grant(grant)], (Some(code.open_id.clone()), Ok(answer))))
}

fn refresh(asked: &Asked<'_>, state: &State, now: i64) -> Result<(Vec<Entry>, Answered), Refusal> {
    let options = &asked.app.options;
    let token = asked.required("refresh_token")?;
    match state.refresh_token(token, now) {
        RefreshToken::Good(old) => {
            let mut grant = Grant::new(old.open_id.clone(), old.scopes.clone(), options, now);
            grant.replaces = Some(token.to_owned());
            let answer = grant.answer(now);
            let mut entries = vec![Entry::Grant(grant)];
            if options.readings.refresh_kills_access_token {
                entries.push(Entry::AccessDead { access_token: old.access_token.clone() });
            }
            Ok((entries, (Some(old.open_id.clone()), Ok(answer))))
        }
        RefreshToken::Used(successor) => {
            let open_id = Some(successor.open_id.clone());
            if now < successor.issued_at + millis(options.refresh_grace) {
                return Ok((vec![], (open_id, Ok(successor.answer(now)))));
            }
            let refusal = asked.refusal("invalid_grant", "The refresh token was used before");
            let mut entries = vec![];
            if options.readings.reuse_kills_family {
                entries.push(Entry::Revoked { open_id: successor.open_id.clone() });
            }
            Ok((entries, (open_id, Err(refusal))))
        }
        RefreshToken::Bad => Err(asked.refusal("invalid_grant", "The refresh token is unknown, expired or revoked")),
    }
}

/// Takes the authorization of the token's owner back: all their tokens die.
pub(super) async fn revoke(app: &App, received: &mut Received, body: &[u8]) -> Result<Done, Refusal> {
    let asked = Asked::of(app, received, body)?;
    let token = asked.required("token")?;
    received.call.open_id = app.step(|state, _| {
        let Some(open_id) = state.owner(token).map(str::to_owned) else {
            return Err(asked.refusal("invalid_request", "The token is not an access token").rule("token_unknown"));
        };
        Ok((vec![Entry::Revoked { open_id: open_id.clone() }], Some(open_id)))
    })?;
    app.sync().await?;
    Ok(Done::Flat(json!({})))
}

pub(super) fn user_info(app: &App, received: &mut Received) -> Result<Done, Refusal> {
    let query = received.parts.uri.query().unwrap_or_default();
    let fields = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "fields");
    let fields = fields.map(|(_, value)| value.into_owned()).unwrap_or_default();
    let open_id = received.bearer().ok().and_then(|token| app.look(|state, _| state.owner(token).map(str::to_owned)));
    received.call.open_id = open_id;
    let token = received.bearer()?;
    let user = app.look(|state, now| {
        let grant = state.authorized(token, &["user.info.basic"], now)?;
        let creator = state.creators.get(&grant.open_id);
        let creator = creator.ok_or_else(|| Refusal::internal("a token without a creator"))?;
        let mut user = serde_json::Map::new();
        for field in fields.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let value = match field {
                "open_id" | "union_id" => creator.open_id.clone(),
                "display_name" => creator.display_name.clone(),
                "avatar_url" | "avatar_url_100" | "avatar_large_url" => {
                    format!("{}/sandbox/creators/{}/avatar", app.base_url, creator.open_id)
                }
                "username" | "bio_description" | "profile_deep_link" | "profile_web_link" | "is_verified" => {
                    state.authorized(token, &["user.info.profile"], now)?;
                    creator.username()
                }
                _ => return Err(invalid("fields", format!("The field {field:?} is invalid"))),
            };
            user.insert(field.to_owned(), value.into());
        }
        if user.is_empty() {
            return Err(invalid("fields", "The query parameter fields is missing"));
        }
        Ok(user)
    })?;
    Ok(Done::Data(json!({"user": user})))
}
