use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use subiteya::sandbox::Options;
use url::Url;

use super::{CREATOR_INFO, Fixture, KEY, SECRET};

const VERIFIER: &str = "abcdefghijklmnopqrstuvwxyz0123456789-._~ABCDEFG";
const CHALLENGE: &str = "4c3a770bec0fa3768a0cad4183eba43fbf2767d622a940f64e8443f7a1e86875";
const REDIRECT: &str = "http://127.0.0.1:4000/callback/";

fn authorize(fixture: &Fixture, changes: &[(&str, &str)]) -> Url {
    let mut query = HashMap::from([
        ("client_key", KEY),
        ("response_type", "code"),
        ("scope", "user.info.basic,video.publish"),
        ("redirect_uri", REDIRECT),
        ("state", "s t&te"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    query.extend(changes.iter().copied());
    Url::parse_with_params(&fixture.url("/v2/auth/authorize/"), query).unwrap()
}

fn answer(response: &reqwest::Response) -> HashMap<String, String> {
    let location = Url::parse(response.headers()["location"].to_str().unwrap()).unwrap();
    assert!(location.as_str().starts_with(REDIRECT));
    location.query_pairs().into_owned().collect()
}

async fn token(fixture: &Fixture, fields: &[(&str, &str)]) -> (u16, Value) {
    let mut form = HashMap::from([("client_key", KEY), ("client_secret", SECRET)]);
    form.extend(fields.iter().copied());
    let response = fixture.http.post(fixture.url("/v2/oauth/token/")).form(&form).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn refresh(fixture: &Fixture, refresh_token: &str) -> Value {
    token(fixture, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await.1
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

#[tokio::test]
async fn a_consent_becomes_a_code_and_a_code_becomes_tokens_once() {
    let fixture = Fixture::new().await;
    let url = authorize(&fixture, &[]);
    let page = fixture.http.get(url.clone()).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("video.publish"));
    let form = [("name", "ada"), ("decision", "approve")];
    let back = answer(&fixture.http.post(url).form(&form).send().await.unwrap());
    assert_eq!((back["state"].as_str(), back["scopes"].as_str()), ("s t&te", "user.info.basic,video.publish"));

    let exchange = |verifier: &'static str, redirect: &'static str| {
        let (fixture, code) = (&fixture, back["code"].clone());
        async move {
            let fields = [
                ("grant_type", "authorization_code"),
                ("code", code.as_str()),
                ("redirect_uri", redirect),
                ("code_verifier", verifier),
            ];
            token(fixture, &fields).await
        }
    };
    let other = "a different verifier is what this one is----";
    assert_eq!(exchange(VERIFIER, "http://127.0.0.1:4001/callback/").await.1["error"], "invalid_grant");
    assert_eq!(exchange(other, REDIRECT).await.1["error"], "invalid_request", "a space is not unreserved");
    let (status, tokens) = exchange(VERIFIER, REDIRECT).await;
    assert_eq!((status, &tokens["expires_in"], &tokens["refresh_expires_in"]), (200, &json!(7200), &json!(15_552_000)));
    assert_eq!((text(&tokens, "token_type"), text(&tokens, "scope")), ("Bearer", "user.info.basic,video.publish"));
    assert_eq!(exchange(VERIFIER, REDIRECT).await.1["error"], "invalid_grant", "a code is good once");

    let info = fixture.http.get(fixture.url("/v2/user/info/?fields=open_id,display_name"));
    let info: Value = info.bearer_auth(text(&tokens, "access_token")).send().await.unwrap().json().await.unwrap();
    assert_eq!(info["data"]["user"], json!({"open_id": tokens["open_id"], "display_name": "ada"}));
}

#[tokio::test]
async fn a_login_can_be_refused_by_the_user_or_approve_itself() {
    let fixture = Fixture::with(|options: &mut Options| options.auto_approve = Some("ada".into())).await;
    assert!(answer(&fixture.http.get(authorize(&fixture, &[])).send().await.unwrap()).contains_key("code"));
    let form = [("name", "ada"), ("decision", "refuse")];
    let back = answer(&fixture.http.post(authorize(&fixture, &[])).form(&form).send().await.unwrap());
    assert_eq!((back["error"].as_str(), back["state"].as_str()), ("access_denied", "s t&te"));
}

#[tokio::test]
async fn a_wrong_authorize_request_is_told_where_it_is_safe() {
    let fixture = Fixture::new().await;
    for (name, value) in [
        ("client_key", "other"),
        ("redirect_uri", "http://127.0.0.1/callback/"),
        ("redirect_uri", "http://example.org/callback/"),
        ("redirect_uri", "https://example.org/callback/?a=b"),
        ("redirect_uri", "nothing"),
    ] {
        let response = fixture.http.get(authorize(&fixture, &[(name, value)])).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers().get("location")), (400, None), "{name} {value}");
    }
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("scope", "everything", "invalid_scope"),
        ("state", "", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "TDp3C-wPo3aKDK1Bg-ukP78nZ9YiqUD2ToRD96HoaHU", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
    ] {
        let response = fixture.http.get(authorize(&fixture, &[(name, value)])).send().await.unwrap();
        assert_eq!(answer(&response)["error"], error, "{name} {value}");
    }
}

#[tokio::test]
async fn a_refresh_kills_the_refresh_token_it_used_and_nothing_else() {
    let fixture = Fixture::new().await;
    let ada = fixture.creator("ada").await;
    let second = refresh(&fixture, &ada.refresh_token).await;
    assert_eq!(refresh(&fixture, &ada.refresh_token).await["error"], "invalid_grant");
    assert_eq!(fixture.code(&ada, CREATOR_INFO, &json!({})).await.0, 200, "the old access token lives on");
    let third = refresh(&fixture, text(&second, "refresh_token")).await;
    assert_ne!(text(&third, "refresh_token"), text(&second, "refresh_token"));
    fixture.sandbox.advance(Duration::from_secs(180 * 24 * 3600)).unwrap();
    assert_eq!(refresh(&fixture, text(&third, "refresh_token")).await["error"], "invalid_grant");
}

#[tokio::test]
async fn grace_family_and_status_of_refreshes_are_readings() {
    let fixture = Fixture::with(|options| {
        options.refresh_grace = Duration::from_secs(60);
        options.readings.refresh_kills_access_token = true;
        options.readings.reuse_kills_family = true;
        options.readings.oauth_refusal_is_200 = true;
    })
    .await;
    let ada = fixture.creator("ada").await;
    let second = refresh(&fixture, &ada.refresh_token).await;
    assert_eq!(fixture.code(&ada, CREATOR_INFO, &json!({})).await.0, 401);
    let again = refresh(&fixture, &ada.refresh_token).await;
    assert_eq!(
        text(&again, "access_token"),
        text(&second, "access_token"),
        "within the grace the same pair comes again"
    );
    fixture.sandbox.advance(Duration::from_secs(61)).unwrap();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", ada.refresh_token.as_str())];
    let (status, refused) = token(&fixture, &fields).await;
    assert_eq!((status, text(&refused, "error")), (200, "invalid_grant"));
    assert_eq!(refresh(&fixture, text(&second, "refresh_token")).await["error"], "invalid_grant", "the family is dead");
}

#[tokio::test]
async fn oauth_refusals_are_flat_and_name_what_is_wrong() {
    let fixture = Fixture::new().await;
    let (status, refused) = token(&fixture, &[("client_secret", "wrong"), ("grant_type", "refresh_token")]).await;
    assert_eq!((status, text(&refused, "error")), (400, "invalid_client"));
    assert!(!text(&refused, "error_description").is_empty() && !text(&refused, "log_id").is_empty());
    assert_eq!(token(&fixture, &[("grant_type", "password")]).await.1["error"], "unsupported_grant_type");
    assert_eq!(token(&fixture, &[("grant_type", "refresh_token")]).await.1["error"], "invalid_request");
    let as_json = fixture.http.post(fixture.url("/v2/oauth/token/")).json(&json!({"client_key": KEY}));
    assert_eq!(as_json.send().await.unwrap().json::<Value>().await.unwrap()["error"], "invalid_request");
}

#[tokio::test]
async fn a_revoked_authorization_takes_all_tokens_of_the_user_with_it() {
    let fixture = Fixture::new().await;
    let (ada, other, bob) = (fixture.creator("ada").await, fixture.creator("ada").await, fixture.creator("bob").await);
    let form = [("client_key", KEY), ("client_secret", SECRET), ("token", ada.access_token.as_str())];
    let response = fixture.http.post(fixture.url("/v2/oauth/revoke/")).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(fixture.code(&ada, CREATOR_INFO, &json!({})).await, (401, "access_token_invalid".into()));
    assert_eq!(refresh(&fixture, &other.refresh_token).await["error"], "invalid_grant");
    assert_eq!(fixture.code(&bob, CREATOR_INFO, &json!({})).await.0, 200);
    let again = fixture.creator("ada").await;
    assert_eq!(again.open_id, ada.open_id);
    assert_eq!(fixture.code(&again, CREATOR_INFO, &json!({})).await.0, 200);
}

#[tokio::test]
async fn redirect_addresses_can_be_registered_with_any_port() {
    let fixture = Fixture::with(|options| options.redirect_uris = vec!["http://127.0.0.1:*/callback/".into()]).await;
    for (redirect, status) in
        [(REDIRECT, 200), ("http://127.0.0.1:9/callback/", 200), ("http://127.0.0.1:9/other/", 400)]
    {
        let response = fixture.http.get(authorize(&fixture, &[("redirect_uri", redirect)])).send().await.unwrap();
        assert_eq!(response.status(), status, "{redirect}");
    }
}
