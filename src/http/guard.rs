//! What every request passes: its id, the `Host` it asked for, CORS, and the headers that every answer carries.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;
use url::Url;

use super::{AppState, Problem};
use crate::config::HttpConfig;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// How long a browser need not ask again whether it may.
const PREFLIGHT: Duration = Duration::from_secs(3600);

/// The names under which we may be asked. Any other is a page elsewhere that had its name point here.
pub(super) struct Hosts {
    names: BTreeSet<String>,
    /// Listening everywhere: any address of this machine will do; an address can't be made to point elsewhere.
    any_address: bool,
}

impl Hosts {
    pub(super) fn of(config: &HttpConfig) -> Self {
        let own = config.host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let any_address = own.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
        let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        names.insert(own);
        let origins = config.allowed_origins.iter().filter_map(|origin| Url::parse(origin).ok());
        names.extend(origins.filter_map(|url| Some(bare(url.host_str()?).to_ascii_lowercase())));
        Self { names, any_address }
    }

    fn knows(&self, host: &str) -> bool {
        let name = bare(host).to_ascii_lowercase();
        self.names.contains(&name) || (self.any_address && name.parse::<IpAddr>().is_ok())
    }
}

/// The host without its port and brackets.
fn bare(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

pub(super) async fn host(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // Probes ask by address, TikTok by whatever name stands before us; neither of them has a cookie.
    let open = matches!(path, "/healthz" | "/readyz") || path.starts_with("/api/webhooks/");
    let asked = request.uri().authority().map(|authority| authority.as_str());
    let asked = asked.or_else(|| request.headers().get(header::HOST).and_then(|host| host.to_str().ok()));
    if open || asked.is_some_and(|asked| state.hosts.knows(asked)) {
        return next.run(request).await;
    }
    let detail = "this server does not answer under that Host; \
                  if the name is yours, add its origin to SUBITEYA_ALLOWED_ORIGINS";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", detail).into_response()
}

/// Whether the origin is a page that this host served.
pub(super) fn is_origin_of(origin: &str, host: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    if !matches!(url.scheme(), "http" | "https") || url.origin().ascii_serialization() != origin.to_ascii_lowercase() {
        return false;
    }
    let Ok(ours) = Url::parse(&format!("{}://{host}/", url.scheme())) else { return false };
    ours.origin() == url.origin()
}

pub(super) fn cors(state: &AppState) -> CorsLayer {
    let origins = state.http.allowed_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::RANGE,
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([
            REQUEST_ID,
            header::CONTENT_RANGE,
            header::ACCEPT_RANGES,
            header::CONTENT_LENGTH,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
        ])
        .max_age(PREFLIGHT)
}

pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Not `no-referrer`: with it browsers send `Origin: null` with a form.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(POLICY);
    response
}

/// An id of our own for each request, on its log lines and its answer.
pub(super) async fn request(request: Request, next: Next) -> Response {
    let id = uuid::Uuid::new_v4().to_string();
    // The path only where it can't hold a token.
    let path = request.uri().path();
    let path = if path.starts_with("/sign-in/") { "/sign-in/…" } else { path };
    let span = tracing::info_span!("request", id = %id, method = %request.method(), path = %path);
    async move {
        let began = std::time::Instant::now();
        let mut response = next.run(request).await;
        let status = response.status().as_u16();
        tracing::debug!(status, took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(0), "answered");
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_ours_when_scheme_host_and_port_say_so() {
        assert!(is_origin_of("http://localhost:3000", "localhost:3000"));
        assert!(is_origin_of("https://studio.example", "studio.example"));
        assert!(is_origin_of("https://studio.example", "studio.example:443"));
        assert!(!is_origin_of("http://localhost:3001", "localhost:3000"));
        assert!(!is_origin_of("http://localhost:3000.evil.example", "localhost:3000"));
        assert!(!is_origin_of("null", "localhost:3000"));
    }

    #[test]
    fn hosts_lose_their_port_and_brackets() {
        assert_eq!(bare("[::1]:3000"), "::1");
        assert_eq!(bare("localhost:3000"), "localhost");
        assert_eq!(bare("localhost"), "localhost");
    }
}
