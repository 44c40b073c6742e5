//! The pair of tokens, against a TikTok that answers one refresh.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use subiteya::account::{self, NewTokens, Tokens, Vault};
use subiteya::config::EncryptionKeys;
use subiteya::ledger::{Account, AccountState, Ledger};
use subiteya::seal::KeyRing;
use subiteya::tiktok::client::{Client, ClientConfig};
use subiteya::tiktok::refusal::Class;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

const FRESH: &str = r#"{"access_token":"act.2","refresh_token":"rft.2","expires_in":7200,"open_id":"o1"}"#;

struct Bench {
    ledger: Ledger,
    tokens: Tokens,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(http: u16, says: &'static str, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = Url::parse(&format!("http://{}", listener.local_addr().expect("an address"))).expect("a URL");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut seen = [0; 4096];
                let read = socket.read(&mut seen).await;
                tokio::time::sleep(delay).await;
                let length = says.len();
                let answer =
                    format!("HTTP/1.1 {http} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{says}");
                if read.is_ok() && socket.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        let url_of = format!("sqlite://{}/ledger.db", folder.path().display());
        let ledger = Ledger::open(&url_of).await.expect("a ledger");
        let keys = EncryptionKeys::parse(&[7; 32]).expect("a key");
        let vault = Arc::new(Vault::new(KeyRing::of(&keys), "here".to_owned()));
        let tx = ledger.begin().await.expect("a transaction");
        let pair = NewTokens {
            access_token: SecretString::from("act.1"),
            refresh_token: SecretString::from("rft.1"),
            expires_in: None,
            refresh_expires_in: None,
        };
        account::add(&tx, &vault, ("a1", "ana", "o1", "Ana"), &pair).await.expect("an account");
        tx.commit().await.expect("a commit");
        let client = ClientConfig::new(url.clone(), url, "key".to_owned(), SecretString::from("hush"));
        let tokens = Tokens::new(ledger.clone(), vault, Client::new(client).expect("a client"));
        Self { ledger, tokens, _folder: folder }
    }

    async fn account(&self) -> Account {
        self.ledger.account("a1").await.expect("an answer").expect("the account")
    }
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
