//! An endpoint that says what it is told to, to whatever it is asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use subiteya::media::S3;

/// Answers everything with the same.
pub(super) async fn saying(status: u16, body: &'static str) -> S3 {
    let answer = move || async move { (StatusCode::from_u16(status).expect("a status"), body) };
    settings(listening(axum::Router::new().fallback(answer)).await)
}

/// Has every object, and each is larger than any disk.
pub(super) async fn endless() -> S3 {
    let head = [("content-length", "1152921504606846976"), ("last-modified", "Mon, 23 Nov 2026 10:00:00 GMT")];
    settings(listening(axum::Router::new().fallback(move || async move { (head, [("etag", "\"x\"")]) })).await)
}

/// As much of S3 as an upload needs, but no conditional writes.
pub(super) async fn unconditional() -> S3 {
    let objects: Arc<Mutex<HashMap<String, Bytes>>> = Arc::default();
    let router = axum::Router::new().fallback(move |request: Request| {
        let objects = objects.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
            answer(&mut objects.lock().expect("no panic"), &head.method, &head.uri, &head.headers, body)
        }
    });
    settings(listening(router).await)
}

fn answer(
    objects: &mut HashMap<String, Bytes>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let (key, query) = (uri.path().to_owned(), uri.query().unwrap_or_default());
    if headers.contains_key("if-none-match") {
        let text = "<Error><Code>NotImplemented</Code><Message>a header</Message></Error>";
        return (StatusCode::NOT_IMPLEMENTED, text).into_response();
    }
    let etag = [("etag", "\"x\"")];
    match *method {
        Method::POST if query.contains("uploadId") => {
            let whole = objects.remove(&format!("{key}#")).unwrap_or_default();
            objects.insert(key, whole);
            "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>".into_response()
        }
        Method::POST => {
            "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>".into_response()
        }
        Method::PUT if query.contains("partNumber") => {
            let staged = objects.entry(format!("{key}#")).or_default();
            *staged = [staged.as_ref(), &body].concat().into();
            etag.into_response()
        }
        Method::PUT => {
            objects.insert(key, body);
            etag.into_response()
        }
        Method::HEAD | Method::GET => match objects.get(&key) {
            Some(bytes) => {
                let dated = [("last-modified", "Mon, 23 Nov 2026 10:00:00 GMT"), ("etag", "\"x\"")];
                let (size, body) = (bytes.len(), Body::from(bytes.clone()));
                if headers.contains_key("range") {
                    // Whole objects is all that is asked for here.
                    let range = [("content-range", format!("bytes 0-{}/{size}", size.saturating_sub(1)))];
                    return (StatusCode::PARTIAL_CONTENT, dated, range, body).into_response();
                }
                (dated, [("content-length", size.to_string())], body).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn listening(router: axum::Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A server of another kind: answers what is sent with this.
pub(super) async fn line(text: &'static [u8]) -> S3 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut connection, _)) = listener.accept().await {
            if connection.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                connection.write_all(text).await.ok();
            }
            connection.shutdown().await.ok();
        }
    });
    settings(address)
}

pub(super) fn settings(address: SocketAddr) -> S3 {
    S3 {
        bucket: "videos".into(),
        region: "us-east-1".into(),
        endpoint: Some(format!("http://{address}")),
        access_key_id: "key".into(),
        secret_access_key: "secret".to_owned().into(),
    }
}
