//! Every refusal has its class, and this file is the one table of them.
//!
//! [`REFUSALS`] maps TikTok's words to a [`Class`] and a sentence for people, by the [`Place`] where TikTok says them. A
//! code that does not stand there is shown whole; what its HTTP status leaves open is unknown, and ends with a person.

use crate::outcome::Reason;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// How long a 5xx's `Retry-After` may close everything.
const LONGEST_OUTAGE: i64 = 10 * MINUTE;

/// Whom a closed limit holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    Account,
    /// An account that has posted as much as it may in a day.
    AccountDay,
    /// Every account that did not post within the day: TikTok counts the app's posting users, and those that it has
    /// counted go on.
    Newcomers,
    App,
    /// TikTok itself wants to be left alone.
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

const ANSWER_LOST: &str = "answer_lost";

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
    /// A token that was just refreshed is refused as the one before it was: only a new login helps.
    pub fn of_fresh_token(self) -> Self {
        let text = format!("{}, and neither is the one that TikTok gave for it; connect the account again", self.text);
        Self { class: Class::NeedsReconnect, text, ..self }
    }

    pub fn reason(&self) -> Reason {
        Reason::new(self.code.clone(), self.text.clone())
    }

    /// TikTok said no with a word that is new to us: what it means, a person has to find out.
    pub fn is_new_to_us(&self) -> bool {
        self.class == Class::OutcomeUnknown && self.http != 0 && self.code != ANSWER_LOST
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
        Self::ours(Class::OutcomeUnknown, ANSWER_LOST, text)
    }
}

/// Where TikTok says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `error.code` of the API.
    Api,
    /// `fail_reason` of a status FAILED.
    FailReason,
    /// `error` of the OAuth routes.
    OAuth,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub place: Place,
    pub code: &'static str,
    pub class: Class,
    pub text: &'static str,
}

const fn api(code: &'static str, class: Class, text: &'static str) -> Known {
    Known { place: Place::Api, code, class, text }
}

const fn failed(code: &'static str, class: Class, text: &'static str) -> Known {
    Known { place: Place::FailReason, code, class, text }
}

const fn oauth(code: &'static str, class: Class, text: &'static str) -> Known {
    Known { place: Place::OAuth, code, class, text }
}

const fn throttled(key: Key, pause: i64) -> Class {
    Class::Throttled { key, pause }
}

/// Every refusal that TikTok's pages tell of.
pub static REFUSALS: &[Known] = &[
    api("invalid_param", Class::Bug, "TikTok refused a field of our request"),
    api("invalid_params", Class::Bug, "TikTok refused a field of our request"),
    api("invalid_publish_id", Class::Bug, "TikTok does not know this upload"),
    api(
        "token_not_authorized_for_specified_publish_id",
        Class::Bug,
        "this upload belongs to another account than the one we asked with",
    ),
    api("publish_not_cancellable", Class::PermanentForVideo, "TikTok can no longer cancel this post"),
    api(
        "scope_permission_missed",
        Class::NeedsReconnect,
        "the account did not allow this; connect it again and allow posting",
    ),
    api("invalid_file_upload", Class::PermanentForVideo, "TikTok does not take this file; upload another one"),
    api("access_token_invalid", Class::TokenExpired, "the access token is no longer good"),
    api(
        "scope_not_authorized",
        Class::NeedsReconnect,
        "the account did not allow posting; connect it again and allow it",
    ),
    api(
        "spam_risk_too_many_posts",
        throttled(Key::AccountDay, DAY),
        "this account has reached TikTok's number of posts for a day; it goes on by itself",
    ),
    api(
        "spam_risk_user_banned_from_posting",
        Class::PermanentForAccount,
        "TikTok has banned this account from posting; look into the TikTok app",
    ),
    api(
        "reached_active_user_cap",
        throttled(Key::Newcomers, DAY),
        "the app has reached TikTok's number of posting accounts for a day; accounts that have posted in these 24 hours go on, \
         the others wait and go on by themselves",
    ),
    api(
        "unaudited_client_can_only_post_to_private_accounts",
        Class::PermanentForAccount,
        "until TikTok has audited the app it posts to private accounts only; set the account to private",
    ),
    api(
        "privacy_level_option_mismatch",
        Class::NeedsChange,
        "the account does not allow this privacy level; choose one that it offers",
    ),
    api(
        "url_ownership_unverified",
        Class::PermanentForVideo,
        "TikTok does not know that the video's address is ours; post it as an upload",
    ),
    api(
        "spam_risk_too_many_pending_share",
        throttled(Key::Account, DAY),
        "this account has too many unfinished posts at TikTok; it goes on by itself",
    ),
    api(
        "spam_risk",
        throttled(Key::Account, DAY),
        "TikTok takes this account's posts for spam; look into the TikTok app. It goes on by itself",
    ),
    api("rate_limit_exceeded", throttled(Key::Account, MINUTE), "too many requests for this account in a minute"),
    api("internal_error", Class::Transient, "TikTok has trouble of its own"),
    // Of these, `Transient` and `Throttled` are the reasons that allow another init.
    failed("internal", Class::Transient, "TikTok failed to process the video, and allows another try"),
    failed("video_pull_failed", Class::Transient, "TikTok could not fetch the video, and allows another try"),
    failed("photo_pull_failed", Class::Transient, "TikTok could not fetch the photo, and allows another try"),
    failed("publish_cancelled", Class::Transient, "the post was cancelled at TikTok, which allows another try"),
    failed(
        "spam_risk_too_many_posts",
        throttled(Key::AccountDay, DAY),
        "this account has reached TikTok's number of posts for a day; it goes on by itself",
    ),
    failed(
        "file_format_check_failed",
        Class::PermanentForVideo,
        "TikTok does not take this file format; upload an MP4 with H.264",
    ),
    failed(
        "duration_check_failed",
        Class::PermanentForVideo,
        "the video is too long or too short for this account; upload one of another length",
    ),
    failed(
        "frame_rate_check_failed",
        Class::PermanentForVideo,
        "TikTok takes 23 to 60 frames a second; upload a video with such a rate",
    ),
    failed(
        "picture_size_check_failed",
        Class::PermanentForVideo,
        "TikTok takes 360 to 4096 pixels a side; upload a video of such a size",
    ),
    failed("spam_risk", Class::PermanentForVideo, "TikTok takes this post for spam; look into the TikTok app"),
    failed("spam_risk_text", Class::PermanentForVideo, "TikTok takes the title for spam; change it"),
    failed(
        "spam_risk_user_banned_from_posting",
        Class::PermanentForAccount,
        "TikTok has banned this account from posting; look into the TikTok app",
    ),
    failed(
        "auth_removed",
        Class::NeedsReconnect,
        "the account's owner removed the app at TikTok; connect the account again",
    ),
    oauth("invalid_request", Class::Bug, "TikTok refused our OAuth request"),
    oauth(
        "invalid_client",
        Class::Bug,
        "TikTok does not know the app; check TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET",
    ),
    oauth("invalid_grant", Class::NeedsReconnect, "TikTok no longer takes this login; connect the account again"),
    oauth("invalid_scope", Class::Bug, "the app may not ask for these permissions; add them at TikTok"),
    oauth("unauthorized_client", Class::Bug, "the app may not do this; check its settings at TikTok"),
    oauth("unsupported_grant_type", Class::Bug, "TikTok does not know this kind of grant"),
    oauth("unsupported_response_type", Class::Bug, "TikTok does not know this kind of answer"),
    oauth("access_denied", Class::NeedsReconnect, "the account's owner did not agree; connect the account again"),
    oauth("access_token_invalid", Class::TokenExpired, "the access token is no longer good"),
    oauth("rate_limit_exceeded", throttled(Key::App, MINUTE), "too many OAuth requests"),
    oauth("internal_error", Class::Transient, "TikTok has trouble of its own"),
    oauth("server_error", Class::Transient, "TikTok has trouble of its own"),
    oauth("temporarily_unavailable", Class::Transient, "TikTok has trouble of its own"),
];

fn find(place: Place, code: &str) -> Option<&'static Known> {
    REFUSALS.iter().find(|known| known.place == place && known.code == code)
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
    refusal(find(Place::Api, code), head, code, message, log_id)
}

/// A refusal of an OAuth route.
pub fn of_oauth(head: Head, error: &str, description: &str, log_id: Option<String>) -> Refusal {
    refusal(find(Place::OAuth, error), head, error, description, log_id)
}

/// An answer without a body that we understand. A redirect, 403, 404 or the like is then not the API's word but that of
/// something before it: an outage, which fails no video.
pub fn of_http(head: Head, body: &str) -> Refusal {
    let mut seen: String = body.chars().take(200).collect();
    if seen.is_empty() {
        seen.push_str("no body");
    }
    let elsewhere = "something answered that is not TikTok's API";
    let known = match (head.http, class_of_http(head.http)) {
        (400, _) => Some(api("", Class::Bug, "TikTok refused our request")),
        (_, Class::OutcomeUnknown) => Some(api("", Class::Transient, elsewhere)),
        _ => None,
    };
    refusal(known.as_ref(), head, &format!("http_{}", head.http), &seen, None)
}

/// What TikTok gave as the reason of FAILED. An unknown one allows no other try: only a known one may.
pub fn of_fail_reason(fail_reason: Option<&str>, date: Option<i64>) -> Refusal {
    let code = fail_reason.filter(|code| !code.is_empty()).unwrap_or("no_reason_given");
    let (class, text) = match find(Place::FailReason, code) {
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
        // A 5xx that names a time wants to be left alone until then, by everybody.
        (Class::Transient, Some(pause)) => Class::Throttled { key: Key::All, pause: pause.min(LONGEST_OUTAGE) },
        (class, _) => class,
    };
    let words = known.map_or("TikTok refused with a code that is new to us", |known| known.text);
    let text = if message.is_empty() { words.to_owned() } else { format!("{words}; TikTok says: {message}") };
    Refusal { class, code: code.to_owned(), text, http: head.http, log_id, date: head.date }
}

/// The class of a code that does not stand in the table. Where the status does not say that a repeat helps, nothing is
/// known, and a person looks when it says no again and again.
fn class_of_http(http: u16) -> Class {
    match http {
        401 => Class::TokenExpired,
        429 => Class::Throttled { key: Key::Account, pause: MINUTE },
        408 | 425 | 500..=599 => Class::Transient,
        _ => Class::OutcomeUnknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_does_not_say_two_things_about_one_code() {
        let mut codes = std::collections::HashSet::new();
        assert!(REFUSALS.iter().all(|known| codes.insert((known.place, known.code))));
    }

    #[test]
    fn an_unknown_code_is_classified_by_its_http_status_and_shown_whole() {
        let head = |http| Head { http, ..Head::default() };
        let new = of_code(head(503), "brand_new", "words of theirs", Some("L1".to_owned()));
        assert_eq!(new.class, Class::Transient);
        assert!(new.to_string().contains("brand_new") && new.to_string().contains("words of theirs"), "{new}");
        assert_eq!(of_code(head(429), "x", "", None).class, throttled(Key::Account, MINUTE));
        for http in [200, 400, 403, 404, 451] {
            let refusal = of_code(head(http), "x", "", None);
            assert!(refusal.class == Class::OutcomeUnknown && refusal.is_new_to_us(), "{http}");
        }
        assert!(!Refusal::answer_lost("").is_new_to_us());
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
