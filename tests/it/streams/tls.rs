//! `rediss://` with a private authority: who is trusted, and what is said of a certificate that isn't.

use std::io::Write;

use super::command;
use crate::support::kinds::{Authority, Service};

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_said_at_once_and_plainly() {
    let Service::One { tls: Some(tls), .. } = &Service::tls().await else { panic!("no TLS") };
    let (right, wrong) = (file(&tls.authority.pem()), file(&Authority::new().pem()));
    let (right, wrong) = (right.path().to_str().unwrap(), wrong.path().to_str().unwrap());
    let url = tls.url();
    for env in [vec![("REDIS_URL", url.as_str()), ("REDIS_CA_FILE", wrong)], vec![("REDIS_URL", url.as_str())]] {
        let (code, said) = command(&env);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.lines().count() == 1 && said.contains("authority") && said.contains("REDIS_CA_FILE"), "{said}");
    }
    // The certificate is for localhost and 127.0.0.1.
    let other = format!("rediss://127.0.0.2:{}", tls.port);
    let (code, said) = command(&[("REDIS_URL", &other), ("REDIS_CA_FILE", right)]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.lines().count() == 1 && said.contains("for another name"), "{said}");
}
