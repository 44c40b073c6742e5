//! The form's fields, read and checked.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::Value;

use super::Refusal;
use crate::control;
use crate::creator::{LONGEST_TITLE, PostOptions, Privacy};
use crate::ffmpeg::Captions;
use crate::ledger::Priority;

/// What the uploader asks for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) account: String,
    pub(super) title: String,
    pub(super) options: PostOptions,
    pub(super) priority: Priority,
    /// Milliseconds since 1970, on the wall clock.
    pub(super) publish_at: Option<i64>,
    /// As it was sent; the account's image is not known yet.
    pub(super) brand: Option<Value>,
}

impl Wish {
    pub(super) fn read(fields: &BTreeMap<String, String>, captions: Option<&[u8]>) -> Result<Self, Refusal> {
        if let Some(bytes) = captions.filter(|bytes| !bytes.is_empty()) {
            Captions::parse(bytes).map_err(Refusal::Content)?;
        }
        let wish = Self {
            account: required(fields, "accountId")?.to_owned(),
            title: title(required(fields, "title")?)?,
            options: PostOptions {
                privacy_level: privacy(fields)?,
                allow_comment: flag(fields, "allowComment")?,
                allow_duet: flag(fields, "allowDuet")?,
                allow_stitch: flag(fields, "allowStitch")?,
                branded_content: flag(fields, "brandedContent")?,
                your_brand: flag(fields, "yourBrand")?,
                ai_generated: flag(fields, "aiGenerated")?,
            },
            priority: priority(fields)?,
            publish_at: publish_at(fields)?,
            brand: brand(fields)?,
        };
        match wish.options.contradiction() {
            Some(reason) => Err(Refusal::Content(reason)),
            None => Ok(wish),
        }
    }
}

/// One field as soon as it is there, so that what stands before the file is refused before the file is sent.
pub(super) fn check(fields: &BTreeMap<String, String>, name: &str) -> Result<(), Refusal> {
    match name {
        "title" => title(required(fields, name)?).map(drop),
        "privacyLevel" => privacy(fields).map(drop),
        "priority" => priority(fields).map(drop),
        "publishAt" => publish_at(fields).map(drop),
        "brand" => brand(fields).map(drop),
        "accountId" => Ok(()),
        _ => flag(fields, name).map(drop),
    }
}

fn given<'f>(fields: &'f BTreeMap<String, String>, name: &str) -> Option<&'f str> {
    fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn required<'f>(fields: &'f BTreeMap<String, String>, name: &str) -> Result<&'f str, Refusal> {
    fields
        .get(name)
        .map(String::as_str)
        .ok_or_else(|| Refusal::content("field_missing", format!("the field {name:?} is missing")))
}

fn title(text: &str) -> Result<String, Refusal> {
    let units = text.encode_utf16().count();
    if units > LONGEST_TITLE {
        let text = format!("the title has {units} UTF-16 units; TikTok takes {LONGEST_TITLE}");
        return Err(Refusal::content("title_too_long", text));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Refusal::content("title_invalid", "the title holds control characters; leave them out"));
    }
    Ok(text.to_owned())
}

fn flag(fields: &BTreeMap<String, String>, name: &str) -> Result<bool, Refusal> {
    match given(fields, name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Refusal::content("flag_invalid", format!("the field {name:?} has to be true or false"))),
    }
}

fn privacy(fields: &BTreeMap<String, String>) -> Result<Privacy, Refusal> {
    let Some(text) = given(fields, "privacyLevel") else { return Ok(Privacy::default()) };
    Privacy::ALL.into_iter().find(|level| level.as_str() == text).ok_or_else(|| {
        let known = Privacy::ALL.map(Privacy::as_str).join(", ");
        Refusal::content("privacy_invalid", format!("privacyLevel has to be one of {known}"))
    })
}

fn priority(fields: &BTreeMap<String, String>) -> Result<Priority, Refusal> {
    match given(fields, "priority") {
        None | Some("high") => Ok(Priority::High),
        Some("normal") => Ok(Priority::Normal),
        Some("low") => Ok(Priority::Low),
        Some(_) => Err(Refusal::content("priority_invalid", "priority has to be high, normal or low")),
    }
}

/// A time that is over already means now; the publish stage compares.
fn publish_at(fields: &BTreeMap<String, String>) -> Result<Option<i64>, Refusal> {
    let Some(text) = given(fields, "publishAt") else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| {
        let text = "publishAt has to be a time like 2026-11-30T18:00:00Z (RFC 3339, with its zone)";
        Refusal::content("publish_at_invalid", text)
    })?;
    control::schedule::near_enough("publishAt", time.timestamp_millis()).map_err(Refusal::Content)?;
    Ok(Some(time.timestamp_millis()))
}

/// `none` is a brand without any part.
fn brand(fields: &BTreeMap<String, String>) -> Result<Option<Value>, Refusal> {
    let Some(text) = given(fields, "brand") else { return Ok(None) };
    if text == "none" {
        return Ok(Some(serde_json::json!({ "watermark": null, "captions": null, "effects": [] })));
    }
    let wrong = |error| Refusal::content("brand_invalid", format!("brand has to be \"none\" or JSON: {error}"));
    serde_json::from_str(text).map(Some).map_err(wrong)
}
