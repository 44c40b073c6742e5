//! Every refusal has its class, and this file is the one table of them.
//!
//! The data: [`CODES`] (the API's `error.code`), [`FAIL_REASONS`] (why TikTok gave a video up after it had the bytes)
//! and [`OAUTH`] (the flat errors of the token routes) map TikTok's words to a [`Class`] and a sentence for people. A
//! code that stands in none of them is classified by its HTTP status and shown whole.

use crate::outcome::Reason;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Whom a closed limit holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    Account,
    App,
    All,
}

/// What a refusal means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody's fault and no effect: again after a growing pause.
    Transient,
    /// Closed for a while: `pause` milliseconds (TikTok's `Retry-After`, or what is known of the code).
    Throttled { key: Key, pause: i64 },
    /// Refresh the token, then repeat once. Never an outcome.
    TokenExpired,
    /// A person must connect the account again; its posts wait.
    NeedsReconnect,
    /// This video can't be posted as it is asked for; its creator can ask for something else, and until then it is held.
    NeedsChange,
    /// This video can't be posted as it is.
    PermanentForVideo,
    /// This account can't post; a person must look.
    PermanentForAccount,
    /// We did something wrong.
    Bug,
    /// It may have been done. Ask.
    OutcomeUnknown,
}

/// TikTok, or the way to it, said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({code})")]
pub struct Refusal {
    pub class: Class,
    /// TikTok's code, or ours where TikTok gave none.
    pub code: String,
    /// In words, with what to do.
    pub text: String,
    /// HTTP status; 0 where no answer came.
    pub http: u16,
    pub log_id: Option<String>,
    /// TikTok's `Date`, milliseconds.
    pub date: Option<i64>,
}

impl Refusal {
    pub fn reason(&self) -> Reason {
        Reason::new(self.code.clone(), self.text.clone())
    }

    /// A refusal of our own making: the connection was never made, or a check failed before anything was sent.
    pub fn ours(class: Class, code: &str, text: impl Into<String>) -> Self {
        Self { class, code: code.to_owned(), text: text.into(), http: 0, log_id: None, date: None }
    }

    /// Nothing was sent, for sure: no connection, no name, no TLS.
    pub fn not_sent(text: impl Into<String>) -> Self {
        Self::ours(Class::Transient, "not_sent", text)
    }

    /// Something was sent and the answer did not come, or made no sense.
    pub fn answer_lost(text: impl Into<String>) -> Self {
        Self::ours(Class::OutcomeUnknown, "answer_lost", text)
    }
}

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub code: &'static str,
    pub class: Class,
    pub text: &'static str,
}

const fn known(code: &'static str, class: Class, text: &'static str) -> Known {
    Known { code, class, text }
}

const fn throttled(key: Key, pause: i64) -> Class {
    Class::Throttled { key, pause }
}

/// `error.code` of the API.
pub static CODES: &[Known] = &[
    known("invalid_param", Class::Bug, "TikTok refused a field of our request"),
    known("invalid_params", Class::Bug, "TikTok refused a field of our request"),
    known("invalid_publish_id", Class::Bug, "TikTok does not know this upload"),
    known(
        "token_not_authorized_for_specified_publish_id",
        Class::Bug,
        "this upload belongs to another account than the one we asked with",
    ),
    known("publish_not_cancellable", Class::PermanentForVideo, "TikTok can no longer cancel this post"),
    known(
        "scope_permission_missed",
        Class::NeedsReconnect,
        "the account did not allow this; connect it again and allow posting",
    ),
    known("invalid_file_upload", Class::PermanentForVideo, "TikTok does not take this file; upload another one"),
    known("access_token_invalid", Class::TokenExpired, "the access token is no longer good"),
    known(
        "scope_not_authorized",
        Class::NeedsReconnect,
        "the account did not allow posting; connect it again and allow it",
    ),
    known(
        "spam_risk_too_many_posts",
        throttled(Key::Account, DAY),
        "this account has reached TikTok's number of posts for a day; it goes on by itself",
    ),
    known(
        "spam_risk_user_banned_from_posting",
        Class::PermanentForAccount,
        "TikTok has banned this account from posting; look into the TikTok app",
    ),
    known(
        "reached_active_user_cap",
        throttled(Key::App, DAY),
        "the app has reached TikTok's number of posting accounts for a day; it goes on by itself",
    ),
    known(
        "unaudited_client_can_only_post_to_private_accounts",
        Class::PermanentForAccount,
        "until TikTok has audited the app it posts to private accounts only; set the account to private",
    ),
    known(
        "privacy_level_option_mismatch",
        Class::NeedsChange,
        "the account does not allow this privacy level; choose one that it offers",
    ),
    known(
        "url_ownership_unverified",
        Class::PermanentForVideo,
        "TikTok does not know that the video's address is ours; post it as an upload",
    ),
    known(
        "spam_risk_too_many_pending_share",
        throttled(Key::Account, DAY),
        "this account has too many unfinished posts at TikTok; it goes on by itself",
    ),
    known(
        "spam_risk",
        Class::PermanentForVideo,
        "TikTok takes this post for spam; change the video or its title, and look into the TikTok app",
    ),
    known("rate_limit_exceeded", throttled(Key::Account, MINUTE), "too many requests for this account in a minute"),
    known("internal_error", Class::Transient, "TikTok has trouble of its own"),
];

/// `fail_reason` of a status FAILED. `Transient` and `Throttled` are those that allow another init.
pub static FAIL_REASONS: &[Known] = &[
    known("internal", Class::Transient, "TikTok failed to process the video, and allows another try"),
    known("video_pull_failed", Class::Transient, "TikTok could not fetch the video, and allows another try"),
    known("photo_pull_failed", Class::Transient, "TikTok could not fetch the photo, and allows another try"),
    known("publish_cancelled", Class::Transient, "the post was cancelled at TikTok, which allows another try"),
    known(
        "spam_risk_too_many_posts",
        throttled(Key::Account, DAY),
        "this account has reached TikTok's number of posts for a day; it goes on by itself",
    ),
    known(
        "file_format_check_failed",
        Class::PermanentForVideo,
        "TikTok does not take this file format; upload an MP4 with H.264",
    ),
    known(
        "duration_check_failed",
        Class::PermanentForVideo,
        "the video is too long or too short for this account; upload one of another length",
    ),
    known(
        "frame_rate_check_failed",
        Class::PermanentForVideo,
        "TikTok takes 23 to 60 frames a second; upload a video with such a rate",
    ),
    known(
        "picture_size_check_failed",
        Class::PermanentForVideo,
        "TikTok takes 360 to 4096 pixels a side; upload a video of such a size",
    ),
    known("spam_risk", Class::PermanentForVideo, "TikTok takes this post for spam; look into the TikTok app"),
    known("spam_risk_text", Class::PermanentForVideo, "TikTok takes the title for spam; change it"),
    known(
        "spam_risk_user_banned_from_posting",
        Class::PermanentForAccount,
        "TikTok has banned this account from posting; look into the TikTok app",
    ),
    known(
        "auth_removed",
        Class::NeedsReconnect,
        "the account's owner removed the app at TikTok; connect the account again",
    ),
];

/// `error` of the OAuth routes.
pub static OAUTH: &[Known] = &[
    known("invalid_request", Class::Bug, "TikTok refused our OAuth request"),
    known(
        "invalid_client",
        Class::Bug,
        "TikTok does not know the app; check TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET",
    ),
    known("invalid_grant", Class::NeedsReconnect, "TikTok no longer takes this login; connect the account again"),
    known("invalid_scope", Class::Bug, "the app may not ask for these permissions; add them at TikTok"),
    known("unauthorized_client", Class::Bug, "the app may not do this; check its settings at TikTok"),
    known("unsupported_grant_type", Class::Bug, "TikTok does not know this kind of grant"),
    known("unsupported_response_type", Class::Bug, "TikTok does not know this kind of answer"),
    known("access_denied", Class::NeedsReconnect, "the account's owner did not agree; connect the account again"),
    known("access_token_invalid", Class::TokenExpired, "the access token is no longer good"),
    known("rate_limit_exceeded", throttled(Key::App, MINUTE), "too many OAuth requests"),
    known("internal_error", Class::Transient, "TikTok has trouble of its own"),
    known("server_error", Class::Transient, "TikTok has trouble of its own"),
    known("temporarily_unavailable", Class::Transient, "TikTok has trouble of its own"),
];

fn find(table: &'static [Known], code: &str) -> Option<&'static Known> {
    table.iter().find(|known| known.code == code)
}

/// What an answer's head says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head {
    pub http: u16,
    /// `Date`, milliseconds.
    pub date: Option<i64>,
    /// `Retry-After`, milliseconds.
    pub retry_after: Option<i64>,
}

/// A refusal in the API's envelope.
pub fn of_code(head: Head, code: &str, message: &str, log_id: Option<String>) -> Refusal {
    refusal(find(CODES, code), head, code, message, log_id)
}

/// A refusal of an OAuth route.
pub fn of_oauth(head: Head, error: &str, description: &str, log_id: Option<String>) -> Refusal {
    refusal(find(OAUTH, error), head, error, description, log_id)
}

/// An answer without a body that we understand. A redirect, 403, 404 or the like is then not the API's word but that of
/// something before it: an outage, which fails no video.
pub fn of_http(head: Head, body: &str) -> Refusal {
    let mut seen: String = body.chars().take(200).collect();
    if seen.is_empty() {
        seen.push_str("no body");
    }
    let text = match class_of_http(head.http) {
        Class::Bug if head.http == 400 => None,
        Class::Bug | Class::PermanentForVideo => {
            Some(Known { code: "", class: Class::Transient, text: "something answered that is not TikTok's API" })
        }
        _ => None,
    };
    refusal(text.as_ref(), head, &format!("http_{}", head.http), &seen, None)
}

/// What TikTok gave as the reason of FAILED. An unknown one allows no other try: only a known one may.
pub fn of_fail_reason(fail_reason: Option<&str>, date: Option<i64>) -> Refusal {
    let code = fail_reason.filter(|code| !code.is_empty()).unwrap_or("no_reason_given");
    let (class, text) = match find(FAIL_REASONS, code) {
        Some(known) => (known.class, known.text.to_owned()),
        None => (Class::PermanentForVideo, format!("TikTok failed the post with a reason that is new to us: {code}")),
    };
    Refusal { class, code: code.to_owned(), text, http: 200, log_id: None, date }
}

/// A refused PUT. Only a 400 is an outcome (our bug); everything else is a reason to ask.
pub fn of_upload(head: Head, body: &str) -> Refusal {
    let class = if head.http == 400 { Class::Bug } else { Class::OutcomeUnknown };
    Refusal { class, ..of_http(head, body) }
}

fn refusal(known: Option<&Known>, head: Head, code: &str, message: &str, log_id: Option<String>) -> Refusal {
    let class = match known {
        Some(known) => known.class,
        None => class_of_http(head.http),
    };
    let class = match (class, head.retry_after) {
        (Class::Throttled { key, .. }, Some(pause)) => Class::Throttled { key, pause },
        // A 5xx that names a time wants to be left alone until then.
        (Class::Transient, Some(pause)) => Class::Throttled { key: Key::Account, pause },
        (class, _) => class,
    };
    let words = known.map_or("TikTok refused with a code that is new to us", |known| known.text);
    let text = if message.is_empty() { words.to_owned() } else { format!("{words}; TikTok says: {message}") };
    Refusal { class, code: code.to_owned(), text, http: head.http, log_id, date: head.date }
}

/// The class of a code that stands in no table.
fn class_of_http(http: u16) -> Class {
    match http {
        401 => Class::TokenExpired,
        403 => Class::PermanentForVideo,
        429 => Class::Throttled { key: Key::Account, pause: MINUTE },
        408 | 425 | 500..=599 => Class::Transient,
        // TikTok sends refusals of an account or the app with 200: of an unknown one nothing is known.
        200..=299 => Class::OutcomeUnknown,
        // A redirect, any other 4xx: nothing that a repeat would mend.
        _ => Class::Bug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_says_two_things_about_one_code() {
        for table in [CODES, FAIL_REASONS, OAUTH] {
            let mut codes: Vec<_> = table.iter().map(|known| known.code).collect();
            codes.sort_unstable();
            codes.dedup();
            assert_eq!(codes.len(), table.len());
        }
    }

    #[test]
    fn an_unknown_code_is_classified_by_its_http_status_and_shown_whole() {
        let head = |http| Head { http, ..Head::default() };
        let new = of_code(head(503), "brand_new", "words of theirs", Some("L1".to_owned()));
        assert_eq!(new.class, Class::Transient);
        assert!(new.to_string().contains("brand_new") && new.to_string().contains("words of theirs"), "{new}");
        assert_eq!(of_code(head(429), "x", "", None).class, throttled(Key::Account, MINUTE));
        assert_eq!(of_code(head(400), "x", "", None).class, Class::Bug);
        assert_eq!(of_code(head(403), "x", "", None).class, Class::PermanentForVideo);
        assert_eq!(of_code(head(200), "x", "", None).class, Class::OutcomeUnknown);
        for http in [302, 403, 404, 405, 502] {
            assert_eq!(of_http(head(http), "<html>").class, Class::Transient, "{http}");
        }
        assert_eq!(of_http(head(400), "<html>").class, Class::Bug);
        assert_eq!(of_fail_reason(Some("odd"), None).class, Class::PermanentForVideo);
    }

    #[test]
    fn a_refused_put_is_a_reason_to_ask_but_for_a_400() {
        for http in [401, 403, 404, 416, 429, 500, 503] {
            assert_eq!(of_upload(Head { http, ..Head::default() }, "").class, Class::OutcomeUnknown, "{http}");
        }
        assert_eq!(of_upload(Head { http: 400, ..Head::default() }, "").class, Class::Bug);
    }

    #[test]
    fn scope_not_authorized_is_no_expired_token_although_it_is_a_401() {
        let head = Head { http: 401, ..Head::default() };
        assert_eq!(of_code(head, "scope_not_authorized", "", None).class, Class::NeedsReconnect);
        assert_eq!(of_code(head, "access_token_invalid", "", None).class, Class::TokenExpired);
    }
}
