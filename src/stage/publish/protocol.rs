//! The protocol as one pure function: [`decide`].
//!
//! The rules in the comments are numbered as in ARCHITECTURE.md's *Never twice*. Three facts about TikTok carry the
//! proof: nothing is posted before all bytes are in; a PUT handled after the URL's expiry is refused; one upload URL
//! belongs to one publish id and gives at most one post.

use super::row::{Publication, State};
use super::step::{At, End, Event, Guard, Need, Next, Role, Step, Tell, Write};
use super::times::Times;
use crate::outcome::Reason;
use crate::task::HELD;
use crate::tiktok::refusal::{self, Class, Key, Refusal};
use crate::tiktok::wire::{PostStatus, StatusKind};

/// What to write and what to do next, from what is known and what just happened.
pub fn decide(row: &Publication, event: &Event, at: &At, times: &Times) -> Step {
    Decision { row, at, times, tell: None }.on(event)
}

struct Decision<'a> {
    row: &'a Publication,
    at: &'a At,
    times: &'a Times,
    tell: Option<Tell>,
}

impl Decision<'_> {
    fn on(self, event: &Event) -> Step {
        if matches!(event, Event::WriteLost) {
            return self.end(End::Stop);
        }
        if let Event::LimitClosed { until, reason } = event {
            return self.end(End::Parked { until: *until, reason: reason.clone() });
        }
        // Rule 9: what ended stays ended; but a post may still learn its public id.
        match self.row.state {
            State::Posted => return self.posted(event),
            State::Failed => {
                let reason = self.recorded_reason();
                return self.end(End::Failed(reason));
            }
            State::NeedsReview => {
                let reason = self.recorded_reason();
                return self.end(End::NeedsReview(reason));
            }
            State::Frozen | State::Intended | State::Uploading | State::Uploaded => {}
        }
        match event {
            Event::Started | Event::WriteLost | Event::LimitClosed { .. } => self.started(),
            Event::CreatorAgrees => self.commit_intent(),
            Event::CreatorRefuses(refusal) => {
                let row = self.row.clone();
                self.refused_before_init(row, refusal)
            }
            Event::InitAnswered { publish_id, upload_url, date } => self.record_id(publish_id, upload_url, *date),
            Event::InitRefused(refusal) => self.init_refused(refusal),
            Event::Opened { chunk } => self.start_final(*chunk),
            Event::PutAnswered { chunk, complete } => self.put_answered(*chunk, *complete),
            Event::PutRefused { chunk: _, refusal } => self.put_refused(refusal),
            Event::StatusAnswered { status, date } => self.status(status, *date),
            Event::StatusRefused(refusal) => self.status_refused(refusal),
        }
    }

    /// A restart is a doubt: with an id on record the first thing is to ask (rule 5).
    fn started(self) -> Step {
        match (&self.row.publish_id, self.at.role) {
            (Some(_), Role::Publish) if self.row.uploaded => {
                let due = self.at.now;
                self.end(End::Confirm { due })
            }
            (Some(_), _) => self.call(Next::AskStatus),
            (None, Role::Confirm) => {
                let reason = Reason::new("send_again", "nothing is on its way to TikTok; the publish stage sends it");
                let due = self.at.now;
                self.end(End::PublishAgain { due, reason })
            }
            (None, Role::Publish) if self.row.lost_inits >= self.times.lost_inits => {
                let last = self.row.reason.clone();
                self.review_lost_inits(last)
            }
            (None, Role::Publish) => self.call(Next::AskCreatorInfo),
        }
    }

    // ---- before the first byte

    /// Rule 2: the intent first, with the permits; then init.
    fn commit_intent(self) -> Step {
        if self.row.publish_id.is_some() || self.at.role == Role::Confirm {
            return self.started();
        }
        if self.row.lost_inits >= self.times.lost_inits {
            let last = self.row.reason.clone();
            return self.review_lost_inits(last);
        }
        let mut row = self.row.clone();
        row.state = State::Intended;
        row.inits += 1;
        // Counted as lost until its answer is here: a crash in between is a lost answer too (rule 3).
        row.lost_inits += 1;
        row.reason = None;
        let mut step = self.write(row, vec![Need::PublishIdIsNull], Next::SendInit);
        if let Some(write) = &mut step.write {
            write.permits = true;
        }
        step
    }

    /// Rule 3: whoever loses this race drops the id. Nobody else knows its URL, so it can never give a post.
    fn record_id(self, publish_id: &str, upload_url: &str, date: Option<i64>) -> Step {
        let mut row = self.row.clone();
        row.state = State::Uploading;
        row.publish_id = Some(publish_id.to_owned());
        row.upload_url = Some(upload_url.to_owned());
        row.init_date = date;
        row.lost_inits = 0;
        row.troubles = 0;
        row.reason = None;
        self.put(row, 0, vec![Need::PublishIdIsNull])
    }

    fn init_refused(self, refusal: &Refusal) -> Step {
        let mut row = self.row.clone();
        if refusal.class == Class::OutcomeUnknown {
            if row.lost_inits >= self.times.lost_inits {
                return self.review_lost_inits(Some(refusal.reason()));
            }
        } else {
            // An answer that refuses is an answer: this init gave no id, so the intent is closed again. A 5xx is one
            // too. Were it wrong, nobody would hold the URL, and a fresh init would be as safe as after a lost answer.
            row.lost_inits = (row.lost_inits - 1).max(0);
            row.state = if row.lost_inits == 0 { State::Frozen } else { State::Intended };
        }
        self.refused_before_init(row, refusal)
    }

    /// No id is on record, so nothing can have been posted, and FAILED is the truth.
    fn refused_before_init(mut self, mut row: Publication, refusal: &Refusal) -> Step {
        let now = self.at.now;
        let until = match refusal.class {
            Class::Transient | Class::TokenExpired | Class::OutcomeUnknown => {
                row.troubles += 1;
                if refusal.is_new_to_us() && row.troubles >= self.times.lost_inits {
                    return self.review(row, refusal.reason(), vec![Need::PublishIdIsNull]);
                }
                now + self.times.trouble_pause(row.troubles)
            }
            Class::Throttled { .. } | Class::NeedsReconnect | Class::PermanentForAccount => self.learn(refusal),
            // Its creator decides; nothing else would change the answer.
            Class::NeedsChange => HELD,
            Class::PermanentForVideo | Class::Bug => {
                return self.fail(row, refusal.reason(), vec![Need::PublishIdIsNull, Need::FinalStartedIsNull]);
            }
        };
        self.park(row, vec![Need::PublishIdIsNull], until, refusal.reason())
    }

    fn review_lost_inits(self, last: Option<Reason>) -> Step {
        let last = last.map(|last| format!("; last: {} ({})", last.text, last.code)).unwrap_or_default();
        let text = format!(
            "TikTok's answer to init was lost, or made no sense, {} times; nothing was sent, look at TikTok's state and \
             resolve it{last}",
            self.row.lost_inits
        );
        let row = self.row.clone();
        self.review(row, Reason::new("init_answers_lost", text), vec![Need::PublishIdIsNull])
    }

    // ---- bytes

    /// Rule 4: only to the stored URL. The last chunk is opened first: with `final_started` committed and no bytes to send,
    /// a TikTok that names no number would leave nothing to do but to wait for a day.
    fn put(self, row: Publication, chunk: u32, needs: Vec<Need>) -> Step {
        let first_last = row.plan.is_last(chunk) && row.final_started.is_none();
        self.write(row, needs, if first_last { Next::Open { chunk } } else { Next::Put { chunk } })
    }

    /// Rule 4: `final_started` before the last chunk.
    fn start_final(self, chunk: u32) -> Step {
        let mut row = self.row.clone();
        if row.publish_id.is_none() {
            return self.started();
        }
        row.final_started = Some(self.at.now);
        self.write(row, vec![Need::FinalStartedIsNull], Next::Put { chunk })
    }

    fn put_answered(self, chunk: u32, complete: bool) -> Step {
        let mut row = self.row.clone();
        row.troubles = 0;
        row.reason = None;
        if complete {
            // A small video may be ready by now; the confirm stage would only ask after a pause.
            let row = self.with_all_bytes(row);
            return self.write(row, Vec::new(), Next::AskStatus);
        }
        row.acknowledged = row.acknowledged.max(row.plan.end(chunk).min(row.plan.size));
        if row.plan.is_last(chunk) {
            // TikTok took the last chunk and wants more: that is for the status to explain.
            return self.write(row, Vec::new(), Next::AskStatus);
        }
        self.put(row, chunk + 1, Vec::new())
    }

    /// Rule 5: a refused or lost PUT proves nothing, so ask. The one exception is a 400 before the last chunk was
    /// allowed: our request is wrong, and no repeat would mend it.
    fn put_refused(self, refusal: &Refusal) -> Step {
        let mut row = self.row.clone();
        if refusal.class == Class::Bug && row.final_started.is_none() {
            return self.fail(row, refusal.reason(), vec![Need::FinalStartedIsNull]);
        }
        row.troubles += 1;
        let reason = refusal.reason();
        if row.troubles > self.times.quick_troubles {
            // Asks after the pause. Parking here and not after the question leaves every run at least one PUT.
            let until = self.at.now + self.times.trouble_pause(row.troubles);
            return self.wait(row, until, reason);
        }
        row.reason = Some(reason);
        self.write(row, Vec::new(), Next::AskStatus)
    }

    /// Rule 8: never init again, only ask.
    fn all_bytes_in(self, row: Publication, reason: Reason) -> Step {
        let row = self.with_all_bytes(row);
        self.poll_later(row, reason)
    }

    fn with_all_bytes(&self, mut row: Publication) -> Publication {
        row.state = State::Uploaded;
        row.uploaded = true;
        row.acknowledged = row.plan.size;
        // Set where it should not be missing, so that no rule takes this id for one that never had its last chunk.
        row.final_started = row.final_started.or(Some(self.at.now));
        row
    }

    // ---- what became of it

    fn status(self, status: &PostStatus, date: Option<i64>) -> Step {
        let mut row = self.row.clone();
        if row.publish_id.is_none() {
            return self.started();
        }
        row.last_status = Some(status.status.as_str().to_owned());
        // Without a Date at init, that of the first answer after it stands in: it is later, so death comes later.
        row.init_date = row.init_date.or(date);
        match &status.status {
            StatusKind::PublishComplete => self.complete(row, status),
            StatusKind::Failed => self.failed(row, status, date),
            StatusKind::ProcessingUpload
            | StatusKind::ProcessingDownload
            | StatusKind::SendToUserInbox
            | StatusKind::Unknown(_) => self.processing(row, status, date),
        }
    }

    /// Rule 6, and it wins over whatever was believed before.
    fn complete(self, mut row: Publication, status: &PostStatus) -> Step {
        row.state = State::Posted;
        row.uploaded = true;
        row.acknowledged = row.plan.size;
        row.final_started = row.final_started.or(Some(self.at.now));
        row.post_ids = status.post_ids.clone();
        row.reason = None;
        row.polls = 0;
        self.end_posted(row)
    }

    /// Rule 7. FAILED alone kills no id:
    /// - a reason that is permanent ends the video, which needs no proof, since nothing is sent again;
    /// - with `final_started` unset the id can't have given a post, but it is only dead by the expiry rule, so a reason
    ///   that allows a retry waits for that;
    /// - with `final_started` set it takes two FAILED, ten minutes apart by TikTok's clock.
    fn failed(mut self, mut row: Publication, status: &PostStatus, date: Option<i64>) -> Step {
        let refusal = refusal::of_fail_reason(status.fail_reason.as_deref(), date);
        let retry_at = match refusal.class {
            Class::Transient => self.at.now,
            Class::Throttled { .. } => self.learn(&refusal),
            Class::NeedsReconnect | Class::PermanentForAccount => {
                self.learn(&refusal);
                return self.fail(row, refusal.reason(), Vec::new());
            }
            Class::TokenExpired
            | Class::NeedsChange
            | Class::PermanentForVideo
            | Class::Bug
            | Class::OutcomeUnknown => {
                return self.fail(row, refusal.reason(), Vec::new());
            }
        };
        if row.final_started.is_none() {
            return if self.is_past_expiry(&row, date) {
                row.failures += 1;
                self.raise(row, vec![Need::FinalStartedIsNull], retry_at, refusal.reason())
            } else {
                self.park_until_dead(row, date, refusal.reason())
            };
        }
        match (row.first_failed_at, date) {
            (Some(first), Some(date)) if date >= first + self.times.failed_gap => {
                row.failures += 1;
                self.raise(row, Vec::new(), retry_at, refusal.reason())
            }
            (first, date) => {
                row.first_failed_at = first.or(date);
                let waited = match (row.first_failed_at, date) {
                    (Some(first), Some(date)) => date - first,
                    (_, None) | (None, _) => 0,
                };
                let until = self.at.now + (self.times.failed_gap - waited).max(self.times.poll_first);
                self.poll_at(row, until, refusal.reason())
            }
        }
    }

    fn processing(self, mut row: Publication, status: &PostStatus, date: Option<i64>) -> Step {
        row.first_failed_at = None;
        let reason = Reason::new("processing", format!("TikTok says {}", status.status.as_str()));
        let named = status.uploaded_bytes;
        if row.uploaded || named.is_some_and(|bytes| bytes >= row.plan.size) {
            return self.all_bytes_in(row, reason);
        }
        let stored = match (row.final_started, named) {
            // A missing number is not "bytes are missing": after the last chunk was allowed, only ask.
            (Some(_), None) => return self.poll_later(row, reason),
            (Some(_), Some(bytes)) => bytes,
            // Before it, what TikTok acknowledged chunk by chunk stands in.
            (None, named) => named.unwrap_or(row.acknowledged),
        };
        row.acknowledged = stored;
        if self.is_past_expiry(&row, date) {
            // Rule 7: without `final_started` no last chunk is on its way, with it TikTok itself names the bytes as
            // missing in an answer made after the last moment at which they could have come.
            let needs = if row.final_started.is_none() { vec![Need::FinalStartedIsNull] } else { Vec::new() };
            let now = self.at.now;
            let reason = Reason::new("upload_expired", "the upload was not complete when its hour was over");
            return self.raise(row, needs, now, reason);
        }
        if !self.url_lives(&row, date) {
            let reason =
                Reason::new("upload_expired", "the upload's hour is over; it starts anew when that is certain");
            return self.park_until_dead(row, date, reason);
        }
        match self.at.role {
            Role::Confirm => {
                let due = self.at.now;
                let reason = Reason::new("bytes_missing", "TikTok misses bytes; the publish stage sends them");
                self.write(row, Vec::new(), Next::End(End::PublishAgain { due, reason }))
            }
            Role::Publish => {
                let chunk = row.plan.resume(stored);
                self.put(row, chunk, Vec::new())
            }
        }
    }

    /// Not being able to ask is no outcome.
    fn status_refused(mut self, refusal: &Refusal) -> Step {
        let mut row = self.row.clone();
        let reason = refusal.reason();
        if row.publish_id.is_none() {
            return self.started();
        }
        let now = self.at.now;
        match refusal.class {
            Class::Throttled { .. } | Class::NeedsReconnect => {
                let until = self.learn(refusal);
                return self.wait(row, until, reason);
            }
            Class::Transient
            | Class::TokenExpired
            | Class::OutcomeUnknown
            | Class::NeedsChange
            | Class::PermanentForVideo
            | Class::PermanentForAccount
            | Class::Bug => {}
        }
        row.troubles += 1;
        if row.final_started.is_some() {
            let until = now + self.times.trouble_pause(row.troubles);
            return self.poll_at(row, until, reason);
        }
        if self.is_past_expiry(&row, refusal.date) {
            return self.raise(row, vec![Need::FinalStartedIsNull], now, reason);
        }
        let until = now + self.times.trouble_pause(row.troubles);
        self.park(row, Vec::new(), until, reason)
    }

    /// The post is out. Only its public id is still of interest.
    fn posted(self, event: &Event) -> Step {
        let mut row = self.row.clone();
        match event {
            // Also after the day in which it looks by itself: whoever makes it look then has news.
            Event::Started if row.expects_post_id && row.post_ids.is_empty() && row.publish_id.is_some() => {
                self.call(Next::AskStatus)
            }
            Event::StatusAnswered { status, .. } if !status.post_ids.is_empty() => {
                row.post_ids = status.post_ids.clone();
                self.end_posted(row)
            }
            Event::StatusAnswered { .. } | Event::StatusRefused(_) => {
                row.polls += 1;
                self.end_posted(row)
            }
            _ => {
                let post_ids = row.post_ids;
                self.end(End::Posted { post_ids, look_again: None })
            }
        }
    }

    fn wants_post_id(&self, row: &Publication) -> bool {
        let since = row.final_started.unwrap_or(self.at.now);
        row.expects_post_id
            && row.post_ids.is_empty()
            && row.publish_id.is_some()
            && self.at.now < since + self.times.review_after
    }

    fn end_posted(self, row: Publication) -> Step {
        let look_again = self.wants_post_id(&row).then(|| self.at.now + self.times.poll_pause(row.polls));
        let post_ids = row.post_ids.clone();
        self.write(row, Vec::new(), Next::End(End::Posted { post_ids, look_again }))
    }

    // ---- time, by TikTok's clock

    /// Past init + the URL's life + the longest PUT + the margin, by the `Date` of the answer that is judged: an
    /// answer that lay about for an hour still speaks of the moment at which it was made.
    fn is_past_expiry(&self, row: &Publication, date: Option<i64>) -> bool {
        match (row.init_date, date) {
            (Some(init), Some(date)) => date > init + self.times.dead_after(),
            (None, _) | (_, None) => false,
        }
    }

    /// Not known is taken for alive: a PUT to a URL that has expired is refused and harmless.
    fn url_lives(&self, row: &Publication, date: Option<i64>) -> bool {
        match (row.init_date, date) {
            (Some(init), Some(date)) => date <= init + self.times.url_life,
            (None, _) | (_, None) => true,
        }
    }

    // ---- ends

    /// Generation + 1, and the publish stage begins anew. Only rule 7 may call this.
    fn raise(self, row: Publication, needs: Vec<Need>, due: i64, reason: Reason) -> Step {
        if row.failures > self.times.failures {
            // TikTok's last FAILED is proved, so FAILED is the truth.
            return self.fail(row, reason, needs);
        }
        if row.generation >= self.times.generations {
            let text = format!("begun {} times without an end; last: {}", row.generation, reason.text);
            return self.review(row, Reason::new("too_many_tries", text), needs);
        }
        let raised = row.raised();
        let next = match self.at.role {
            Role::Confirm => Next::End(End::PublishAgain { due, reason }),
            Role::Publish if due > self.at.now => Next::End(End::Parked { until: due, reason }),
            Role::Publish => Next::AskCreatorInfo,
        };
        self.write(raised, needs, next)
    }

    fn fail(self, mut row: Publication, reason: Reason, needs: Vec<Need>) -> Step {
        row.state = State::Failed;
        row.reason = Some(reason.clone());
        let mut needs = needs;
        if row.final_started.is_none() && !needs.contains(&Need::FinalStartedIsNull) {
            needs.push(Need::FinalStartedIsNull);
        }
        self.write(row, needs, Next::End(End::Failed(reason)))
    }

    fn review(self, mut row: Publication, reason: Reason, needs: Vec<Need>) -> Step {
        row.state = State::NeedsReview;
        row.reason = Some(reason.clone());
        self.write(row, needs, Next::End(End::NeedsReview(reason)))
    }

    fn park(self, mut row: Publication, needs: Vec<Need>, until: i64, reason: Reason) -> Step {
        row.reason = Some(reason.clone());
        self.write(row, needs, Next::End(End::Parked { until, reason }))
    }

    /// The next poll of an id whose last chunk was allowed, after the growing pause.
    fn poll_later(self, row: Publication, reason: Reason) -> Step {
        let until = self.at.now + self.times.poll_pause(row.polls);
        self.poll_at(row, until, reason)
    }

    /// The next poll then; or a person, once the day is over (rule 8).
    fn poll_at(self, mut row: Publication, until: i64, reason: Reason) -> Step {
        let since = row.final_started.unwrap_or(self.at.now);
        if self.at.now >= since + self.times.review_after {
            let text = format!("TikTok has not said for a day what became of the post; last: {}", reason.text);
            return self.review(row, Reason::new("outcome_unknown", text), Vec::new());
        }
        row.polls += 1;
        self.wait(row, until, reason)
    }

    /// An id whose URL has expired and which is not yet proved dead.
    fn park_until_dead(self, row: Publication, date: Option<i64>, reason: Reason) -> Step {
        let left = match (row.init_date, date) {
            (Some(init), Some(date)) => init + self.times.dead_after() - date,
            (None, _) | (_, None) => 0,
        };
        let until = self.at.now + left.max(0) + self.times.poll_first;
        if row.final_started.is_some() { self.poll_later(row, reason) } else { self.wait(row, until, reason) }
    }

    /// Waits without a slot: a publish task that has sent its last chunk hands over to confirm, any other is parked.
    fn wait(self, mut row: Publication, until: i64, reason: Reason) -> Step {
        let hand_over = self.at.role == Role::Publish && row.final_started.is_some();
        row.reason = Some(reason.clone());
        let end = if hand_over { End::Confirm { due: until } } else { End::Parked { until, reason } };
        self.write(row, Vec::new(), Next::End(end))
    }

    /// What the fleet learns, and until when it holds.
    fn learn(&mut self, refusal: &Refusal) -> i64 {
        let now = self.at.now;
        match refusal.class {
            Class::Throttled { key, pause } => {
                let until = now + pause;
                self.tell = Some(Tell::Close { key, until, reason: refusal.reason() });
                until
            }
            Class::PermanentForAccount => {
                let until = now + self.times.ban_pause;
                self.tell = Some(Tell::Close { key: Key::Account, until, reason: refusal.reason() });
                until
            }
            Class::NeedsReconnect => {
                self.tell = Some(Tell::Reconnect(refusal.reason()));
                now + self.times.reconnect_pause
            }
            Class::Transient
            | Class::TokenExpired
            | Class::NeedsChange
            | Class::PermanentForVideo
            | Class::Bug
            | Class::OutcomeUnknown => now,
        }
    }

    fn recorded_reason(&self) -> Reason {
        self.row.reason.clone().unwrap_or_else(|| Reason::new("ended", "it ended before"))
    }

    fn call(self, next: Next) -> Step {
        Step { write: None, tell: self.tell, next }
    }

    fn end(self, end: End) -> Step {
        self.call(Next::End(end))
    }

    fn write(self, row: Publication, needs: Vec<Need>, next: Next) -> Step {
        let guard = Guard { lease: Some(self.at.lease), generation: self.row.generation, needs };
        Step { write: Some(Write { guard, row, permits: false }), tell: self.tell, next }
    }
}
