//! How many files a process may have open. Many shells start one with no more than 1,024, and each upload under way is two
//! of them: its connection and its object.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the units in deploy/systemd give.
const ENOUGH: u64 = 65_536;

/// Up to what this process may allow itself; never less than it has.
pub(super) fn may_be_many() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }) {
        tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}
