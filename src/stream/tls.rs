//! `rediss://`: who is trusted, and what a refused certificate means.

use std::sync::Arc;

use fred::types::config::TlsConnector;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::{Result, StreamError};

/// Trusts these authorities and no other.
pub(super) fn trusting(authorities: &[CertificateDer<'static>]) -> Result<TlsConnector> {
    let wrong = |error: rustls::Error| StreamError::Rejected(format!("REDIS_CA: {error}"));
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(wrong)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth().into())
}

/// Why the handshake failed, where waiting won't change it. fred hands rustls' error on in its debug form.
pub(super) fn refusal(details: &str) -> Option<String> {
    let text = match details {
        // BadSignature: an authority of the same name with another key.
        _ if ["UnknownIssuer", "BadSignature"]
            .iter()
            .any(|wrong| details.contains(&format!("InvalidCertificate({wrong}"))) =>
        {
            "its certificate is signed by an authority that is not trusted; name the authority's certificate with \
             REDIS_CA_FILE"
        }
        _ if details.contains("InvalidCertificate(NotValidForName") => {
            "its certificate is for another name; use the name that the certificate has"
        }
        _ if details.contains("InvalidCertificate(Expired") => "its certificate has expired",
        _ if details.contains("InvalidCertificate(NotValidYet") => {
            "its certificate is not valid yet; is the clock right?"
        }
        _ if details.contains("InvalidCertificate(") => {
            return Some(format!("its certificate is not accepted: {details}"));
        }
        _ if details.contains("InvalidMessage(") => {
            "what answers there does not speak TLS; expected redis://, or the port at which it does"
        }
        _ => return None,
    };
    Some(text.to_owned())
}
