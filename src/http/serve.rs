//! Takes the connections. `axum::serve` lets a client take for ever over the head of a request, so a few hundred of them
//! would hold as many connections open at no cost to themselves.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// How long a client may take over the head of a request, and leave a connection unused.
pub(super) const HEAD: Duration = Duration::from_secs(60);
/// After a connection could not be taken, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Until `closing`; then what is under way is finished.
pub(super) async fn connections(listener: TcpListener, app: Router, closing: CancellationToken, head: Duration) {
    let open = TaskTracker::new();
    loop {
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            () = closing.cancelled() => break,
        };
        match taken {
            Ok((stream, _)) => {
                open.spawn(connection(stream, app.clone(), closing.clone(), head));
            }
            Err(error) if of_the_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

async fn connection(stream: TcpStream, app: Router, closing: CancellationToken, head: Duration) {
    let service = app.map_request(|request: Request<hyper::body::Incoming>| request.map(Body::new));
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    let mut told = false;
    loop {
        tokio::select! {
            done = connection.as_mut() => {
                if let Err(error) = done {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = closing.cancelled(), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_client_that_never_ends_its_head_is_cut_off_and_one_that_does_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let closing = CancellationToken::new();
        let app = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let serving = tokio::spawn(connections(listener, app, closing.clone(), Duration::from_millis(200)));
        let send = async |head: &str| {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(head.as_bytes()).await.expect("sent");
            let mut answer = String::new();
            let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer));
            read.await.expect("closed").expect("read");
            answer
        };
        assert!(!send("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.contains("200 OK"));
        assert!(send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.ends_with("here"));
        closing.cancel();
        tokio::time::timeout(Duration::from_secs(10), serving).await.expect("ended").expect("no panic");
    }
}
