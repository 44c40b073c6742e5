//! Reads the replies that fred's typed helpers get wrong: a read that ended with nothing is an error to them, and a
//! pending entry that is gone is dropped.

use std::collections::HashMap;

use fred::types::Value;

use super::{Content, Delivery, Pending};
use crate::event::Entry;

/// `[[stream, [[id, fields | nil], …]]]`, or nil.
pub(super) fn read(reply: Value) -> Vec<Delivery> {
    let streams = match reply {
        Value::Array(streams) => streams,
        // RESP3 gives a map.
        Value::Map(map) => map
            .inner()
            .into_values()
            .collect::<Vec<_>>()
            .into_iter()
            .map(|entries| Value::Array(vec![Value::Null, entries]))
            .collect(),
        _ => return Vec::new(),
    };
    streams.into_iter().filter_map(|stream| array(stream)?.into_iter().nth(1)).flat_map(entries).collect()
}

/// `[[id, fields | nil], …]`; XCLAIM of Redis 6 gives nil for an entry that is gone.
pub(super) fn entries(list: Value) -> Vec<Delivery> {
    array(list).unwrap_or_default().into_iter().filter_map(delivery).collect()
}

fn delivery(entry: Value) -> Option<Delivery> {
    let mut parts = array(entry)?.into_iter();
    let id = parts.next()?.into_string()?;
    let content = match parts.next() {
        Some(fields) if !fields.is_null() => decode(fields),
        _ => Content::Gone,
    };
    Some(Delivery { id, content })
}

fn decode(fields: Value) -> Content {
    let fields = text_fields(fields);
    match Entry::decode(&fields) {
        Ok(entry) => Content::Entry(entry),
        Err(reason) => Content::Undecodable { reason, fields },
    }
}

fn text_fields(fields: Value) -> HashMap<String, String> {
    let text = |value: Value| match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.into_string().unwrap_or_default(),
    };
    let mut parts = array(fields).unwrap_or_default().into_iter();
    let mut map = HashMap::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        map.insert(text(name), text(value));
    }
    map
}

/// `[[id, consumer, idle, deliveries], …]`
pub(super) fn pending(reply: Value) -> Vec<Pending> {
    let line = |line: Value| {
        let mut parts = array(line)?.into_iter();
        Some(Pending {
            id: parts.next()?.into_string()?,
            consumer: parts.next()?.into_string()?,
            idle_ms: parts.next()?.as_u64()?,
            deliveries: parts.next()?.as_u64()?,
        })
    };
    array(reply).unwrap_or_default().into_iter().filter_map(line).collect()
}

fn array(value: Value) -> Option<Vec<Value>> {
    if let Value::Array(list) = value { Some(list) } else { None }
}
