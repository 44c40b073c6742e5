//! Connecting an account, from the server's door to TikTok's page and back.

use std::collections::HashMap;
use std::sync::Arc;

use reqwest::Response;
use secrecy::ExposeSecret;
use serde_json::Value;
use subiteya::account::connect::{Answer, Bearer, Connect, ConnectError};
use subiteya::account::{self, NewTokens, Vault};
use subiteya::config::EncryptionKeys;
use subiteya::event::Stage;
use subiteya::ledger::{AccountState, Ledger, Status, TaskRow, VideoPatch};
use subiteya::limit;
use subiteya::outcome::Reason;
use subiteya::sandbox::{Filter, Kind, Options, Sandbox};
use subiteya::seal::KeyRing;
use subiteya::stage::publish::chunks::{ChunkPlan, ChunkRules};
use subiteya::stage::publish::{record, row::Publication};
use subiteya::task::{State, Task};
use url::Url;

use crate::fixture::{Server, client_of, vault};

struct World {
    server: Server,
    sandbox: Sandbox,
    _folder: tempfile::TempDir,
}

/// Where a person stands before they decide at TikTok's page, and what their browser keeps.
struct Visit {
    page: Url,
    cookie: Option<String>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = Options::new(folder.path().join("sandbox"), "key", "secret");
        options.fsync = false;
        let sandbox = Sandbox::start(options).await.expect("a sandbox");
        Self { server: Server::at_tiktok(&sandbox).await, sandbox, _folder: folder }
    }

    /// Of a browser that is signed in as alice.
    async fn session(&self) -> String {
        let body = serde_json::json!({ "key": self.server.alice });
        let request = self.server.client.post(self.server.url("/api/session")).header("origin", self.server.origin());
        let answer = request.json(&body).send().await.expect("an answer");
        cookie_of(&answer).expect("a cookie")
    }

    async fn begin(&self, key: &str, query: &str) -> Response {
        self.server.get(key, &format!("/api/accounts/connect{query}")).await
    }

    async fn visit(&self, key: &str, query: &str) -> Visit {
        let answer = self.begin(key, query).await;
        assert_eq!(answer.status(), 303);
        Visit { page: location(&answer), cookie: cookie_of(&answer) }
    }

    /// What a person does at TikTok's page, and the address to which it sends them back.
    async fn decide(&self, visit: &Visit, form: &[(&str, &str)]) -> Url {
        let answer = self.server.client.post(visit.page.clone()).form(form).send().await.expect("an answer");
        assert_eq!(answer.status(), 303);
        location(&answer)
    }

    async fn back(&self, url: &Url, key: Option<&str>, cookies: &[&str], page: bool) -> Response {
        let mut request = self.server.client.get(url.clone());
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        request.header("accept", if page { "text/html" } else { "*/*" }).send().await.expect("an answer")
    }

    /// The whole way, with a key. HTTP status and body.
    async fn connect(&self, key: &str, query: &str, name: &str) -> (u16, Value) {
        let visit = self.visit(key, query).await;
        let back = self.decide(&visit, &[("name", name), ("decision", "approve")]).await;
        told(self.back(&back, Some(key), &[], false).await).await
    }

    async fn remove(&self, id: &str) -> (u16, Value) {
        let request = self.server.client.delete(self.server.url(&format!("/api/accounts/{id}")));
        told(request.bearer_auth(&self.server.alice).send().await.expect("an answer")).await
    }

    async fn accounts(&self, key: &str) -> Vec<Value> {
        let body: Value = self.server.get(key, "/api/accounts").await.json().await.expect("json");
        body["accounts"].as_array().expect("a list").clone()
    }
}

async fn told(answer: Response) -> (u16, Value) {
    (answer.status().as_u16(), answer.json().await.expect("json"))
}

fn location(answer: &Response) -> Url {
    Url::parse(answer.headers()["location"].to_str().expect("text")).expect("a URL")
}

fn cookie_of(answer: &Response) -> Option<String> {
    let cookie = answer.headers().get("set-cookie")?.to_str().expect("text");
    Some(cookie.split(';').next().expect("a pair").to_owned())
}

fn query_of(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn a_browser_goes_to_tiktok_and_comes_back_with_an_account() {
    let world = World::new().await;
    let away = world.server.client.get(world.server.url("/api/accounts/connect")).header("accept", "text/html");
    assert_eq!(away.send().await.expect("an answer").headers()["location"], "/sign-in");
    let session = world.session().await;
    let request = world.server.client.get(world.server.url("/api/accounts/connect")).header("accept", "text/html");
    let begun = request.header("cookie", &session).send().await.expect("an answer");
    let set = begun.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    let visit = Visit { page: location(&begun), cookie: cookie_of(&begun) };
    let asked = query_of(&visit.page);
    assert_eq!(asked["redirect_uri"], world.server.url("/api/accounts/callback"));
    assert_eq!(asked["scope"], "user.info.basic,video.publish");

    // The session's cookie does not come along from TikTok's site.
    let back = world.decide(&visit, &[("name", "Ada <Lovelace>"), ("decision", "approve")]).await;
    let login = visit.cookie.clone().expect("a cookie");
    let page = world.back(&back, None, &[&login], true).await;
    assert_eq!(page.status(), 200);
    let page = page.text().await.expect("text");
    assert!(page.contains("is connected") && page.contains("Ada &#60;Lovelace&#62;"), "{page}");
    let accounts = world.accounts(&world.server.alice).await;
    let ada = accounts.iter().find(|account| account["displayName"] == "Ada <Lovelace>").expect("the account");
    assert_eq!((&ada["state"], &ada["user"], &ada["postsLastDay"]), (&"ACTIVE".into(), &"alice".into(), &0.into()));
    assert!(
        ada["avatarUrl"].as_str().is_some_and(|url| url.contains("/avatar")) && !ada["nextPostAt"].is_null(),
        "{ada}"
    );

    let again = world.back(&back, None, &[&login], true).await;
    assert_eq!(again.status(), 409, "a state is good once");
    assert!(again.text().await.expect("text").contains("finished already"));
    assert_eq!(world.accounts(&world.server.alice).await.len(), accounts.len());
}

#[tokio::test]
async fn connecting_again_keeps_the_account_and_ends_its_reconnect() {
    let world = World::new().await;
    let (status, first) = world.connect(&world.server.alice, "", "ada").await;
    assert_eq!(status, 200, "{first}");
    let id = first["account"]["id"].as_str().expect("an id").to_owned();
    let ledger = &world.server.state.ledger;
    let tx = ledger.begin().await.expect("a transaction");
    let account = tx.account(&id).await.expect("read").expect("the account");
    tx.needs_reconnect(&id, account.token_version, "the person took it back").await.expect("written");
    let until = tx.now() + 3_600_000;
    let key = limit::Key::Creator(account.open_id.clone());
    limit::close(&tx, &key, until, Reason::new("spam_risk_too_many_posts", "enough for a day")).await.expect("closed");
    tx.commit().await.expect("committed");
    let shown = |accounts: Vec<Value>| accounts.into_iter().find(|account| account["id"] == id.as_str()).expect("it");
    let waits = shown(world.accounts(&world.server.alice).await);
    assert_eq!((&waits["state"], &waits["stateReason"]), (&"RECONNECT".into(), &"the person took it back".into()));
    assert!(waits["nextPostAt"].is_null());

    let (status, again) = world.connect(&world.server.alice, "", "ada").await;
    assert_eq!((status, &again["account"]["id"]), (200, &id.as_str().into()), "{again}");
    let shown = shown(world.accounts(&world.server.alice).await);
    assert_eq!(shown["state"], "CLOSED_UNTIL", "its limits stay: {shown}");
    assert_eq!((&shown["stateReason"], &shown["nextPostAt"]), (&"enough for a day".into(), &shown["closedUntil"]));
    let account = ledger.account(&id).await.expect("read").expect("the account");
    assert_eq!((account.state, account.token_version), (AccountState::Active, 2));

    let (status, other) = world.connect(&world.server.alice, &format!("?accountId={id}"), "bob").await;
    assert_eq!((status, &other["code"]), (409, &"other_creator".into()), "another creator is no reconnect");
    let (status, gone) = world.remove(&id).await;
    assert_eq!((status, &gone["revoked"]), (200, &true.into()), "{gone}");
    let (_, back) = world.connect(&world.server.alice, "", "ada").await;
    assert_eq!(back["account"]["id"], id.as_str(), "also after it was removed");
}

#[tokio::test]
async fn nobody_takes_over_a_login_or_an_account_of_another() {
    let world = World::new().await;
    let server = &world.server;
    let visit = world.visit(&server.alice, "").await;
    let back = world.decide(&visit, &[("name", "ada"), ("decision", "approve")]).await;
    let login = visit.cookie.clone().expect("a cookie");
    let bobs = {
        let request = server.client.post(server.url("/api/session")).header("origin", server.origin());
        let body = serde_json::json!({ "key": server.bob });
        cookie_of(&request.json(&body).send().await.expect("an answer")).expect("a cookie")
    };
    for (key, cookies) in [
        (Some(server.bob.as_str()), vec![]),
        (None, vec!["subiteya_connect=guessed"]),
        // A browser in which somebody else has signed in meanwhile.
        (None, vec![login.as_str(), bobs.as_str()]),
    ] {
        let (status, body) = told(world.back(&back, key, &cookies, false).await).await;
        assert_eq!((status, &body["code"]), (403, &"login_of_another".into()), "{key:?} {cookies:?}");
    }
    assert_eq!(world.back(&back, None, &[], false).await.status(), 401);
    assert_eq!(world.back(&back, Some("sk_wrong"), &[&login], false).await.status(), 401);
    assert_eq!(world.back(&back, None, &[&login], false).await.status(), 200, "and it was not used up by them");

    let (status, body) = world.connect(&server.bob, "", "ada").await;
    assert_eq!((status, &body["code"]), (409, &"account_of_another".into()), "{body}");
    assert!(!body["detail"].as_str().expect("a text").contains("alice"), "{body}");
    assert_eq!(world.begin(&server.bob, "?accountId=conn_alice").await.status(), 404);
    assert_eq!(world.begin(&server.viewer, "").await.status(), 403);
}

#[tokio::test]
async fn what_goes_wrong_at_tiktok_ends_in_a_sentence() {
    let world = World::new().await;
    let alice = world.server.alice.clone();
    let back = async |form: &[(&str, &str)]| {
        let visit = world.visit(&alice, "").await;
        world.decide(&visit, form).await
    };
    let yes = [("name", "ada"), ("decision", "approve")];
    let end = async |url: &Url| {
        let (status, body) = told(world.back(url, Some(&alice), &[], false).await).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned(), body["detail"].to_string())
    };
    let refused = end(&back(&[("name", "ada"), ("decision", "refuse")]).await).await;
    assert_eq!((refused.0, refused.1.as_str()), (403, "access_denied"));
    assert!(refused.2.contains("you did not agree") && refused.2.contains("nothing has changed"), "{}", refused.2);

    let less = [yes[0], yes[1], ("chosen", "yes"), ("scope", "user.info.basic")];
    let missing = end(&back(&less).await).await;
    assert_eq!((missing.0, missing.1.as_str()), (403, "scope_missing"));
    assert!(missing.2.contains("video.publish"), "{}", missing.2);

    let mut forged = back(&yes).await;
    forged.query_pairs_mut().clear().append_pair("code", "x").append_pair("state", "of somebody");
    assert_eq!(end(&forged).await.1, "login_unknown");
    let late = back(&yes).await;
    world.sandbox.advance(std::time::Duration::from_secs(601)).expect("set");
    assert_eq!(end(&late).await.1, "code_expired");
    world.sandbox.add_faults(vec!["token:error=503".parse().expect("a fault")]);
    let away = end(&back(&yes).await).await;
    assert_eq!((away.0, away.1.as_str()), (502, "tiktok_unavailable"));

    let page = world.back(&forged, None, &["subiteya_connect=x"], true).await;
    assert_eq!(page.status(), 400);
    let page = page.text().await.expect("text");
    assert!(page.contains("TikTok's answer belongs to no login") || page.contains("TikTok&#39;s answer"), "{page}");
    assert_eq!(world.accounts(&alice).await.len(), 1, "nothing was connected");

    // A name that TikTok does not tell is no reason to lose the login.
    world.sandbox.add_faults(vec!["userinfo:error=500".parse().expect("a fault")]);
    assert_eq!(world.connect(&alice, "", "ada").await.1["account"]["displayName"], "TikTok account");
}

#[tokio::test]
async fn a_login_ends_after_ten_minutes_of_the_ledgers_clock_and_any_process_may_finish_it() {
    let world = World::new().await;
    let elsewhere = |ledger: Ledger| Connect::new(ledger, vault(), client_of(&world.sandbox));
    let bearer = || Bearer { user: Some("alice".to_owned()), browser: None };
    let answer = async || {
        let visit = world.visit(&world.server.alice, "").await;
        let back = query_of(&world.decide(&visit, &[("name", "ada"), ("decision", "approve")]).await);
        Answer { state: Some(back["state"].clone()), code: Some(back["code"].clone()), ..Answer::default() }
    };
    let (late, used) = (answer().await, answer().await);
    let other = elsewhere(Ledger::open(&world.server.ledger_url()).await.expect("the ledger"));
    assert_eq!(other.finish(used.clone(), bearer()).await.expect("connected").user, "alice");
    assert!(matches!(other.finish(used, bearer()).await, Err(ConnectError::Used)));

    let tx = world.server.state.ledger.begin().await.expect("a transaction");
    let clock = tx.setting("clock").await.expect("read").expect("a clock");
    let (boot, offset) = clock.split_once('/').expect("an offset");
    let ahead = offset.parse::<i64>().expect("a number") + 600_000;
    tx.put_setting("clock", &format!("{boot}/{ahead}")).await.expect("written");
    tx.commit().await.expect("committed");
    let later = elsewhere(Ledger::open(&world.server.ledger_url()).await.expect("the ledger"));
    assert!(matches!(later.finish(late, bearer()).await, Err(ConnectError::Expired)));
}

#[tokio::test]
async fn tiktok_sends_people_back_to_us_and_nowhere_else() {
    let world = World::new().await;
    for bad in
        ["https://evil.example/", "http://127.0.0.1/x", "http://127.0.0.1:9/?a=b", "http://user@127.0.0.1:9/", "x"]
    {
        let encoded: String = url::form_urlencoded::byte_serialize(bad.as_bytes()).collect();
        let (status, body) = told(world.begin(&world.server.alice, &format!("?redirectUri={encoded}")).await).await;
        assert_eq!((status, &body["code"]), (400, &"redirect_uri".into()), "{bad}");
    }
    let behind = |host: &str| {
        let request = world.server.client.get(world.server.url("/api/accounts/connect"));
        request.header("host", host).bearer_auth(&world.server.alice).send()
    };
    let proxied = behind("studio.example").await.expect("an answer");
    assert_eq!(query_of(&location(&proxied))["redirect_uri"], "https://studio.example/api/accounts/callback");
    let unusable = behind("[::1]:3000").await.expect("an answer");
    assert_eq!(unusable.status(), 409);
    let plain = Server::start().await;
    assert_eq!(plain.get(&plain.alice, "/api/accounts/connect").await.status(), 503);
}

#[tokio::test]
async fn a_removed_account_is_revoked_at_tiktok_where_that_is_possible_and_gone_in_any_case() {
    let world = World::new().await;
    let alice = world.server.alice.clone();
    let connect = async |name: &str| {
        let (status, body) = world.connect(&alice, "", name).await;
        assert_eq!(status, 200, "{body}");
        let text = |field: &str| body["account"][field].as_str().expect("text").to_owned();
        (text("id"), text("openId"))
    };
    let revokes = async || {
        let all = world.sandbox.record(Filter::default()).await.expect("the record");
        all.into_iter().filter(|call| call.kind == Kind::Revoke).count()
    };
    let (ada, _) = connect("ada").await;
    assert_eq!(world.remove(&ada).await.1, serde_json::json!({ "removed": ada, "revoked": true, "reason": null }));
    assert_eq!(revokes().await, 1);
    assert_eq!(world.remove(&ada).await.0, 404);

    // Its tokens are lost.
    let (bob, _) = connect("bob").await;
    let tx = world.server.state.ledger.begin().await.expect("a transaction");
    assert!(tx.needs_reconnect(&bob, 1, "the person took it back").await.expect("written"));
    tx.commit().await.expect("committed");
    let (status, gone) = world.remove(&bob).await;
    assert_eq!((status, &gone["revoked"]), (200, &false.into()), "{gone}");
    assert!(world.server.state.ledger.account(&bob).await.expect("read").is_none());

    // Another account of ours still needs it.
    let (eve, open_id) = connect("eve").await;
    let tx = world.server.state.ledger.begin().await.expect("a transaction");
    let pair = NewTokens {
        access_token: "act".into(),
        refresh_token: "rft".into(),
        expires_in: Some(60),
        refresh_expires_in: None,
    };
    account::add(&tx, &vault(), ("twice", "alice", &open_id, "Eve"), &pair).await.expect("added");
    tx.commit().await.expect("committed");
    let before = revokes().await;
    let (_, gone) = world.remove(&eve).await;
    assert!(gone["reason"].as_str().is_some_and(|why| why.contains("twice")), "{gone}");
    assert_eq!(revokes().await, before, "it would have lost its tokens, too");
}

#[tokio::test]
async fn logins_and_uploads_under_way_move_to_the_newest_key_unless_a_worker_has_them_in_its_hands() {
    let world = World::new().await;
    let ledger = &world.server.state.ledger;
    let keys = |newest: &[u8]| {
        let keys = EncryptionKeys::parse(newest).expect("keys");
        Arc::new(Vault::new(KeyRing::of(&keys), "here".to_owned()))
    };
    let new = [8; 32];
    let (both, newest) = (keys(&[new.as_slice(), b",", &[7; 32]].concat()), keys(&new));
    let visit = world.visit(&world.server.alice, "").await;

    let video = world.server.video().await.parse().expect("an id");
    let tx = ledger.begin().await.expect("a transaction");
    let edit = tx.task_of(video, Stage::Edit).await.expect("read").expect("the edit");
    let mut publish = TaskRow { task: Task::new(video, Stage::Publish, 0), ..edit };
    publish.task.state = State::Running;
    tx.insert_task(&publish).await.expect("written");
    let plan = ChunkPlan::new(1_000, &ChunkRules::default()).expect("a plan");
    let sealed = vault().seal_upload_url(&video.to_string(), "https://upload.example/1").expect("sealed");
    let publication = Publication { upload_url: Some(sealed), ..Publication::freeze("hash".to_owned(), plan, false) };
    record::freeze(&tx, video, "conn_alice", &publication).await.expect("written");
    let status = Some(Status::Publishing);
    tx.patch_video(video, VideoPatch { status, ..VideoPatch::default() }).await.expect("written");
    tx.commit().await.expect("committed");

    let done = account::rewrap(ledger, &both, true).await.expect("an answer");
    assert_eq!(done.moved_under_way, 1, "the login: {done:?}");
    assert_eq!(done.needs.len(), 1, "a worker has the upload, so its key is in use: {done:?}");
    let tx = ledger.begin().await.expect("a transaction");
    let waits = Task { state: State::Waiting, ..publish.task.clone() };
    tx.put_task(&publish.task, &waits).await.expect("written");
    tx.commit().await.expect("committed");
    let done = account::rewrap(ledger, &both, true).await.expect("an answer");
    assert_eq!((done.moved_under_way, done.needs.len()), (1, 0), "{done:?}");

    // The old key is gone, and both go on.
    let found = record::load(ledger, video).await.expect("read").expect("the publication").publication;
    let url = newest.open_upload_url(&video.to_string(), found.upload_url.as_deref().expect("a URL")).expect("opened");
    assert_eq!(url.expose_secret(), "https://upload.example/1");
    let back = query_of(&world.decide(&visit, &[("name", "ada"), ("decision", "approve")]).await);
    let answer = Answer { state: Some(back["state"].clone()), code: Some(back["code"].clone()), ..Answer::default() };
    let connect = Connect::new(ledger.clone(), newest, client_of(&world.sandbox));
    let bearer = Bearer { user: Some("alice".to_owned()), browser: None };
    assert_eq!(connect.finish(answer, bearer).await.expect("connected").user, "alice");
}
