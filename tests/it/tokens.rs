//! The pair of tokens, against a TikTok that answers refreshes as it is told to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use subiteya::account::{self, NewTokens, Tokens, Vault};
use subiteya::config::EncryptionKeys;
use subiteya::event::LeaseToken;
use subiteya::ledger::{Account, AccountState, Ledger};
use subiteya::seal::KeyRing;
use subiteya::tiktok::client::{Client, ClientConfig};
use subiteya::tiktok::refusal::Class;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use crate::support::{eventually, later};

const FRESH: &str = r#"{"access_token":"act.2","refresh_token":"rft.2","expires_in":7200,"open_id":"o1"}"#;

const DEAD: &str = r#"{"error":"invalid_grant","error_description":"used before"}"#;

/// What TikTok answers, and how late.
type Says = (u16, &'static str, Duration);

struct Bench {
    ledger: Ledger,
    tokens: Tokens,
    asked: Arc<AtomicUsize>,
    url: Url,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new(http: u16, says: &'static str, delay: Duration) -> Self {
        Self::answering(vec![(http, says, delay)]).await
    }

    /// One after the other, the last for ever.
    async fn answering(answers: Vec<Says>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = Url::parse(&format!("http://{}", listener.local_addr().expect("an address"))).expect("a URL");
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, answers, asked.clone()));
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = open(folder.path()).await;
        let tx = ledger.begin().await.expect("a transaction");
        let pair = NewTokens {
            access_token: SecretString::from("act.1"),
            refresh_token: SecretString::from("rft.1"),
            expires_in: None,
            refresh_expires_in: None,
        };
        account::add(&tx, &vault(&[OLD]), ("a1", "ana", "o1", "Ana"), &pair).await.expect("an account");
        tx.commit().await.expect("a commit");
        let tokens = tokens(&ledger, &url, vault(&[OLD]));
        Self { ledger, tokens, asked, url, folder }
    }

    /// The same, as another process has it.
    async fn another(&self) -> Tokens {
        tokens(&open(self.folder.path()).await, &self.url, vault(&[OLD]))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn account(&self) -> Account {
        self.ledger.account("a1").await.expect("an answer").expect("the account")
    }
}

async fn serve(listener: TcpListener, answers: Vec<Says>, asked: Arc<AtomicUsize>) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        let (http, says, delay) = answers[number.min(answers.len() - 1)];
        tokio::spawn(async move {
            let mut seen = [0; 4096];
            let read = socket.read(&mut seen).await;
            tokio::time::sleep(delay).await;
            let length = says.len();
            let answer = format!("HTTP/1.1 {http} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{says}");
            if read.is_ok() {
                socket.write_all(answer.as_bytes()).await.ok();
            }
        });
    }
}

async fn open(folder: &Path) -> Ledger {
    Ledger::open(&url_of(folder)).await.expect("a ledger")
}

fn url_of(folder: &Path) -> String {
    format!("sqlite://{}/ledger.db", folder.display())
}

fn tokens(ledger: &Ledger, url: &Url, vault: Arc<Vault>) -> Tokens {
    let client = ClientConfig::new(url.clone(), url.clone(), "key".to_owned(), SecretString::from("hush"));
    Tokens::new(ledger.clone(), vault, Client::new(client).expect("a client"))
}

const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";

/// The newest key first.
fn vault(keys: &[&str]) -> Arc<Vault> {
    let keys = EncryptionKeys::parse(keys.join(",").as_bytes()).expect("keys");
    Arc::new(Vault::new(KeyRing::of(&keys), "here".to_owned()))
}

#[tokio::test]
async fn a_pair_is_committed_although_who_asked_for_it_went_away() {
    let bench = Bench::new(200, FRESH, Duration::from_millis(300)).await;
    let before = bench.account().await.token_version;
    let asked = tokio::time::timeout(Duration::from_millis(100), bench.tokens.access("a1", None)).await;
    assert!(asked.is_err(), "it goes away in the middle");
    for _ in 0..100 {
        if bench.account().await.token_version > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("TikTok's answer was thrown away with the one who asked");
}

#[tokio::test]
async fn what_tiktok_says_of_the_app_at_a_refresh_fails_no_video() {
    for (http, says) in [
        (401, r#"{"error":"invalid_client","error_description":"x"}"#),
        (400, r#"{"error":"invalid_request","error_description":"x"}"#),
        (200, r#"{"error":"moon_phase","error_description":"x"}"#),
        (403, "<html>blocked</html>"),
    ] {
        let bench = Bench::new(http, says, Duration::ZERO).await;
        let refusal = bench.tokens.access("a1", None).await.expect_err("a refusal");
        assert_eq!(refusal.class, Class::Transient, "{http} {says}");
        assert_eq!(bench.account().await.state, AccountState::Active, "{http} {says}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_died_with_its_process_is_missed_within_a_minute() {
    // TikTok has used the refresh token up, and its answer never came.
    let bench = Bench::answering(vec![(200, FRESH, Duration::from_secs(600)), (400, DEAD, Duration::ZERO)]).await;
    let (folder, url) = (bench.folder.path().to_owned(), bench.url.clone());
    let process = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    process.spawn(async move {
        tokens(&open(&folder).await, &url, vault(&[OLD])).access("a1", None).await.expect("killed before");
    });
    eventually("TikTok is asked", Duration::from_secs(10), || async { bench.asked() == 1 }).await;
    process.shutdown_background();

    let account = bench.account().await;
    let now = bench.ledger.now().await.expect("a time");
    let at = async |after: i64| later(&url_of(bench.folder.path()), now + after).await;
    let early = at(30_000).await;
    let tx = early.begin().await.expect("a transaction");
    let taken = tx.lease_refresh("a1", account.token_version, LeaseToken::new(), now + 90_000).await.expect("written");
    assert!(!taken, "it may still be on its way, so nobody else asks");
    drop(tx);
    // A task of the dead worker's is begun again forty seconds after its last sign of life, and waits five for the lease.
    let late = at(46_000).await;
    let refusal = tokens(&late, &bench.url, vault(&[OLD])).access("a1", None).await.expect_err("the pair is lost");
    assert_eq!((refusal.class, bench.asked()), (Class::NeedsReconnect, 2));
    let account = bench.account().await;
    assert_eq!(account.state, AccountState::Reconnect);
    assert!(account.state_reason.is_some_and(|why| !why.is_empty()), "and its person is told why");
    let again = bench.tokens.access("a1", None).await.expect_err("it waits");
    assert_eq!((again.class, bench.asked()), (Class::NeedsReconnect, 2), "TikTok is asked no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_on_its_way_ends_in_reconnect_at_once() {
    // The first answer breaks off; the same token once more shows that TikTok had used it up.
    let bench = Bench::answering(vec![(200, "{\"access_token\":", Duration::ZERO), (400, DEAD, Duration::ZERO)]).await;
    let refusal = bench.tokens.access("a1", None).await.expect_err("the pair is lost");
    assert_eq!((refusal.class, bench.asked()), (Class::NeedsReconnect, 2));
    assert_eq!(bench.account().await.state, AccountState::Reconnect);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_need_a_token_at_once_over_processes_make_one_refresh() {
    let bench = Bench::new(200, FRESH, Duration::from_millis(300)).await;
    let processes = [bench.tokens.clone(), bench.another().await, bench.another().await];
    let asking = (0..12).map(|number| {
        let tokens = processes[number % 3].clone();
        tokio::spawn(async move { tokens.access("a1", None).await.expect("a token") })
    });
    for access in futures::future::join_all(asking).await {
        let access = access.expect("it ends");
        assert_eq!((access.token.expose_secret(), access.version), ("act.2", 2));
    }
    assert_eq!(bench.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_never_overwritten_with_something_empty() {
    let no_refresh = r#"{"access_token":"act.2","refresh_token":"","expires_in":7200,"open_id":"o1"}"#;
    let bench = Bench::answering(vec![(200, no_refresh, Duration::ZERO), (400, DEAD, Duration::ZERO)]).await;
    assert_eq!(bench.tokens.access("a1", None).await.expect("a token").token.expose_secret(), "act.2");
    let kept = bench.account().await;
    assert_eq!(kept.token_version, 2);
    assert!(!kept.tokens.refresh.is_empty() && !kept.tokens.access.is_empty());

    let nothing = r#"{"access_token":"","refresh_token":"","expires_in":7200,"open_id":"o1"}"#;
    let bench = Bench::new(200, nothing, Duration::ZERO).await;
    let before = bench.account().await.tokens;
    let refusal = bench.tokens.access("a1", None).await.expect_err("no token");
    assert_eq!((refusal.class, bench.account().await.tokens), (Class::Transient, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_move_to_the_newest_key_while_tokens_are_refreshed_and_a_key_in_use_is_named() {
    let bench = Bench::new(200, FRESH, Duration::from_millis(20)).await;
    let both = vault(&[NEW, OLD]);
    let tx = bench.ledger.begin().await.expect("a transaction");
    for number in 0..20 {
        let (id, open_id) = (format!("b{number}"), format!("p{number}"));
        let pair = NewTokens {
            access_token: SecretString::from("act"),
            refresh_token: SecretString::from("rft"),
            expires_in: Some(7200),
            refresh_expires_in: None,
        };
        account::add(&tx, &vault(&[OLD]), (&id, "ana", &open_id, "Ana"), &pair).await.expect("an account");
    }
    tx.commit().await.expect("a commit");
    // Without the old key nothing is lost, and it says what it lacks.
    let blind = account::rewrap(&bench.ledger, &vault(&[NEW]), true).await.expect("an answer");
    assert_eq!((blind.moved, blind.needs.len()), (0, 21), "{blind:?}");
    assert_eq!(account::rewrap(&bench.ledger, &both, false).await.expect("an answer").moved, 21, "a dry run");

    // A process with the newest key refreshes a pair meanwhile.
    let tokens = tokens(&open(bench.folder.path()).await, &bench.url, both.clone());
    let refreshed = tokio::spawn(async move { tokens.access("a1", None).await.expect("a token").version });
    let done = account::rewrap(&bench.ledger, &both, true).await.expect("an answer");
    assert!((20..=21).contains(&done.moved) && done.needs.is_empty(), "{done:?}");
    assert_eq!(refreshed.await.expect("it ends"), 2);
    // The old key may be dropped now.
    let left = account::rewrap(&bench.ledger, &vault(&[NEW]), true).await.expect("an answer");
    assert_eq!((left.moved, left.needs.len()), (0, 0), "{left:?}");

    // One that has not the newest key yet seals under the old one: it is named, and moved the next time.
    let tx = bench.ledger.begin().await.expect("a transaction");
    let pair = NewTokens {
        access_token: SecretString::from("act"),
        refresh_token: SecretString::from("rft"),
        expires_in: Some(7200),
        refresh_expires_in: None,
    };
    account::add(&tx, &vault(&[OLD]), ("late", "ana", "p-late", "Ana"), &pair).await.expect("an account");
    tx.commit().await.expect("a commit");
    let blind = account::rewrap(&bench.ledger, &vault(&[NEW]), true).await.expect("an answer");
    assert_eq!(blind.needs[0].0, "the tokens of the account late");
    let moved = account::rewrap(&bench.ledger, &both, true).await.expect("an answer");
    assert_eq!((moved.moved, moved.needs.len()), (1, 0));
}
