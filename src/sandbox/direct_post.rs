//! The Direct Post calls: creator info, init and status.

use http::StatusCode;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::answer::{Refusal, invalid};
use super::app::App;
use super::call::{Done, Received};
use super::clock::millis;
use super::creator::{Creator, hex};
use super::fault::Action;
use super::fields::Fields;
use super::journal::Entry;
use super::options::Abandoned;
use super::state::State;
use super::task::{Fate, PUBLISH_ID_PREFIX, Plan, Task};

/// The caps that hold whatever is posted: banned, too many posts, too many users.
fn refused_creator(app: &App, state: &State, creator: &Creator, now: i64) -> Option<Refusal> {
    let limits = &app.options.limits;
    let refusal = |code: &'static str, message| Some(Refusal::new(StatusCode::FORBIDDEN, code, message));
    if creator.banned {
        return refusal("spam_risk_user_banned_from_posting", "The user is banned from posting");
    }
    if state.posts_of_the_day(&creator.open_id, app.options.readings.orphan_inits_count, now) >= limits.posts_per_day {
        return refusal("spam_risk_too_many_posts", "The daily post cap of the user is reached");
    }
    let cap = limits.posting_users.filter(|_| !app.options.audited);
    if cap.is_some_and(|cap| state.exceeds_posting_users(&creator.open_id, cap, now)) {
        return refusal("reached_active_user_cap", "The daily quota for active publishing users is reached");
    }
    None
}

/// Who calls, counted toward the limit of the minute.
fn caller(
    received: &mut Received,
    state: &mut State,
    scopes: &[&str],
    limit: usize,
    now: i64,
) -> Result<Creator, Refusal> {
    let token = received.bearer()?;
    received.call.open_id = state.owner(token).map(str::to_owned);
    let open_id = state.authorized(received.bearer()?, scopes, now)?.open_id.clone();
    let creator = state.creators.get(&open_id).cloned();
    let creator = creator.ok_or_else(|| Refusal::internal("a token without a creator"))?;
    state.admit(received.call.kind, &open_id, limit, now)?;
    received.call.counted_at = Some(now);
    Ok(creator)
}

pub(super) fn creator_info(app: &App, received: &mut Received) -> Result<Done, Refusal> {
    app.step(|state, now| {
        let creator = caller(received, state, &["video.publish"], app.options.limits.creator_info_per_minute, now)?;
        received.expect_json()?;
        if let Some(mut refusal) = refused_creator(app, state, &creator, now) {
            // On purpose, says the documentation.
            refusal.status = StatusCode::OK;
            return Err(refusal);
        }
        let self_only = !app.options.audited && app.options.readings.unaudited_sees_self_only;
        let data = json!({
            "creator_avatar_url": format!("{}/sandbox/creators/{}/avatar", app.base_url, creator.open_id),
            "creator_username": creator.username(),
            "creator_nickname": creator.display_name,
            "privacy_level_options": creator.privacy_options(self_only),
            "comment_disabled": creator.comment_disabled,
            "duet_disabled": creator.duet_disabled || creator.private,
            "stitch_disabled": creator.stitch_disabled || creator.private,
            "max_video_post_duration_sec": creator.max_video_post_duration_sec,
        });
        Ok((vec![], Done::Data(data)))
    })
}

/// An init's body, with the types that the documents ask for.
struct Asked<'a> {
    title: &'a str,
    privacy_level: &'a str,
    brand_content_toggle: bool,
    video_size: i64,
    chunk_size: i64,
    total_chunk_count: i64,
}

impl<'a> Asked<'a> {
    fn of(body: &'a Value) -> Result<Self, Refusal> {
        let body = Fields::of(body)?;
        let post = body.object("post_info")?;
        for name in ["disable_duet", "disable_comment", "disable_stitch", "brand_organic_toggle", "is_aigc"] {
            post.boolean(name)?;
        }
        post.integer("video_cover_timestamp_ms")?;
        let source = body.object("source_info")?;
        match source.required("source", source.string("source")?)? {
            "FILE_UPLOAD" => {}
            "PULL_FROM_URL" => {
                let message = "The domain of the URL is not verified (the sandbox takes FILE_UPLOAD only)";
                return Err(Refusal::new(StatusCode::FORBIDDEN, "url_ownership_unverified", message));
            }
            _ => return Err(invalid("source", "The source is invalid")),
        }
        let size = |name| source.required(name, source.integer(name)?);
        Ok(Self {
            title: post.string("title")?.unwrap_or_default(),
            privacy_level: post.required("privacy_level", post.string("privacy_level")?)?,
            brand_content_toggle: post.boolean("brand_content_toggle")?.unwrap_or(false),
            video_size: size("video_size")?,
            chunk_size: size("chunk_size")?,
            total_chunk_count: size("total_chunk_count")?,
        })
    }

    /// Whether this creator may post this way with this app.
    fn allowed(&self, app: &App, creator: &Creator) -> Result<(), Refusal> {
        if self.title.encode_utf16().count() > 2200 {
            return Err(invalid("title_length", "The title is longer than 2200 UTF-16 units"));
        }
        let audited = app.options.audited;
        if !audited && (self.privacy_level != "SELF_ONLY" || !creator.private) {
            let message = "An unaudited client posts SELF_ONLY to private accounts only";
            let code = "unaudited_client_can_only_post_to_private_accounts";
            return Err(Refusal::new(StatusCode::FORBIDDEN, code, message).rule("unaudited_client"));
        }
        let self_only = !audited && app.options.readings.unaudited_sees_self_only;
        if !creator.privacy_options(self_only).contains(&self.privacy_level) {
            let message = "The privacy_level is not one of the creator's privacy_level_options";
            let refusal = Refusal::new(StatusCode::FORBIDDEN, "privacy_level_option_mismatch", message);
            return Err(refusal.rule("privacy_level"));
        }
        if self.brand_content_toggle && self.privacy_level == "SELF_ONLY" {
            return Err(invalid("branded_self_only", "Branded content can't be SELF_ONLY"));
        }
        Ok(())
    }
}

pub(super) async fn init(app: &App, received: &mut Received, body: &[u8]) -> Result<Done, Refusal> {
    let limits = &app.options.limits;
    let task = app.step(|state, now| {
        let creator = caller(received, state, &["video.publish"], limits.init_per_minute, now)?;
        received.expect_json()?;
        let body: Value = serde_json::from_slice(body).map_err(|_| invalid("json", "The body is not JSON"))?;
        let asked = Asked::of(&body)?;
        received.call.video_size = Some(asked.video_size);
        received.call.chunk_size = Some(asked.chunk_size);
        received.call.total_chunk_count = Some(asked.total_chunk_count);
        let plan = Plan::checked(asked.video_size, asked.chunk_size, asked.total_chunk_count, limits)?;
        asked.allowed(app, &creator)?;
        if let Some(refusal) = refused_creator(app, state, &creator, now) {
            return Err(refusal);
        }
        let forbidden = |code: &'static str, message| Refusal::new(StatusCode::FORBIDDEN, code, message);
        if let Some(Action::DailyCap(cap)) = received.action
            && state.posts_of_the_day(&creator.open_id, false, now) >= cap
        {
            return Err(forbidden("spam_risk_too_many_posts", "The daily post cap of the user is reached"));
        }
        if limits.pending.is_some_and(|cap| state.pending(&creator.open_id, app.processing_ms(), now) >= cap) {
            return Err(forbidden("spam_risk_too_many_pending_share", "Too many posts of the user are pending"));
        }
        let task = begun(app, received, creator.open_id, &asked, plan, now);
        received.call.publish_id = Some(task.publish_id.clone());
        Ok((vec![Entry::Init(task.clone())], task))
    })?;
    app.sync().await?;
    let upload_url = format!("{}/upload/{}?upload_token={}", app.base_url, task.digits(), task.upload_token);
    Ok(Done::Data(json!({"publish_id": task.publish_id, "upload_url": upload_url})))
}

fn begun(app: &App, received: &Received, open_id: String, asked: &Asked<'_>, plan: Plan, now: i64) -> Task {
    let mut rng = rand::rng();
    let expired = matches!(received.action, Some(Action::ExpireUrl));
    Task {
        publish_id: format!(
            "{PUBLISH_ID_PREFIX}{}",
            rng.random_range(7_000_000_000_000_000_000u64..8_000_000_000_000_000_000)
        ),
        open_id,
        upload_token: hex(&rng.random::<[u8; 32]>()),
        title: asked.title.to_owned(),
        privacy_level: asked.privacy_level.to_owned(),
        plan,
        created_at: now,
        expires_at: if expired { now } else { now + millis(app.options.url_expiry) },
        fate: fate_asked_for(received.action.as_ref()).unwrap_or(Fate::Publish),
        uploaded: 0,
        uploaded_before: 0,
        completed_at: None,
        post_id: (asked.privacy_level == "PUBLIC_TO_EVERYONE")
            .then(|| rng.random_range(7_000_000_000_000_000_000..8_000_000_000_000_000_000)),
    }
}

pub(super) fn fate_asked_for(action: Option<&Action>) -> Option<Fate> {
    match action {
        Some(Action::Endless) => Some(Fate::Endless),
        Some(Action::Fail(reason)) => Some(Fate::Fail(reason.clone())),
        _ => None,
    }
}

pub(super) fn status(app: &App, received: &mut Received, body: &[u8]) -> Result<Done, Refusal> {
    let data = app.step(|state, now| {
        let scopes = ["video.publish", "video.upload"];
        let creator = caller(received, state, &scopes, app.options.limits.status_per_minute, now)?;
        received.expect_json()?;
        let body: Value = serde_json::from_slice(body).map_err(|_| invalid("json", "The body is not JSON"))?;
        let fields = Fields::of(&body)?;
        let publish_id = fields.required("publish_id", fields.string("publish_id")?)?;
        received.call.publish_id = Some(publish_id.chars().take(64).collect());
        let bad = |code: &'static str, message| Refusal::new(StatusCode::BAD_REQUEST, code, message);
        let Some(task) = state.tasks.get(publish_id) else {
            return Err(bad("invalid_publish_id", "The publish_id does not exist").rule("publish_id"));
        };
        if task.open_id != creator.open_id {
            let code = "token_not_authorized_for_specified_publish_id";
            return Err(bad(code, "The publish_id belongs to another user").rule("publish_id_owner"));
        }
        let abandoned = task.completed_at.is_none() && now >= task.expires_at;
        if abandoned && app.options.readings.abandoned == Abandoned::Unknown {
            return Err(bad("invalid_publish_id", "The publish_id is no longer known"));
        }
        let stale = matches!(received.action, Some(Action::Stale));
        Ok((vec![], shown(app, task, stale, abandoned, now)))
    })?;
    received.call.post_status = data["status"].as_str().map(str::to_owned);
    Ok(Done::Data(data))
}

fn shown(app: &App, task: &Task, stale: bool, abandoned: bool, now: i64) -> Value {
    if stale {
        return json!({"status": "PROCESSING_UPLOAD", "publicaly_available_post_id": [], "uploaded_bytes": task.uploaded_before});
    }
    let processed_at = task.completed_at.map(|at| at + app.processing_ms()).filter(|at| now >= *at);
    let mut post_ids = vec![];
    let (status, fail_reason) = match (processed_at, &task.fate) {
        (None, _) if abandoned && app.options.readings.abandoned == Abandoned::Failed => ("FAILED", Some("internal")),
        (None, _) | (Some(_), Fate::Endless) => ("PROCESSING_UPLOAD", None),
        (Some(_), Fate::Fail(reason)) => ("FAILED", Some(reason.as_str())),
        (Some(at), Fate::Publish) => {
            let moderated = now >= at + millis(app.options.moderation);
            post_ids.extend(task.post_id.filter(|_| moderated));
            ("PUBLISH_COMPLETE", None)
        }
    };
    let mut data = json!({
        "status": status,
        "publicaly_available_post_id": post_ids,
        "uploaded_bytes": task.uploaded,
    });
    if let Some(reason) = fail_reason {
        data["fail_reason"] = reason.into();
    }
    data
}
