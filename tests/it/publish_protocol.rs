//! The publish protocol's rules, one by one, where the model leaves out times, words and people.

use subiteya::event::LeaseToken;
use subiteya::outcome::{Outcome, Reason};
use subiteya::stage::publish::chunks::{ChunkPlan, ChunkRules};
use subiteya::stage::publish::operator::{
    Resolution, Unresolvable, exhausted, may_cancel, may_replay_edit, may_replay_publish, resolve,
};
use subiteya::stage::publish::protocol::decide;
use subiteya::stage::publish::row::{Publication, State};
use subiteya::stage::publish::step::{At, End, Event, Need, Next, Role, Step, Tell};
use subiteya::stage::publish::times::{HOUR, MINUTE, SECOND, Times};
use subiteya::tiktok::refusal::{Class, Head, Key, Refusal, of_code, of_upload};
use subiteya::tiktok::wire::{PostStatus, StatusKind};

const INIT: i64 = 1_000_000_000;
const NOW: i64 = 5_000_000;

fn fresh() -> Publication {
    let plan = ChunkPlan::new(70_000_000, &ChunkRules::default()).expect("a plan");
    Publication::freeze("sha256".to_owned(), plan, false)
}

fn uploading() -> Publication {
    Publication {
        state: State::Uploading,
        publish_id: Some("v_pub_file~1".to_owned()),
        upload_url: Some("sealed".to_owned()),
        init_date: Some(INIT),
        inits: 1,
        ..fresh()
    }
}

fn sending_last() -> Publication {
    Publication { acknowledged: 60_000_000, final_started: Some(NOW), ..uploading() }
}

fn step(row: &Publication, role: Role, now: i64, event: Event) -> Step {
    decide(row, &event, &At { lease: LeaseToken::new(), role, now }, &Times::default())
}

fn publish(row: &Publication, event: Event) -> Step {
    step(row, Role::Publish, NOW, event)
}

fn status(status: StatusKind, bytes: Option<u64>, reason: Option<&str>, date: i64) -> Event {
    let fail_reason = reason.map(str::to_owned);
    let status = PostStatus { status, fail_reason, post_ids: Vec::new(), uploaded_bytes: bytes };
    Event::StatusAnswered { status, date: Some(date) }
}

fn failed(reason: &str, date: i64) -> Event {
    status(StatusKind::Failed, None, Some(reason), date)
}

fn processing(bytes: Option<u64>, date: i64) -> Event {
    status(StatusKind::ProcessingUpload, bytes, None, date)
}

fn after(step: &Step) -> &Publication {
    &step.write.as_ref().expect("a write").row
}

fn end(step: &Step) -> &End {
    match &step.next {
        Next::End(end) => end,
        next => panic!("{next:?} is no end"),
    }
}

#[test]
fn the_intent_takes_the_permits_and_an_answered_refusal_closes_it_again() {
    let step = publish(&fresh(), Event::CreatorAgrees);
    let write = step.write.as_ref().expect("a write");
    assert!(write.permits && write.guard.needs.contains(&Need::PublishIdIsNull));
    assert_eq!(step.next, Next::SendInit);
    let intended = write.row.clone();
    assert_eq!((intended.state, intended.inits, intended.lost_inits), (State::Intended, 1, 1));
    assert!(!may_cancel(Some(&intended)));

    let head = Head { http: 429, ..Head::default() };
    let refused = publish(&intended, Event::InitRefused(of_code(head, "rate_limit_exceeded", "", None)));
    assert!(matches!(end(&refused), End::Parked { until, .. } if *until == NOW + MINUTE));
    assert!(matches!(refused.tell, Some(Tell::Close { key: Key::Account, .. })));
    assert_eq!((after(&refused).lost_inits, after(&refused).inits), (0, 1));
    assert!(may_cancel(Some(after(&refused))));
}

#[test]
fn the_third_lost_init_answer_needs_review() {
    let mut row = fresh();
    for lost in 1..=3 {
        row = after(&publish(&row, Event::CreatorAgrees)).clone();
        let step = publish(&row, Event::InitRefused(Refusal::answer_lost("reset")));
        assert_eq!(matches!(end(&step), End::NeedsReview(_)), lost == 3, "{lost}");
        row = after(&step).clone();
    }
    assert_eq!(row.inits, 3);
}

#[test]
fn a_crash_after_the_intent_counts_as_a_lost_answer() {
    let row = Publication { state: State::Intended, lost_inits: 3, inits: 3, ..fresh() };
    assert!(matches!(end(&publish(&row, Event::Started)), End::NeedsReview(_)));
    assert_eq!(publish(&Publication { lost_inits: 2, ..row }, Event::Started).next, Next::AskCreatorInfo);
}

#[test]
fn final_started_is_written_before_the_last_chunk_and_before_the_only_one() {
    let row = uploading();
    let last = row.plan.count - 1;
    let step = publish(&row, Event::PutAnswered { chunk: last - 1, complete: false });
    assert_eq!((after(&step).final_started, &step.next), (None, &Next::Open { chunk: last }));
    let step = publish(after(&step), Event::Opened { chunk: last });
    assert_eq!((after(&step).final_started, &step.next), (Some(NOW), &Next::Put { chunk: last }));
    assert!(step.write.as_ref().expect("a write").guard.needs.contains(&Need::FinalStartedIsNull));

    let one = Publication { plan: ChunkPlan { size: 9, chunk_size: 9, count: 1 }, state: State::Intended, ..fresh() };
    let answer = Event::InitAnswered { publish_id: "p".to_owned(), upload_url: "u".to_owned(), date: Some(INIT) };
    let step = publish(&one, answer);
    assert_eq!((after(&step).final_started, &step.next), (None, &Next::Open { chunk: 0 }));
    let step = publish(after(&step), Event::Opened { chunk: 0 });
    assert_eq!((after(&step).final_started, &step.next), (Some(NOW), &Next::Put { chunk: 0 }));
}

#[test]
fn a_last_chunk_that_cannot_be_opened_leaves_no_mark_and_is_tried_again_after_a_question() {
    let row = Publication { acknowledged: uploading().plan.start(uploading().plan.count - 1), ..uploading() };
    let chunk = row.plan.count - 1;
    let step = publish(&row, Event::PutRefused { chunk, refusal: Refusal::not_sent("unreadable") });
    assert_eq!((after(&step).final_started, &step.next), (None, &Next::AskStatus));
    assert_eq!(publish(after(&step), processing(None, INIT)).next, Next::Open { chunk });
}

#[test]
fn a_refused_put_never_kills_an_id() {
    for http in [401, 403, 404, 416, 500] {
        let refusal = of_upload(Head { http, ..Head::default() }, "");
        for row in [uploading(), sending_last()] {
            let step = publish(&row, Event::PutRefused { chunk: 0, refusal: refusal.clone() });
            assert_eq!(step.next, Next::AskStatus, "{http}");
            assert_eq!(after(&step).generation, 1);
        }
    }
    let step = publish(
        &Publication { troubles: 2, ..uploading() },
        Event::PutRefused { chunk: 0, refusal: Refusal::answer_lost("reset") },
    );
    assert!(matches!(end(&step), End::Parked { until, .. } if *until > NOW));
}

#[test]
fn sending_goes_on_from_what_tiktok_says_it_has() {
    let row = uploading();
    let chunk = row.plan.chunk_size;
    assert_eq!(publish(&row, processing(Some(2 * chunk), INIT)).next, Next::Put { chunk: 2 });
    assert_eq!(publish(&row, processing(Some(2 * chunk + 1), INIT)).next, Next::Put { chunk: 2 });
    let acknowledged = Publication { acknowledged: chunk, ..row };
    assert_eq!(publish(&acknowledged, processing(None, INIT)).next, Next::Put { chunk: 1 });
    let back = step(&sending_last(), Role::Confirm, NOW, processing(Some(chunk), INIT));
    assert!(matches!(end(&back), End::PublishAgain { .. }));
}

#[test]
fn an_id_without_its_last_chunk_dies_only_after_the_hour_and_its_margins() {
    let dead = INIT + HOUR + 10 * MINUTE + 10 * MINUTE;
    for event in [processing(Some(0), dead), processing(None, dead), failed("internal", dead)] {
        assert!(matches!(end(&publish(&uploading(), event)), End::Parked { .. }));
    }
    for event in [processing(Some(0), dead + 1), processing(None, dead + 1), failed("internal", dead + 1)] {
        let step = publish(&uploading(), event);
        let write = step.write.as_ref().expect("a write");
        assert_eq!(write.row.generation, 2);
        assert_eq!((write.row.publish_id.as_ref(), write.row.state), (None, State::Frozen));
        assert!(write.guard.needs.contains(&Need::FinalStartedIsNull));
        assert_eq!(step.next, Next::AskCreatorInfo);
    }
}

#[test]
fn after_the_last_chunk_only_bytes_that_tiktok_names_as_missing_kill_an_id() {
    let dead = INIT + 2 * HOUR;
    let confirm = |event| step(&sending_last(), Role::Confirm, NOW, event);
    assert!(matches!(end(&confirm(processing(None, dead))), End::Parked { .. }));
    assert!(matches!(end(&confirm(processing(Some(70_000_000), dead))), End::Parked { .. }));
    let step = confirm(processing(Some(60_000_000), dead));
    assert!(matches!(end(&step), End::PublishAgain { .. }));
    assert_eq!(after(&step).generation, 2);
}

#[test]
fn after_a_201_a_status_that_names_fewer_bytes_changes_nothing() {
    let step = publish(&sending_last(), Event::PutAnswered { chunk: 6, complete: true });
    assert_eq!(step.next, Next::AskStatus, "a small video may be ready at once");
    let step = publish(after(&step), processing(None, INIT));
    assert!(matches!(end(&step), End::Confirm { due } if *due == NOW + 2 * SECOND));
    let row = after(&step).clone();
    assert!(row.uploaded && row.state == State::Uploaded);
    let later = self::step(&row, Role::Confirm, NOW, processing(Some(0), INIT + 2 * HOUR));
    assert!(matches!(end(&later), End::Parked { .. }));
    assert_eq!(after(&later).generation, 1);
}

#[test]
fn two_failed_ten_minutes_apart_with_a_reason_that_allows_it_let_the_generation_rise() {
    let confirm = |row: &Publication, event| step(row, Role::Confirm, NOW, event);
    let first = confirm(&sending_last(), failed("internal", INIT));
    assert!(matches!(end(&first), End::Parked { until, .. } if *until == NOW + 10 * MINUTE));
    let early = confirm(after(&first), failed("internal", INIT + 10 * MINUTE - 1));
    assert_eq!(after(&early).generation, 1);
    let second = confirm(after(&early), failed("internal", INIT + 10 * MINUTE));
    assert_eq!((after(&second).generation, after(&second).failures), (2, 1));
    assert!(matches!(end(&second), End::PublishAgain { due, .. } if *due == NOW));
    let between = confirm(after(&first), processing(None, INIT + MINUTE));
    assert_eq!(after(&between).first_failed_at, None);

    let spent = Publication { failures: 3, ..after(&first).clone() };
    assert!(matches!(end(&confirm(&spent, failed("internal", INIT + HOUR))), End::Failed(_)));
    let day = confirm(after(&first), failed("spam_risk_too_many_posts", INIT + HOUR));
    assert!(matches!(end(&day), End::PublishAgain { due, .. } if *due == NOW + 24 * HOUR));
}

#[test]
fn a_permanent_reason_ends_failed_in_words_and_tells_the_account() {
    for (row, role) in [(uploading(), Role::Publish), (sending_last(), Role::Confirm)] {
        let step = step(&row, role, NOW, failed("file_format_check_failed", INIT));
        let End::Failed(reason) = end(&step) else { panic!("{:?}", step.next) };
        assert_eq!(reason.code, "file_format_check_failed");
        assert!(reason.text.contains("MP4"), "{}", reason.text);
    }
    let removed = publish(&sending_last(), failed("auth_removed", INIT));
    assert!(matches!(removed.tell, Some(Tell::Reconnect(_))));
    assert!(matches!(end(&removed), End::Failed(_)));
}

#[test]
fn publish_complete_wins_over_whatever_was_believed() {
    let doubtful = Publication { first_failed_at: Some(INIT), ..sending_last() };
    for row in [uploading(), sending_last(), doubtful] {
        let step = publish(&row, status(StatusKind::PublishComplete, None, None, INIT));
        assert!(matches!(end(&step), End::Posted { look_again: None, .. }));
    }
}

#[test]
fn a_public_post_is_looked_at_again_until_its_id_is_there() {
    let row = Publication { expects_post_id: true, ..sending_last() };
    let posted = publish(&row, status(StatusKind::PublishComplete, None, None, INIT));
    assert!(matches!(end(&posted), End::Posted { look_again: Some(at), .. } if *at == NOW + 2 * SECOND));
    let confirm = |now, event| step(after(&posted), Role::Confirm, now, event);
    assert_eq!(confirm(NOW, Event::Started).next, Next::AskStatus);
    let ids = PostStatus {
        status: StatusKind::PublishComplete,
        fail_reason: None,
        post_ids: vec!["7527234567890123456".to_owned()],
        uploaded_bytes: None,
    };
    let known = confirm(NOW, Event::StatusAnswered { status: ids, date: None });
    assert!(matches!(end(&known), End::Posted { post_ids, look_again: None } if post_ids.len() == 1));
    // After a day it looks no more by itself, but still asks when somebody makes it look.
    assert_eq!(confirm(NOW + 25 * HOUR, Event::Started).next, Next::AskStatus);
    let late = confirm(NOW + 25 * HOUR, Event::StatusRefused(Refusal::not_sent("away")));
    assert!(matches!(end(&late), End::Posted { look_again: None, .. }));
}

#[test]
fn polls_slow_down_to_an_hour_and_after_a_day_a_person_looks() {
    let mut row = Publication { uploaded: true, ..sending_last() };
    let mut now = NOW;
    let mut pauses = Vec::new();
    loop {
        let step = step(&row, Role::Confirm, now, processing(None, INIT));
        row = after(&step).clone();
        match end(&step) {
            End::Parked { until, .. } => {
                pauses.push(until - now);
                now = *until;
            }
            End::NeedsReview(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pauses[..4], [2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND]);
    assert_eq!(pauses[pauses.len() - 1], HOUR);
    assert!(now - NOW >= 24 * HOUR && now - NOW < 26 * HOUR);
}

#[test]
fn not_being_able_to_ask_is_no_outcome() {
    for class in [
        Class::Transient,
        Class::TokenExpired,
        Class::NeedsReconnect,
        Class::Throttled { key: Key::Account, pause: MINUTE },
        Class::Bug,
        Class::OutcomeUnknown,
        Class::PermanentForVideo,
        Class::PermanentForAccount,
    ] {
        let refused = Event::StatusRefused(Refusal::ours(class, "x", "y"));
        assert!(matches!(end(&publish(&uploading(), refused.clone())), End::Parked { .. }), "{class:?}");
        assert!(matches!(end(&publish(&sending_last(), refused)), End::Confirm { .. }), "{class:?}");
    }
}

#[test]
fn only_an_operator_leaves_review() {
    let row = Publication { state: State::NeedsReview, ..sending_last() };
    let complete = status(StatusKind::PublishComplete, None, None, INIT);
    assert!(matches!(end(&publish(&row, complete)), End::NeedsReview(_)));
    let there = Resolution::There { post_id: "81".to_owned() };
    let write = resolve(&row, &there).expect("a write");
    assert_eq!((write.row.state, write.row.post_ids.len(), write.guard.lease), (State::Posted, 1, None));
    let again = resolve(&row, &Resolution::PostAgain).expect("a write");
    assert_eq!((again.row.state, again.row.generation), (State::Frozen, 2));
    let gone = resolve(&row, &Resolution::GiveUp).expect("a write");
    assert_eq!(gone.row.reason.expect("a reason").code, "given_up");
    assert_eq!(resolve(&sending_last(), &there), Err(Unresolvable::NotInReview));
    let link = Resolution::There { post_id: "v_pub_file~1".to_owned() };
    assert_eq!(resolve(&row, &link), Err(Unresolvable::NotAPostId));
}

#[test]
fn a_poisoned_video_is_failed_only_where_nothing_can_have_been_posted() {
    let poison = || Reason::new("poison", "it killed its worker three times");
    let (write, outcome) = exhausted(&uploading(), poison(), LeaseToken::new());
    assert_eq!(outcome, Outcome::Dead(poison()));
    assert!(write.expect("a write").guard.needs.contains(&Need::FinalStartedIsNull));
    assert_eq!(exhausted(&sending_last(), poison(), LeaseToken::new()).1, Outcome::NeedsReview(poison()));
}

#[test]
fn a_frozen_rendition_is_not_edited_again_and_a_post_past_its_intent_is_not_replayed() {
    assert!(may_replay_edit(None) && !may_replay_edit(Some(&fresh())));
    assert!(may_cancel(None) && may_cancel(Some(&fresh())) && !may_cancel(Some(&uploading())));
    let refused = Publication { state: State::Failed, inits: 1, ..fresh() };
    assert!(may_replay_publish(Some(&refused)));
    assert!(!may_replay_publish(Some(&Publication { lost_inits: 1, ..refused })));
    assert!(!may_replay_publish(Some(&Publication { state: State::Failed, ..sending_last() })));
}

#[test]
fn whoever_lost_the_row_writes_nothing_more() {
    assert_eq!(publish(&uploading(), Event::WriteLost), Step { write: None, tell: None, next: Next::End(End::Stop) });
}
