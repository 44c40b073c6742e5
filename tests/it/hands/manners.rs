//! How the commands behave: tables that fit, JSON whose shape holds, questions, plans and exit codes; of the real binary
//! at a real server.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use subiteya::event::Stage;
use subiteya::ledger::Status;
use subiteya::stage::publish::row::{Publication, State as Published};
use subiteya::task::State;

use super::publication;
use crate::fixture::{Server, clip, connect, form};
use crate::support::redis::Redis;

type Ran = (Option<i32>, String, String);

async fn run(server: &Server, args: &[&str]) -> Ran {
    let env = [("SUBITEYA_URL", server.origin()), ("SUBITEYA_API_KEY", server.operator.clone())];
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let run = move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        crate::cli::run(&args, &env)
    };
    tokio::task::spawn_blocking(run).await.expect("it ran")
}

async fn json_of(server: &Server, args: &[&str]) -> Value {
    let (code, stdout, stderr) = run(server, &[args, &["--output", "json"]].concat()).await;
    assert_eq!(code, Some(0), "{args:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {stdout}"))
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// With something in every list.
async fn filled(redis: &Redis) -> (Server, [String; 4]) {
    let server = Server::with(Some(connect(redis).await), None).await;
    let answer = server.upload(&server.alice, form(&"a very long title ".repeat(40), clip())).await;
    assert_eq!(answer.status(), 201);
    let dead = answer.json::<Value>().await.expect("json")["video"]["id"].as_str().expect("an id").to_owned();
    server.fail(&dead, "a_code_that_is_as_long_as_they_get").await;
    let review = server.video().await;
    let needs = Publication { state: Published::NeedsReview, publish_id: Some("p".to_owned()), ..publication() };
    server.publish_ended(&review, Status::NeedsReview, Some(needs)).await;
    let runs = server.video().await;
    let tx = server.tx().await;
    let row = tx.task_of(super::id(&runs), Stage::Edit).await.expect("read").expect("a task");
    let claim = subiteya::task::Claim {
        token: subiteya::event::LeaseToken::new(),
        holder: format!("a-host-with-a-long-name-{}", "x".repeat(80)),
        entry: Some("1700000000000-0".to_owned()),
        lease: std::time::Duration::from_secs(30),
    };
    let leased = row.task.lease(claim, tx.now() - 600_000);
    let Ok(subiteya::task::Leased::Granted(task)) = leased else { panic!("a lease") };
    tx.put_task(&row.task, &task).await.expect("written");
    tx.bury_entry("video.uploaded", "1-1", &json!({ "odd": "x".repeat(200) }).to_string(), "no task")
        .await
        .expect("written");
    tx.commit().await.expect("committed");
    let waits = server.video().await;
    (server, [dead, review, runs, waits])
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_fit_80_columns_in_a_pipe_and_tell_reasons_in_words() {
    let redis = Redis::start().await;
    let (server, [dead, review, runs, _]) = filled(&redis).await;
    let shown = [
        (vec!["videos"], "because of"),
        (vec!["videos", "show", &dead], "because of a_code_that_is_as_long_as_they_get"),
        (vec!["videos", "show", &review], "NEEDS_REVIEW: because of spam_risk"),
        (vec!["streams"], "QUEUED"),
        (vec!["pending"], &runs),
        (vec!["dead"], &dead),
        (vec!["dead", "show", &dead], "it can be tried again"),
        (vec!["accounts"], "conn_alice"),
        (vec!["claim", "--dry-run"], "XCLAIM"),
        (
            vec!["replay", "--stream", "video.uploaded", "--dry-run"],
            "1 to replay, 0 refused; 1 Redis commands (1 XADD)",
        ),
        (vec!["dead", "retry", &dead, &review, "--dry-run"], "1 to retry, 1 refused"),
        (vec!["dead", "drop", &dead, "--dry-run"], "1 to drop, 0 refused; no Redis command"),
    ];
    for (args, expected) in shown {
        let (code, stdout, stderr) = run(&server, &args).await;
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
        let table: Vec<&str> = stdout.lines().filter(|line| !line.contains(" refused; ")).collect();
        let widest = table.iter().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 80), "{args:?}\n{stdout}");
        let flat = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(expected), "{args:?}: {expected:?} is not in\n{stdout}");
        assert!(!stdout.contains('\x1b'), "{stdout}");
    }
    let (_, stdout, _) = run(&server, &["explain", &review]).await;
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(stdout.contains("is NEEDS_REVIEW: a person has to look at TikTok and resolve it: because of"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_as_json_has_the_same_shape_always() {
    let redis = Redis::start().await;
    let (server, [dead, review, ..]) = filled(&redis).await;
    let list = json_of(&server, &["videos"]).await;
    assert_eq!(names(&list), ["next", "videos"]);
    let video = [
        "accountId",
        "createdAt",
        "editedSize",
        "editedUrl",
        "endedAt",
        "id",
        "options",
        "postIds",
        "postUrl",
        "priority",
        "progress",
        "publishAt",
        "reason",
        "sourceSize",
        "srcUrl",
        "status",
        "thumbnailUrl",
        "title",
        "updatedAt",
        "waitingFor",
    ];
    let had = names(&list["videos"][0]);
    assert!(video.iter().all(|name| had.contains(name)), "{had:?}");
    let shown = json_of(&server, &["videos", "show", &dead]).await;
    assert_eq!(names(&shown["video"]["reason"]), ["code", "text"]);
    assert_eq!(names(&shown["video"]["timeline"][0]), ["at", "detail", "event", "stage"]);
    assert!(shown["video"]["attempts"].is_array());
    let streams = json_of(&server, &["streams"]).await;
    for name in [
        "stream",
        "group",
        "length",
        "lag",
        "lagSource",
        "pending",
        "consumers",
        "oldestPendingMs",
        "waiting",
        "parked",
        "queued",
        "running",
        "dead",
        "needsReview",
        "deadEntries",
        "demand",
    ] {
        assert!(streams["streams"][0].get(name).is_some(), "{name}: {streams:#}");
    }
    let said = |stream: usize, name: &str| streams["streams"][stream][name].as_i64();
    assert_eq!(
        (said(0, "queued"), said(0, "running"), said(0, "dead"), said(0, "deadEntries")),
        (Some(1), Some(1), Some(1), Some(1))
    );
    assert_eq!((said(0, "waiting"), said(0, "parked"), said(1, "needsReview")), (Some(0), Some(0), Some(1)));
    let pending = json_of(&server, &["pending"]).await;
    assert_eq!(names(&pending), ["commands", "pending", "source"]);
    let one = [
        "ageMs",
        "attempts",
        "consumer",
        "deliveries",
        "entry",
        "idleMs",
        "leaseLeftMs",
        "redis",
        "state",
        "stream",
        "takeovers",
        "taskId",
        "videoId",
    ];
    assert_eq!(names(&pending["pending"][0]), one);
    let letters = json_of(&server, &["dead", "list"]).await;
    assert_eq!(names(&letters), ["dead", "entries", "next"]);
    let one = ["accountId", "attempts", "endedAt", "id", "reason", "stage", "stream", "takeovers", "taskId", "title"];
    assert_eq!(names(&letters["dead"][0]), one);
    assert_eq!(names(&letters["entries"][0]), ["at", "entry", "fields", "id", "reason", "stream"]);
    let one = json_of(&server, &["dead", "show", &dead]).await;
    assert_eq!(names(&one), ["dead", "refused", "timeline"]);
    let common = |list: &'static str| {
        let mut names = vec!["commands", "dryRun", "lastStartAt", "more", "plan", "refused", "takesSeconds", list];
        names.sort_unstable();
        names
    };
    let plan = json_of(&server, &["claim", "--dry-run"]).await;
    assert_eq!(names(&plan), common("claimed"));
    let plan = json_of(&server, &["replay", "--stream", "video.uploaded", &dead, &review, "--dry-run"]).await;
    assert_eq!((names(&plan), names(&plan["commands"])), (common("replayed"), vec!["later", "now", "total"]));
    assert_eq!(names(&plan["replayed"][0]), ["accountId", "stage", "status", "taskId", "title", "videoId"]);
    assert_eq!(names(&plan["refused"][0]), ["id", "reason", "videoId"]);
    let plan = json_of(&server, &["dead", "drop", &dead, "--dry-run"]).await;
    assert_eq!((names(&plan), &plan["dropped"]), (common("dropped"), &json!([dead])));
    let said = json_of(&server, &["explain", &review]).await;
    assert_eq!(names(&said), ["code", "estimatedPostAt", "id", "status", "text", "until"]);
    assert_eq!(names(&json_of(&server, &["accounts"]).await), ["accounts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_something_is_agreed_to_first_and_a_dry_run_changes_nothing() {
    let redis = Redis::start().await;
    let (server, [dead, review, runs, waits]) = filled(&redis).await;
    let changes: [(&[&str], &str); 9] = [
        (&["videos", "cancel", &waits], "CANCELED"),
        (&["videos", "retry", &waits], "EDITING_QUEUED"),
        (&["claim", "--min-idle", "5m"], "claimed 1"),
        (&["dead", "retry", &dead], "tried again: 1"),
        (&["replay", "--stream", "video.edited", &dead, "--dry-run"], ""),
        (&["videos", "resolve", &review, "--give-up"], "FAILED: an operator gave the post up"),
        (&["dead", "drop", &review], "dropped 1"),
        (&["videos", "cancel", &runs], "CANCELED"),
        (&["replay", "--stream", "video.uploaded", "--status", "CANCELED"], "replayed 1"),
    ];
    for (args, done) in changes {
        if args.contains(&"--dry-run") {
            let (code, stdout, stderr) = run(&server, args).await;
            assert_eq!(code, Some(1), "all that is named is refused: {stderr}");
            assert!(stdout.contains("never edited") || stdout.contains("no edited video"), "{stdout}");
            continue;
        }
        let before = state(&server).await;
        let (code, _, stderr) = run(&server, args).await;
        assert!(code == Some(2) && stderr.contains("--yes"), "{args:?}: {code:?} {stderr}");
        let (code, stdout, stderr) = run(&server, &[args, &["--dry-run"]].concat()).await;
        assert!(code == Some(0) && !stdout.is_empty(), "{args:?}: {stderr}");
        assert_eq!(state(&server).await, before, "{args:?}");
        let (code, stdout, stderr) = run(&server, &[args, &["--yes"]].concat()).await;
        assert!(code == Some(0) && stdout.contains(done), "{args:?}: {stdout}{stderr}");
    }
    assert_eq!(server.task(&runs, Stage::Edit).await.state, State::Queued);
}

/// What stands in the ledger, as far as people can change it.
async fn state(server: &Server) -> Vec<Value> {
    let list = server.ask("/api/videos").await;
    let videos = list["videos"].as_array().expect("a list").iter();
    let mut states: Vec<Value> = videos.map(|one| json!([one["id"], one["status"], one["updatedAt"]])).collect();
    states.push(server.ask("/api/dead").await);
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_scripts_what_happened() {
    let redis = Redis::start().await;
    let (server, [dead, review, ..]) = filled(&redis).await;
    let nobody = "01890000-0000-7000-8000-000000000000";
    let cases: [(&[&str], i32); 16] = [
        (&["dead"], 0),
        (&["replay", "--stream", "video.uploaded", "--dry-run"], 0),
        (&["videos", "retry", &review, "--yes"], 1),
        (&["dead", "retry", &review, "--yes"], 1),
        (&["replay", "--stream", "video.cooked"], 2),
        (&["replay"], 2),
        (&["replay", "--stream", "video.edited", "--from", "yesterday"], 2),
        (&["replay", "--stream", "video.edited", "--from", "2h", &dead], 2),
        (&["dead", "retry"], 2),
        (&["dead", "drop", "--all", &dead], 2),
        (&["dead", "drop", &dead], 2),
        (&["claim", "--min-idle", "7d"], 3),
        (&["replay", "--stream", "video.uploaded", "--from", "2090-01-01T00:00:00Z", "--yes"], 3),
        (&["dead", "show", nobody], 3),
        (&["dead", "drop", nobody, "--yes"], 3),
        (&["explain", nobody], 3),
    ];
    for (args, code) in cases {
        let (ended, _, stderr) = run(&server, args).await;
        assert_eq!(ended, Some(code), "{args:?}: {stderr}");
        assert_eq!(stderr.is_empty(), code == 0, "{args:?}: {stderr}");
    }
    for args in [&["dead"][..], &["replay", "--stream", "video.edited"], &["claim"]] {
        assert_eq!(crate::cli::run(args, &[("SUBITEYA_URL", "http://127.0.0.1:1")]).0, Some(69), "{args:?}");
        assert_eq!(crate::cli::run(args, &[("SUBITEYA_URL", "nowhere")]).0, Some(78), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_shows_it_again_and_ends_with_its_reader() {
    let redis = Redis::start().await;
    let (server, _) = filled(&redis).await;
    let (url, key) = (server.origin(), server.operator.clone());
    let watched = tokio::task::spawn_blocking(move || {
        let lists = ["streams", "pending", "dead list", "videos list"];
        let children = lists.map(|list| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_subiteya"));
            let command = command.args(list.split(' ')).arg("--watch").stdout(Stdio::piped());
            command.env_clear().env("SUBITEYA_URL", &url).env("SUBITEYA_API_KEY", &key).spawn().expect("it starts")
        });
        children.map(|mut child| {
            let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
            let is_head = |line: &String| line.contains("  ") && line.to_uppercase() == *line;
            let heads: Vec<String> = lines.filter(is_head).take(2).collect();
            // Its reader is gone with the lines.
            assert!(child.wait().expect("it ends").success(), "{heads:?}");
            heads
        })
    });
    for head in watched.await.expect("watched") {
        // A column grows with what stands in it.
        let names: Vec<Vec<&str>> = head.iter().map(|line| line.split_whitespace().collect()).collect();
        assert!(names.len() == 2 && names[0] == names[1], "{head:?}");
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = crate::cli::run(&["completions", shell], &[]);
        assert_eq!(code, Some(0));
        for word in ["dead", "replay", "claim", "explain", "drop", "min-idle", "watch", "stream"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn keys_and_migrations_are_listed_alike_and_ended_only_when_agreed() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
    let run = |args: &[&str]| crate::cli::run(args, &[("DATABASE_URL", &url)]);
    let made = run(&["keys", "create", "--user", &"u".repeat(150), "--output", "json"]);
    let made: Value = serde_json::from_str(&made.1).expect("json");
    assert_eq!(names(&made), ["id", "key", "role", "user"]);
    let listed: Value = serde_json::from_str(&run(&["keys", "list", "--output", "json"]).1).expect("json");
    assert_eq!(names(&listed["keys"][0]), ["createdAt", "id", "revokedAt", "role", "user"]);
    let (_, table, _) = run(&["keys", "list"]);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let status: Value = serde_json::from_str(&run(&["migrate", "status", "--output", "json"]).1).expect("json");
    assert_eq!(names(&status["migrations"][0]), ["applied", "name"]);
    let key = made["id"].as_str().expect("an id");
    for args in [&["keys", "revoke", key][..], &["migrate", "down"]] {
        let (code, _, stderr) = run(args);
        assert!(code == Some(2) && stderr.contains("--yes"), "{args:?}: {stderr}");
        assert_eq!(run(&[args, &["--dry-run"]].concat()).0, Some(0), "{args:?}");
    }
    assert_eq!(run(&["keys", "revoke", key, "--yes"]).0, Some(0));
    assert_eq!(run(&["keys", "revoke", key, "--yes"]).0, Some(3));
}
