//! A call to TikTok, as a part of its run's trace.

use super::driver::Broken;
use super::row::Publication;
use super::step::{Event, Next};
use crate::stage::traced::Said;
use crate::trace::Value;

/// Which call, and of which bytes.
pub(super) struct Called {
    pub(super) name: &'static str,
    attributes: Vec<(&'static str, Value)>,
}

impl Called {
    /// None where nobody is called.
    pub(super) fn of(next: &Next, row: &Publication) -> Option<Self> {
        let number = |number: u64| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
        let (name, attributes) = match next {
            Next::AskCreatorInfo => ("creator info", Vec::new()),
            Next::SendInit => {
                ("init", vec![("bytes", number(row.plan.size)), ("chunks", number(row.plan.count.into()))])
            }
            Next::Put { chunk } => {
                ("chunk", vec![("chunk", number(u64::from(*chunk) + 1)), ("bytes", number(row.plan.len(*chunk)))])
            }
            Next::AskStatus => ("status", Vec::new()),
            Next::Open { .. } | Next::End(_) => return None,
        };
        Some(Self { name, attributes })
    }

    pub(super) fn said(self, out: &Result<Event, Broken>) -> Said {
        let mut said = Said { attributes: self.attributes, error: None };
        match out {
            Ok(
                Event::CreatorRefuses(refusal)
                | Event::InitRefused(refusal)
                | Event::StatusRefused(refusal)
                | Event::PutRefused { refusal, .. },
            ) => {
                said.attributes.push(("reason.code", refusal.code.as_str().into()));
                said.error = Some(refusal.text.clone());
            }
            Ok(Event::StatusAnswered { status, .. }) => {
                said.attributes.push(("status", status.status.as_str().into()));
            }
            Ok(_) | Err(_) => {}
        }
        said
    }
}
