//! SIGTERM and Ctrl-C: the first stops reading at once and gives running work a deadline, the second ends it now.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::stage::Stop;

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::failed(format!("signals can't be heard: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Stops the work and waits for `ended`: until the deadline by itself, after it by handing back.
    pub(super) async fn stop<T>(
        &mut self,
        stop: &Stop,
        deadline: Duration,
        ended: impl Future<Output = T>,
    ) -> Option<T> {
        stop.reading.cancel();
        let mut ended = std::pin::pin!(ended);
        tokio::select! {
            done = &mut ended => return Some(done),
            () = tokio::time::sleep(deadline) => {
                tracing::info!("the deadline is over; what still runs is handed back");
                stop.working.cancel();
            }
            () = self.next() => return None,
        }
        tokio::select! {
            done = &mut ended => Some(done),
            () = self.next() => None,
        }
    }
}
