//! Accounts as people have them: connected from a terminal, taken away at TikTok, connected again, brought from elsewhere.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use subiteya::sandbox::{Event, Filter};

use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON};

/// `accounts connect` as a person runs it, who decides so at TikTok's page. What it printed, and the browser's last page.
async fn connect(fleet: &Fleet, decision: &[(&str, &str)]) -> (Output, String) {
    let mut child = cli(fleet, &["accounts", "connect", "--no-browser", "--output", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut talk = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let address = talk.find_map(|line| line.ok().filter(|line| line.starts_with("http"))).expect("an address");
    let browser = reqwest::Client::builder().no_proxy().build().expect("a browser");
    let page = browser.post(address).form(decision).send().await.expect("an answer");
    let text = page.text().await.expect("a page");
    let rest: Vec<String> = talk.map_while(Result::ok).collect();
    let mut output = child.wait_with_output().expect("it ends");
    output.stderr = rest.join("\n").into_bytes();
    (output, text)
}

fn cli(fleet: &Fleet, args: &[&str]) -> Command {
    let mut command = fleet.command(args);
    command.env("SUBITEYA_URL", fleet.url("")).env("SUBITEYA_API_KEY", &fleet.key);
    command
}

async fn account(fleet: &Fleet) -> Value {
    fleet.get("/api/accounts").await["accounts"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_connects_an_account_and_says_why_when_it_does_not() {
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.start("serve", &["serve"]);
    fleet.ready().await;
    let (refused, page) = connect(&fleet, &[("name", "ada"), ("decision", "refuse")]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("you did not agree at TikTok") && page.contains("you did not agree"), "{said} {page}");
    assert!(account(&fleet).await.is_null());

    let (done, page) = connect(&fleet, &[("name", "ada"), ("decision", "approve")]).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let connected: Value = serde_json::from_slice(&done.stdout).expect("json");
    assert_eq!((&connected["displayName"], &connected["user"]), (&"ada".into(), &"me".into()));
    assert!(page.contains("ada is connected"), "{page}");
    let list = cli(&fleet, &["accounts", "list"]).output().expect("it runs");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("ada") && list.contains("ACTIVE"), "{list}");
    let id = connected["id"].as_str().expect("an id");
    assert!(cli(&fleet, &["accounts", "remove", id, "--yes"]).output().expect("it runs").status.success());
    assert_eq!(cli(&fleet, &["accounts", "remove", id, "--yes"]).output().expect("it runs").status.code(), Some(3));
    let broken = fleet.sandbox.record(Filter { violations: true, ..Filter::default() }).await.expect("the record");
    assert!(broken.is_empty(), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_taken_away_waits_for_its_person_and_its_videos_go_on() {
    let fleet = Fleet::started(LOOSE).await;
    fleet.sandbox.send_webhooks_to(Some(fleet.url("/api/webhooks/tiktok").parse().expect("a URL")));
    let yes = [("name", "ada"), ("decision", "approve")];
    assert!(connect(&fleet, &yes).await.0.status.success());
    let before = account(&fleet).await;
    let open_id = before["openId"].as_str().expect("an open id").to_owned();

    // Said, but not so: the tokens are still taken.
    let event = "authorization.removed".to_owned();
    let lie: Event = serde_json::from_value(serde_json::json!({ "event": event, "open_id": open_id, "content": {} }))
        .expect("an event");
    fleet.sandbox.send_webhook(lie);
    let ledger = fleet.ledger().await;
    let outcomes = async || -> Vec<String> {
        let webhooks = ledger.webhooks().await.expect("read");
        webhooks.into_iter().filter(|one| one.due_at.is_none()).filter_map(|one| one.outcome).collect()
    };
    eventually("the lie is seen through", SOON, || async { outcomes().await.len() == 1 }).await;
    assert_eq!(account(&fleet).await["state"], "ACTIVE");

    fleet.sandbox.revoke(&open_id).await.expect("taken away");
    eventually("it needs its person", SOON, || async { account(&fleet).await["state"] == "RECONNECT" }).await;
    let video = fleet.upload(before["id"].as_str().expect("an id"), "waits").await;
    let waits = |video: &Value| video["waitingFor"]["code"] == "account_reconnect";
    fleet.until_video(&video, "waiting for the account", waits).await;
    assert!(connect(&fleet, &yes).await.0.status.success());
    let after = account(&fleet).await;
    assert_eq!((&after["id"], &after["state"]), (&before["id"], &"ACTIVE".into()), "{after}");
    fleet.posted(&video).await;
    eventually("it counts", SOON, || async { account(&fleet).await["postsLastDay"] == 1 }).await;
    eventually("TikTok's news are delivered", SOON, || async {
        let told = fleet.sandbox.deliveries();
        told.iter().any(|one| one.event == "post.publish.complete" && one.delivered)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_whole_or_says_what_is_wrong_with_each_line() {
    let fleet = Fleet::new(LOOSE).await;
    let import = |text: &str| {
        let file = fleet.folder.path().join("accounts.jsonl");
        std::fs::write(&file, text).expect("written");
        let mut command = fleet.command(&["accounts", "import"]);
        command.stdin(std::fs::File::open(file).expect("a file")).output().expect("it runs")
    };
    let line = |id: &str| {
        format!(
            r#"{{"id":"{id}","open_id":"o-{id}","display_name":"{id}","access_token":"act.hush","refresh_token":"rft.hush"}}"#
        )
    };
    let wrong = [
        line("good"),
        String::new(),
        line("good"),
        "{\"id\":".to_owned(),
        line("missing").replace("refresh_token", "refresh"),
        line("bad id"),
        line("typed").replace(r#""act.hush""#, "7"),
    ];
    let refused = import(&wrong.join("\n"));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for part in [
        "line 3: the id \"good\" stands on line 1 already",
        "line 4: ",
        "line 5: ",
        "missing field `refresh_token`",
        "line 6: the account's id \"bad id\"",
        "line 7: ",
        "nothing was imported",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("hush"), "{said}");
    assert!(fleet.ledger().await.accounts(None).await.expect("read").is_empty());
    let good = import(&format!("{}\n{}\n", line("one"), line("two").replace("open_id", "openId")));
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert_eq!(fleet.ledger().await.accounts(None).await.expect("read").len(), 2);
    assert_eq!(import("\n").status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_with_another_key_ends_at_once_and_no_account_is_harmed() {
    let mut fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    fleet.kill("publish");
    let id = fleet.upload("ada", "waits for the right key").await;
    let output = fleet
        .command(&["work", "publish"])
        .env("ENCRYPTION_KEY", "another key of thirty-two bytes!")
        .output()
        .expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("ENCRYPTION_KEY") && said.contains("ada"), "{said}");
    fleet.start_again("publish");
    fleet.posted(&id).await;
}
