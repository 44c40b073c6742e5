//! A database that holds somebody else's tables, and one that was given a schema for ours.

use std::process::{Command, Output};
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database};
use secrecy::ExposeSecret;
use serde_json::json;
use subiteya::access;
use subiteya::account::connect::{Answer, Bearer, Connect, ConnectError, Way};
use subiteya::ledger::{Ledger, NewWebhook, Role};
use subiteya::sandbox::{Options, Sandbox};

use crate::fixture::{client_of, vault};
use crate::support::postgres::Postgres;

fn migrate(url: &str, step: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subiteya"));
    command.args(["migrate", step]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("DATABASE_URL", url).current_dir(std::env::temp_dir()).output().expect("it runs")
}

fn refused(output: &Output, code: i32) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains("tables that are not SubiteYa's (User, videos)") && said.contains("DATABASE_URL"), "{said}");
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn a_file_that_holds_other_tables_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("old.db").display());
    let old = Database::connect(format!("{url}?mode=rwc")).await.expect("a database");
    for table in ["create table videos (id integer)", "create table \"User\" (id integer)"] {
        old.execute_unprepared(table).await.expect("a table");
    }
    refused(&migrate(&url, "up"), 78);
    refused(&migrate(&url, "status"), 1);
    let tables = "select name from sqlite_master where type = 'table'";
    let left = old.query_all_raw(sea_orm::Statement::from_string(old.get_database_backend(), tables.to_owned())).await;
    assert_eq!(left.expect("read").len(), 2, "nothing was added");

    let own = format!("sqlite://{}", folder.path().join("own.db").display());
    for step in ["up", "up", "status"] {
        let done = migrate(&own, step);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(String::from_utf8_lossy(&done.stdout).contains("m0002_connect  applied"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_a_named_schema_stands_beside_an_older_system() {
    let postgres = Postgres::start().await;
    postgres.sql("subiteya", "create table videos (id int); create table \"User\" (id int)");
    refused(&migrate(&postgres.url(), "up"), 78);
    let url = format!("{}&schema=branding", postgres.url());
    let done = migrate(&url, "up");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let count = "select count(*) from pg_tables where schemaname = ";
    assert_eq!(postgres.sql("subiteya", &format!("{count}'public'")), "2");
    assert_ne!(postgres.sql("subiteya", &format!("{count}'branding'")), "0");
    let ledger = Ledger::open(&url).await.expect("the ledger");
    logins(&ledger).await;
    webhooks(&ledger).await;
}

/// What connecting asks of the ledger, on PostgreSQL.
async fn logins(ledger: &Ledger) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = Options::new(folder.path(), "key", "secret");
    options.auto_approve = Some("ada".to_owned());
    let sandbox = Sandbox::start(options).await.expect("a sandbox");
    let tx = ledger.begin().await.expect("a transaction");
    let key = access::create_key(&tx, "ana", Role::Creator).await.expect("a key");
    tx.commit().await.expect("committed");
    let key = ledger.key_by_hash(&access::hash(key.key.expose_secret())).await.expect("read").expect("the key");
    let connect = Connect::new(ledger.clone(), vault(), client_of(&sandbox));
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
    let browser = browser.expect("a browser");
    let answer = async || {
        let way = Way { redirect_uri: "http://127.0.0.1:9/callback/", browser: true, account: None };
        let begun = connect.begin(&key, &way).await.expect("begun");
        let back = browser.get(begun.url).send().await.expect("an answer");
        let back = url::Url::parse(back.headers()["location"].to_str().expect("text")).expect("a URL");
        let said =
            |name: &str| back.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
        let bearer = Bearer { user: None, browser: begun.browser };
        (Answer { state: said("state"), code: said("code"), ..Answer::default() }, bearer)
    };
    let (said, bearer) = answer().await;
    let account = connect.finish(said.clone(), bearer.clone()).await.expect("connected");
    assert!(matches!(connect.finish(said, bearer).await, Err(ConnectError::Used)));
    let ((first, one), (second, two)) = (answer().await, answer().await);
    let (first, second) = tokio::join!(connect.finish(first, one), connect.finish(second, two));
    assert_eq!((first.expect("connected").id, second.expect("connected").id), (account.id.clone(), account.id));
    for _ in 0..25 {
        answer().await;
    }
    assert!(ledger.posts_since(0).await.expect("read").is_empty());
}

async fn webhooks(ledger: &Ledger) {
    let new = NewWebhook {
        id: "w1".to_owned(),
        event: "post.publish.complete".to_owned(),
        open_id: None,
        publish_id: Some("p1".to_owned()),
        body: json!({}).to_string(),
        happened_at: 0,
    };
    let tx = ledger.begin().await.expect("a transaction");
    assert!(tx.insert_webhook(&new, Some(tx.now())).await.expect("written"));
    assert!(!tx.insert_webhook(&new, Some(tx.now())).await.expect("written"));
    assert!(tx.confirming("p1").await.expect("read").is_none());
    tx.commit().await.expect("committed");
    tokio::time::sleep(Duration::from_millis(2)).await;
    let now = ledger.now().await.expect("the time");
    let due = ledger.due_webhooks(now, 5).await.expect("read");
    let tx = ledger.begin().await.expect("a transaction");
    assert!(tx.claim_webhook(&due[0], now + 1000).await.expect("written"));
    assert!(!tx.claim_webhook(&due[0], now + 2000).await.expect("written"));
    tx.settle_webhook("w1", None, "known already").await.expect("written");
    assert!(tx.due_webhooks(i64::MAX, 5).await.expect("read").is_empty());
    assert_eq!(tx.forget_webhooks(i64::MAX).await.expect("written"), 1);
    tx.commit().await.expect("committed");
}
