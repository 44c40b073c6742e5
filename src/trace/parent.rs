//! The W3C `traceparent` of an upload: the trace that its sender is in.

use uuid::Uuid;

use super::SpanId;
use crate::event::TraceId;

/// The sender's trace and span. Whether the sender samples it is the sender's affair: a video's trace is exported by what is
/// set here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    pub trace: TraceId,
    pub span: SpanId,
}

impl Parent {
    /// None where it isn't one: whoever sends nonsense gets a trace of their own, as the standard has it.
    /// See <https://www.w3.org/TR/trace-context/#traceparent-header>.
    pub fn read(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let more = parts.next().is_some();
        let sane = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
        if !sane || version == "ff" || (version == "00" && more) {
            return None;
        }
        let span = u64::from_str_radix(span, 16).ok().filter(|&span| span != 0)?;
        let trace = Uuid::try_parse(trace).ok().filter(|trace| !trace.is_nil())?;
        Some(Self { trace: TraceId::from(trace), span: SpanId(span.to_be_bytes()) })
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_header_is_taken_and_any_other_is_as_none() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let parent = Parent::read(&format!("00-{trace}-{span}-01")).expect("sane");
        assert_eq!(parent.trace.hex(), trace);
        assert_eq!(parent.span, SpanId([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
        assert!(Parent::read(&format!("01-{trace}-{span}-00-more")).is_some(), "a later version may say more");
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            "nonsense".to_owned(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{zeros}-{span}-01"),
            format!("00-{trace}-{}-01", &zeros[..16]),
            format!("00-{trace}é-{span}-01"),
        ] {
            assert_eq!(Parent::read(&wrong), None, "{wrong}");
        }
    }
}
