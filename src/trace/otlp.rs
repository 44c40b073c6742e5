//! Spans as OTLP's JSON, as the protocol's own document writes it: ids in hex, times as text, kinds as numbers.
//! See <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>.

use serde_json::{Value as Json, json};

use super::{Span, SpanId, Value};

/// Who sends them: OpenTelemetry's resource.
#[derive(Debug, Clone)]
pub(super) struct Resource(Json);

impl Resource {
    pub(super) fn new(attributes: &[(String, String)]) -> Self {
        Self(attributes.iter().map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } })).collect())
    }
}

/// The body of one request.
pub(super) fn body(resource: &Resource, spans: &[Span]) -> Json {
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource.0 },
        "scopeSpans": [{
            "scope": { "name": "subiteya", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }] })
}

fn span(span: &Span) -> Json {
    let attribute = |(key, value): &(&str, Value)| {
        let value = match value {
            Value::Text(text) => json!({ "stringValue": text }),
            Value::Number(number) => json!({ "intValue": number.to_string() }),
        };
        json!({ "key": key, "value": value })
    };
    let mut made = json!({
        "traceId": span.trace.hex(),
        "spanId": hex(span.id),
        "name": span.name,
        "kind": span.kind as i32,
        "startTimeUnixNano": format!("{}000", span.start),
        "endTimeUnixNano": format!("{}000", span.end.max(span.start)),
        "attributes": span.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "flags": 0x101,
    });
    if let Some(parent) = span.parent {
        made["parentSpanId"] = hex(parent).into();
    }
    if let Some(error) = &span.error {
        made["status"] = json!({ "code": 2, "message": error });
    }
    made
}

fn hex(id: SpanId) -> String {
    format!("{:016x}", u64::from_be_bytes(id.0))
}

/// How many spans the receiver says that it did not take, in an answer that is a success.
pub(super) fn rejected(answer: &Json) -> u64 {
    let number = &answer["partialSuccess"]["rejectedSpans"];
    number.as_u64().or_else(|| number.as_str()?.parse().ok()).unwrap_or(0)
}
