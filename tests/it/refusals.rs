//! Every code that TikTok's pages tell of has its class.

use subiteya::tiktok::refusal::{Class, Key, Place, REFUSALS};

/// From `tiktok-api.md`, sections 5 and 6.
const TOLD: [(Place, &[&str]); 3] = [
    (
        Place::Api,
        &[
            "invalid_param",
            "invalid_params",
            "invalid_publish_id",
            "token_not_authorized_for_specified_publish_id",
            "publish_not_cancellable",
            "scope_permission_missed",
            "invalid_file_upload",
            "access_token_invalid",
            "scope_not_authorized",
            "spam_risk_too_many_posts",
            "spam_risk_user_banned_from_posting",
            "reached_active_user_cap",
            "unaudited_client_can_only_post_to_private_accounts",
            "privacy_level_option_mismatch",
            "url_ownership_unverified",
            "spam_risk_too_many_pending_share",
            "rate_limit_exceeded",
            "internal_error",
        ],
    ),
    (
        Place::FailReason,
        &[
            "internal",
            "video_pull_failed",
            "photo_pull_failed",
            "publish_cancelled",
            "spam_risk_too_many_posts",
            "file_format_check_failed",
            "duration_check_failed",
            "frame_rate_check_failed",
            "picture_size_check_failed",
            "spam_risk",
            "spam_risk_text",
            "spam_risk_user_banned_from_posting",
            "auth_removed",
        ],
    ),
    (
        Place::OAuth,
        &[
            "invalid_request",
            "invalid_client",
            "invalid_grant",
            "invalid_scope",
            "unauthorized_client",
            "unsupported_grant_type",
            "unsupported_response_type",
            "access_denied",
        ],
    ),
];

#[test]
fn every_code_that_tiktok_tells_of_stands_in_the_table_and_says_what_to_do() {
    for (place, codes) in TOLD {
        for code in codes {
            let known = REFUSALS.iter().find(|known| known.place == place && known.code == *code);
            let known = known.unwrap_or_else(|| panic!("{code} has no class"));
            assert!(known.text.len() > 20 && known.class != Class::OutcomeUnknown, "{code}: {}", known.text);
        }
    }
}

#[test]
fn a_refusal_for_a_while_closes_the_key_that_it_is_about() {
    for (code, key) in [
        ("rate_limit_exceeded", Key::Account),
        ("spam_risk", Key::Account),
        ("spam_risk_too_many_pending_share", Key::Account),
        ("spam_risk_too_many_posts", Key::AccountDay),
        ("reached_active_user_cap", Key::Newcomers),
    ] {
        let known = REFUSALS.iter().find(|known| known.place == Place::Api && known.code == code);
        let class = known.expect("a class").class;
        assert!(matches!(class, Class::Throttled { key: one, .. } if one == key), "{code}: {class:?}");
    }
}
