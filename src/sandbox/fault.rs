//! Faults on request. A fault names what it hits, which of the hits, and what happens then; the ones in force stand in
//! a list, and a request takes the first that is due. Written as text, a fault is
//!
//! ```text
//! TARGET[@NTH]:ACTION[=VALUE][*COUNT]
//! ```
//!
//! | | |
//! |---|---|
//! | TARGET | `creator_info`, `init`, `chunk`, `status`, `token` (exchange and refresh), `userinfo` |
//! | NTH | the first request it hits, counted from when the fault was asked for; default 1 |
//! | COUNT | how many it hits from there on; default 1, `all` for ever |
//!
//! `init:error=500*2`, `chunk@2:cut-after`, `token:hang`, `status:delay=2s*all`. See [`Action`] for the actions.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    CreatorInfo,
    Init,
    Chunk,
    Status,
    Token,
    Userinfo,
}

const TARGETS: [(&str, Target); 6] = [
    ("creator_info", Target::CreatorInfo),
    ("init", Target::Init),
    ("chunk", Target::Chunk),
    ("status", Target::Status),
    ("token", Target::Token),
    ("userinfo", Target::Userinfo),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `error=STATUS` or `error=STATUS/CODE`: answered so, without the work being done. Without a code, 502 to 504 come
    /// as a gateway's HTML, everything else as JSON.
    Error { status: u16, code: Option<String> },
    /// `rate-limit`: 429 without `Retry-After`; `rate-limit=30s`: with it.
    RateLimit(Option<Duration>),
    /// `delay=2s`: the request is handled that much later, in wall time.
    Delay(Duration),
    /// `hold=2s`: the work is done, and the answer comes that much later, in wall time.
    Hold(Duration),
    /// `hang`: never answered, the work not done.
    Hang,
    /// `cut-before`: the connection is reset, the work not done.
    CutBefore,
    /// `cut-mid`: at `chunk` reset when half the body came in; elsewhere the work is done and half the answer comes.
    CutMid,
    /// `cut-after`: the work is done, then the connection is reset instead of an answer.
    CutAfter,
    /// `expire` (`init`, `chunk`): the upload URL is dead, at `init` from birth.
    ExpireUrl,
    /// `revoke`: all tokens of the request's creator die before it is handled.
    RevokeToken,
    /// `expire-token`: the access token of the request dies before it is handled; a refresh gives a new one.
    ExpireToken,
    /// `endless` (`init`, `chunk`): the post stays PROCESSING_UPLOAD for ever.
    Endless,
    /// `fail=REASON` (`init`, `chunk`): once all bytes are in, the post ends FAILED with this reason.
    Fail(String),
    /// `daily-cap=N` (`init`): refused with spam_risk_too_many_posts from N posts a day on; creator info says nothing.
    DailyCap(usize),
    /// `stale` (`status`): the answer of before the last chunk that came in.
    Stale,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub target: Target,
    /// 1 is the first request.
    pub nth: u32,
    /// `None`: for ever.
    pub count: Option<u32>,
    pub action: Action,
}

impl Fault {
    /// The faults of a file: one a line, empty lines and those that begin with `#` aside.
    pub fn read_all(text: &str) -> Result<Vec<Self>, BadFault> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::parse).collect()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no fault: {why}")]
pub struct BadFault {
    text: String,
    why: &'static str,
}

impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, BadFault> {
        let bad = |why| BadFault { text: text.to_owned(), why };
        let (target, action) = text.split_once(':').ok_or_else(|| bad("expected TARGET:ACTION"))?;
        let (target, nth) = target.split_once('@').unwrap_or((target, "1"));
        let target = TARGETS
            .iter()
            .find(|(name, _)| *name == target.trim())
            .map(|(_, target)| *target)
            .ok_or_else(|| bad("the target is one of creator_info, init, chunk, status, token, userinfo"))?;
        let nth = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(|| bad("@NTH is a number from 1"))?;
        let (action, count) = match action.rsplit_once('*') {
            None => (action, if action.starts_with("daily-cap") { None } else { Some(1) }),
            Some((action, "all")) => (action, None),
            Some((action, count)) => (action, Some(count.parse().map_err(|_| bad("*COUNT is a number or `all`"))?)),
        };
        let action = Action::parse(action).map_err(bad)?;
        if !action.fits(target) {
            return Err(bad("this action has no meaning at this target"));
        }
        Ok(Self { target, nth, count, action })
    }
}

impl Action {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, value) =
            text.trim().split_once('=').map_or((text.trim(), None), |(name, value)| (name, Some(value)));
        Ok(match (name, value) {
            ("error", Some(value)) => {
                let (status, code) = value.split_once('/').map_or((value, None), |(status, code)| (status, Some(code)));
                let status = status.parse().ok().filter(|status| (200..=599).contains(status));
                Self::Error { status: status.ok_or("the status is 200 to 599")?, code: code.map(str::to_owned) }
            }
            ("rate-limit", None) => Self::RateLimit(None),
            ("rate-limit", Some(value)) => Self::RateLimit(Some(parse_duration(value).ok_or(DURATION)?)),
            ("delay", Some(value)) => Self::Delay(parse_duration(value).ok_or(DURATION)?),
            ("hold", Some(value)) => Self::Hold(parse_duration(value).ok_or(DURATION)?),
            ("hang", None) => Self::Hang,
            ("cut-before", None) => Self::CutBefore,
            ("cut-mid", None) => Self::CutMid,
            ("cut-after", None) => Self::CutAfter,
            ("expire", None) => Self::ExpireUrl,
            ("revoke", None) => Self::RevokeToken,
            ("expire-token", None) => Self::ExpireToken,
            ("endless", None) => Self::Endless,
            ("fail", Some(reason)) if !reason.is_empty() => Self::Fail(reason.to_owned()),
            ("daily-cap", Some(value)) => Self::DailyCap(value.parse().map_err(|_| "the cap is a number")?),
            ("stale", None) => Self::Stale,
            _ => return Err("unknown action, or one whose value is missing or too much"),
        })
    }

    fn fits(&self, target: Target) -> bool {
        match self {
            Self::ExpireUrl | Self::Endless | Self::Fail(_) => matches!(target, Target::Init | Target::Chunk),
            Self::DailyCap(_) => target == Target::Init,
            Self::Stale => target == Target::Status,
            Self::RevokeToken | Self::ExpireToken => !matches!(target, Target::Chunk | Target::Token),
            _ => true,
        }
    }
}

const DURATION: &str = "a duration is written 500ms, 10s, 5m or 1h";

/// `500ms`, `10s`, `5m`, `1h`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit].parse().ok()?;
    let millis: u64 = match &text[unit..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = TARGETS.iter().find(|(_, target)| *target == self.target).map_or("", |(name, _)| name);
        f.write_str(target)?;
        if self.nth != 1 {
            write!(f, "@{}", self.nth)?;
        }
        match &self.action {
            Action::Error { status, code: None } => write!(f, ":error={status}"),
            Action::Error { status, code: Some(code) } => write!(f, ":error={status}/{code}"),
            Action::RateLimit(None) => write!(f, ":rate-limit"),
            Action::RateLimit(Some(after)) => write!(f, ":rate-limit={}ms", after.as_millis()),
            Action::Delay(delay) => write!(f, ":delay={}ms", delay.as_millis()),
            Action::Hold(hold) => write!(f, ":hold={}ms", hold.as_millis()),
            Action::Hang => write!(f, ":hang"),
            Action::CutBefore => write!(f, ":cut-before"),
            Action::CutMid => write!(f, ":cut-mid"),
            Action::CutAfter => write!(f, ":cut-after"),
            Action::ExpireUrl => write!(f, ":expire"),
            Action::RevokeToken => write!(f, ":revoke"),
            Action::ExpireToken => write!(f, ":expire-token"),
            Action::Endless => write!(f, ":endless"),
            Action::Fail(reason) => write!(f, ":fail={reason}"),
            Action::DailyCap(cap) => write!(f, ":daily-cap={cap}"),
            Action::Stale => write!(f, ":stale"),
        }?;
        match self.count {
            Some(1) => Ok(()),
            Some(count) => write!(f, "*{count}"),
            None => write!(f, "*all"),
        }
    }
}

/// The faults in force. They don't survive a restart.
pub(super) struct Faults {
    list: Mutex<Vec<InForce>>,
}

struct InForce {
    fault: Fault,
    seen: u32,
}

/// A fault as `GET /sandbox/faults` shows it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    fault: String,
    /// Requests to its target since it was asked for.
    seen: u32,
}

impl Faults {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        let list = faults.into_iter().map(|fault| InForce { fault, seen: 0 }).collect();
        Self { list: Mutex::new(list) }
    }

    pub(super) fn add(&self, faults: Vec<Fault>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.extend(faults.into_iter().map(|fault| InForce { fault, seen: 0 }));
    }

    pub(super) fn clear(&self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn show(&self) -> Vec<Shown> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().map(|entry| Shown { fault: entry.fault.to_string(), seen: entry.seen }).collect()
    }

    /// The fault that hits this request, if any. Every fault of the target counts it; the first that is due gets it.
    pub(super) fn take(&self, target: Target) -> Option<Fault> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hit = None;
        for entry in list.iter_mut().filter(|entry| entry.fault.target == target) {
            if hit.is_some() && entry.seen + 1 >= entry.fault.nth {
                // Another fault has this request: a due one keeps its hits for the next.
                continue;
            }
            entry.seen = entry.seen.saturating_add(1);
            if entry.seen >= entry.fault.nth {
                hit = Some(entry.fault.clone());
            }
        }
        list.retain(|entry| {
            entry.fault.count.is_none_or(|count| entry.seen < entry.fault.nth.saturating_add(count).saturating_sub(1))
        });
        hit
    }
}
