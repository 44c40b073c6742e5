//! What each kind of Redis has to do for the port. Every case begins with empty streams and connections of its own.

use std::sync::Arc;
use std::time::Duration;

use subiteya::event::{Entry, Stage, TaskId, TraceId, VideoId};
use subiteya::stream::{Content, Delivery, Meter, Options, Purpose, Reader, StreamError, Streams, Woken};
use tokio::time::Instant;

use crate::support::eventually;
use crate::support::kinds::Service;

const SOON: Duration = Duration::from_secs(10);
const STREAM: &str = "video.uploaded";

/// One kind of Redis, emptied for one case.
struct Case<'a> {
    service: &'a Service,
    streams: Streams,
}

pub(super) async fn connect(service: &Service) -> Streams {
    let options = Options {
        command_timeout: Duration::from_millis(1_500),
        longest_pause: Duration::from_millis(500),
        authorities: service.authorities(),
        ..Options::default()
    };
    Streams::connect(&service.url(), options, Meter::default()).await.expect("it answers")
}

pub(super) fn entry() -> Entry {
    Entry { task: TaskId::new(), video: VideoId::new(), trace: TraceId::new() }
}

/// Each case by its name, so that a failure says which one it was.
macro_rules! cases {
    ($service:expr, $($case:ident),+ $(,)?) => {
        $(
            println!("case: {}", stringify!($case));
            $service.everywhere(&["FLUSHALL"]).await;
            let case = Case { service: $service, streams: connect($service).await };
            Box::pin($case(&case)).await;
            case.streams.close().await;
        )+
    };
}

pub(super) async fn all(service: &Service) {
    cases!(
        service,
        appended_ids_grow_and_entries_come_back_whole,
        a_trim_takes_what_lies_below_the_bound_and_nothing_else,
        the_group_is_made_once_and_at_the_beginning,
        a_read_waits_for_the_first_entry_and_ends_with_nothing,
        what_was_read_is_pending_until_it_is_acknowledged,
        a_blocked_reader_is_woken_at_once_and_strands_nothing,
        a_reader_comes_back_after_its_connection_was_replaced,
        many_are_acknowledged_at_once,
        a_long_pending_list_is_paged_to_its_end,
        live_gone_and_unknown_entries_are_claimed_for_what_they_are,
        an_entry_of_others_comes_with_its_fields,
        a_consumer_is_removed_only_when_it_holds_nothing,
        what_is_told_of_a_stream_is_true,
        a_wiped_stream_has_no_group,
        a_key_of_another_type_is_refused,
        two_readers_share_a_big_backlog,
        both_streams_are_there_at_once,
        each_command_is_metered,
    );
}

impl Case<'_> {
    async fn group(&self) {
        assert!(self.streams.ensure_group(Stage::Edit).await.unwrap());
    }

    async fn append(&self, number: usize) -> Vec<String> {
        let mut ids = Vec::with_capacity(number);
        for _ in 0..number {
            ids.push(self.streams.append(Stage::Edit, &entry()).await.unwrap());
        }
        ids
    }

    /// Entries under ids of the case's choice, at once.
    async fn fill(&self, number: usize) {
        let appends = (0..number).map(|_| async { self.streams.append(Stage::Edit, &entry()).await.unwrap() });
        futures::future::join_all(appends).await;
    }

    async fn reader(&self, name: &str) -> Reader {
        Reader::open(&self.streams, Stage::Edit, name).await.unwrap()
    }

    async fn until_blocked(&self, number: usize) {
        eventually("the reader waits", SOON, || async { self.service.blocked().await == number }).await;
    }

    async fn raw(&self, words: &[&str]) -> String {
        self.service.about(STREAM, words).await
    }
}

fn parts(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').unwrap();
    (ms.parse().unwrap(), seq.parse().unwrap())
}

async fn appended_ids_grow_and_entries_come_back_whole(case: &Case<'_>) {
    case.group().await;
    let one = entry();
    let first = case.streams.append(Stage::Edit, &one).await.unwrap();
    let ids = case.append(50).await;
    let all: Vec<_> = std::iter::once(&first).chain(&ids).map(|id| parts(id)).collect();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
    let read = case.reader("one").await.read_now(1).await.unwrap();
    assert_eq!(read[0].id, first);
    let Content::Entry(back) = &read[0].content else { panic!("{read:?}") };
    assert_eq!((back.task, back.video), (one.task, one.video));
}

/// Pitfalls 15 and 16.
async fn a_trim_takes_what_lies_below_the_bound_and_nothing_else(case: &Case<'_>) {
    case.group().await;
    case.fill(9_999).await;
    // Answers to appends at once are heard in any order; the newest id is known after one that comes alone.
    case.append(1).await;
    let reader = case.reader("one").await;
    let mut read = Vec::new();
    while read.len() < 10_000 {
        let page = reader.read_now(2_000).await.unwrap();
        assert!(!page.is_empty());
        read.extend(page.into_iter().map(|delivery| delivery.id));
    }
    let held = read[5_000].clone();
    let over = read.iter().filter(|&id| *id != held).cloned().collect::<Vec<_>>();
    for page in over.chunks(1_000) {
        case.streams.acknowledge(Stage::Edit, page.to_vec()).await.unwrap();
    }
    case.streams.may_trim(Stage::Edit, Some(held.clone()));
    let later = case.append(1).await;
    let length = case.streams.stream_info(Stage::Edit).await.unwrap().length;
    assert!((5_001..5_200).contains(&length), "{length}");
    let own = reader.own_pending("0", 10).await.unwrap();
    assert!(own.len() == 1 && own[0].id == held && matches!(own[0].content, Content::Entry(_)), "{own:?}");
    case.streams.acknowledge(Stage::Edit, vec![held]).await.unwrap();
    case.streams.may_trim(Stage::Edit, Some(later[0].clone()));
    case.append(2).await;
    let length = case.streams.stream_info(Stage::Edit).await.unwrap().length;
    assert!(length < 200, "{length}");
    assert_eq!(reader.read_now(10).await.unwrap().len(), 3, "what was not read is there");
}

/// Pitfall 18.
async fn the_group_is_made_once_and_at_the_beginning(case: &Case<'_>) {
    let before = case.append(1).await;
    assert!(case.streams.ensure_group(Stage::Edit).await.unwrap());
    assert!(!case.streams.ensure_group(Stage::Edit).await.unwrap());
    assert!(case.streams.ensure_group(Stage::Publish).await.unwrap(), "also where there is no stream yet");
    let read = case.reader("one").await.read_now(10).await.unwrap();
    assert_eq!(read.iter().map(|one| &one.id).collect::<Vec<_>>(), before.iter().collect::<Vec<_>>());
}

/// Pitfall 2.
async fn a_read_waits_for_the_first_entry_and_ends_with_nothing(case: &Case<'_>) {
    case.group().await;
    let reader = case.reader("one").await;
    assert!(reader.read_now(1).await.unwrap().is_empty());
    for _ in 0..3 {
        assert!(reader.read(1, Duration::from_millis(30)).await.unwrap().unwrap().is_empty());
    }
    let reading = reader.read(5, Duration::from_secs(60));
    case.until_blocked(1).await;
    let ids = case.append(1).await;
    assert_eq!(reading.await.unwrap().unwrap()[0].id, ids[0]);
}

async fn what_was_read_is_pending_until_it_is_acknowledged(case: &Case<'_>) {
    case.group().await;
    let ids = case.append(3).await;
    let reader = case.reader("one").await;
    assert_eq!(reader.read_now(2).await.unwrap().len(), 2);
    let own = reader.own_pending("0", 10).await.unwrap();
    assert_eq!(own.iter().map(|one| one.id.clone()).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(reader.own_pending(&ids[0], 10).await.unwrap().len(), 1, "after this id");
    let line = case.streams.pending_entry(Stage::Edit, &ids[0]).await.unwrap().unwrap();
    assert_eq!((line.id.as_str(), line.consumer.as_str(), line.deliveries), (ids[0].as_str(), "one", 2));
    assert!(case.streams.pending_entry(Stage::Edit, &ids[2]).await.unwrap().is_none());
    case.streams.acknowledge(Stage::Edit, vec![ids[0].clone()]).await.unwrap();
    case.streams.acknowledge(Stage::Edit, vec![ids[0].clone()]).await.expect("also what is not pending");
    assert!(case.streams.pending_entry(Stage::Edit, &ids[0]).await.unwrap().is_none());
}

/// Pitfalls 1, 3 and 5.
fn read(woken: Woken) -> Vec<Delivery> {
    match woken {
        Woken::Read(read) => read,
        Woken::Cut => panic!("a Redis that can wake a reader cuts none"),
    }
}

async fn a_blocked_reader_is_woken_at_once_and_strands_nothing(case: &Case<'_>) {
    case.group().await;
    let reader = case.reader("one").await;
    for _ in 0..5 {
        let reading = reader.read(1, Duration::from_secs(60));
        case.until_blocked(1).await;
        case.streams.acknowledge(Stage::Edit, vec!["1-0".to_owned()]).await.expect("others are not held up");
        let asked = Instant::now();
        assert!(read(reader.wake(reading).await.unwrap()).is_empty());
        // A block that was waited out, or a connection that was replaced, takes seconds.
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
    for _ in 0..20 {
        // Appended while it is being woken: given back by the wake, or there for the next read.
        let reading = reader.read(1, Duration::from_secs(60));
        let (woken, ids) = tokio::join!(reader.wake(reading), case.append(1));
        let mut got = read(woken.unwrap());
        got.extend(reader.read_now(1).await.unwrap());
        assert_eq!(got.iter().map(|one| one.id.clone()).collect::<Vec<_>>(), ids);
    }
}

async fn a_reader_comes_back_after_its_connection_was_replaced(case: &Case<'_>) {
    case.group().await;
    let reader = case.reader("one").await;
    let reading = reader.read(1, Duration::from_secs(60));
    case.until_blocked(1).await;
    case.service.everywhere(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    reading.await.unwrap().expect_err("it was cut");
    let appended = || async { case.streams.append(Stage::Edit, &entry()).await.is_ok() };
    eventually("the commands' connection is back", SOON, appended).await;
    let mut read = Vec::new();
    let deadline = Instant::now() + SOON;
    while read.is_empty() {
        assert!(Instant::now() < deadline, "the reader is not back");
        read = reader.read_now(1).await.unwrap_or_default();
    }
    reader.reconnect().await;
    let own = reader.own_pending("0", 10).await.unwrap();
    assert_eq!(own.len(), 1);
}

async fn many_are_acknowledged_at_once(case: &Case<'_>) {
    case.group().await;
    case.fill(500).await;
    let read = case.reader("one").await.read_now(500).await.unwrap();
    assert_eq!(case.service.pending(STREAM, "edit").await, 500);
    let ids = read.into_iter().map(|delivery| delivery.id).collect();
    case.streams.acknowledge(Stage::Edit, ids).await.unwrap();
    assert_eq!(case.service.pending(STREAM, "edit").await, 0);
}

/// Pitfall 9.
async fn a_long_pending_list_is_paged_to_its_end(case: &Case<'_>) {
    case.group().await;
    case.fill(1_250).await;
    let read = case.reader("one").await.read_now(1_250).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = case.streams.pending(Stage::Edit, after.as_deref(), 100).await.unwrap();
        seen.extend(page.iter().map(|line| line.id.clone()));
        match page.last() {
            Some(last) if page.len() == 100 => after = Some(last.id.clone()),
            _ => break,
        }
    }
    assert_eq!(seen, read.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>());
}

/// Pitfall 8.
async fn live_gone_and_unknown_entries_are_claimed_for_what_they_are(case: &Case<'_>) {
    case.group().await;
    let ids = case.append(3).await;
    let dead = case.reader("dead").await;
    dead.read_now(2).await.unwrap();
    case.raw(&["XDEL", STREAM, &ids[1]]).await;
    let own = dead.own_pending("0", 10).await.unwrap();
    assert!(matches!(own[1].content, Content::Gone), "{own:?}");
    let live = case.streams.claim(Stage::Edit, "other", &ids[0]).await.unwrap().unwrap();
    assert!(live.id == ids[0] && matches!(live.content, Content::Entry(_)));
    let line = case.streams.pending_entry(Stage::Edit, &ids[0]).await.unwrap().unwrap();
    assert_eq!(line.consumer, "other");
    assert!(case.streams.claim(Stage::Edit, "other", &ids[1]).await.unwrap().is_none(), "gone");
    assert!(case.streams.claim(Stage::Edit, "other", &ids[2]).await.unwrap().is_none(), "never read");
    assert!(case.streams.claim(Stage::Edit, "other", "7-7").await.unwrap().is_none(), "never there");
}

/// Pitfall 13.
async fn an_entry_of_others_comes_with_its_fields(case: &Case<'_>) {
    case.group().await;
    case.raw(&["XADD", STREAM, "*", "task", "nonsense", "more", "\u{1F600}"]).await;
    case.append(1).await;
    let read = case.reader("one").await.read_now(2).await.unwrap();
    let Content::Undecodable { fields, .. } = &read[0].content else { panic!("{read:?}") };
    assert_eq!((fields["task"].as_str(), fields["more"].as_str()), ("nonsense", "\u{1F600}"));
    assert!(matches!(read[1].content, Content::Entry(_)));
}

/// Pitfalls 19 and 20.
async fn a_consumer_is_removed_only_when_it_holds_nothing(case: &Case<'_>) {
    case.group().await;
    let ids = case.append(1).await;
    case.reader("one").await.read_now(1).await.unwrap();
    // Redis 7.0 knows a consumer only once it was given something.
    let second = case.append(1).await;
    case.reader("two").await.read_now(1).await.unwrap();
    case.streams.acknowledge(Stage::Edit, second).await.unwrap();
    let mut names = case.streams.consumers(Stage::Edit).await.unwrap();
    names.sort();
    assert_eq!(names, ["one", "two"]);
    assert!(!case.streams.remove_consumer(Stage::Edit, "one").await.unwrap(), "it holds an entry");
    assert!(case.streams.remove_consumer(Stage::Edit, "two").await.unwrap());
    case.streams.acknowledge(Stage::Edit, ids).await.unwrap();
    assert!(case.streams.remove_consumer(Stage::Edit, "one").await.unwrap());
    assert!(case.streams.consumers(Stage::Edit).await.unwrap().is_empty());
}

/// Pitfalls 22 and 32.
async fn what_is_told_of_a_stream_is_true(case: &Case<'_>) {
    assert_eq!(case.streams.stream_info(Stage::Edit).await.unwrap(), Default::default(), "no stream yet");
    let ids = case.append(3).await;
    assert_eq!(case.streams.stream_info(Stage::Edit).await.unwrap().group, None, "no group yet");
    case.group().await;
    let reader = case.reader("one").await;
    reader.read_now(1).await.unwrap();
    let info = case.streams.stream_info(Stage::Edit).await.unwrap();
    let group = info.group.unwrap();
    assert_eq!((info.length, info.entries_added), (3, Some(3)));
    assert_eq!((group.lag, group.pending, group.consumers.len()), (Some(2), 1, 1));
    assert_eq!((group.consumers[0].name.as_str(), group.consumers[0].pending), ("one", 1));
    case.raw(&["XDEL", STREAM, &ids[1]]).await;
    let lag = case.streams.stream_info(Stage::Edit).await.unwrap().group.unwrap().lag;
    assert!(lag.is_none() || lag == Some(1), "unknown, or counted: never 0; {lag:?}");
}

/// Pitfall 17.
async fn a_wiped_stream_has_no_group(case: &Case<'_>) {
    case.group().await;
    let reader = case.reader("one").await;
    for wipe in [&["FLUSHALL"][..], &["DEL", STREAM]] {
        let reading = reader.read(1, Duration::from_secs(60));
        case.until_blocked(1).await;
        case.raw(wipe).await;
        let ended = reading.await.unwrap();
        assert!(matches!(ended, Err(StreamError::NoGroup)), "{wipe:?}: {ended:?}");
        let read = reader.read_now(1).await;
        assert!(matches!(read, Err(StreamError::NoGroup)), "{wipe:?}: {read:?}");
        let page = case.streams.pending(Stage::Edit, None, 10).await;
        assert!(matches!(page, Err(StreamError::NoGroup)), "{wipe:?}: {page:?}");
        case.streams.acknowledge(Stage::Edit, vec!["1-0".to_owned()]).await.expect("nothing to acknowledge");
        case.group().await;
        case.append(1).await;
        let read = reader.read_now(1).await.unwrap();
        case.streams.acknowledge(Stage::Edit, vec![read[0].id.clone()]).await.unwrap();
    }
}

async fn a_key_of_another_type_is_refused(case: &Case<'_>) {
    case.raw(&["SET", STREAM, "mine"]).await;
    let error = case.streams.append(Stage::Edit, &entry()).await.unwrap_err();
    assert!(matches!(&error, StreamError::Refused(text) if text.starts_with("WRONGTYPE")), "{error:?}");
    assert!(case.raw(&["GET", STREAM]).await.contains("mine"), "it is left alone");
    case.streams.append(Stage::Publish, &entry()).await.expect("the other stream goes on");
}

/// Pitfall 21 is about their names: two readers of one group.
async fn two_readers_share_a_big_backlog(case: &Case<'_>) {
    case.group().await;
    case.fill(5_000).await;
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let share = |name: &'static str| {
        let seen = seen.clone();
        async move {
            let reader = case.reader(name).await;
            let mut mine = 0;
            loop {
                let page = reader.read_now(50).await.unwrap();
                if page.is_empty() {
                    return mine;
                }
                mine += page.len();
                seen.lock().unwrap().extend(page.into_iter().map(|one| one.id));
                tokio::task::yield_now().await;
            }
        }
    };
    let (one, two) = tokio::join!(share("one"), share("two"));
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    seen.dedup();
    assert_eq!((one + two, seen.len()), (5_000, 5_000), "each entry once");
    assert!(one > 0 && two > 0);
}

async fn both_streams_are_there_at_once(case: &Case<'_>) {
    case.group().await;
    assert!(case.streams.ensure_group(Stage::Publish).await.unwrap());
    let publish = Reader::open(&case.streams, Stage::Publish, "two").await.unwrap();
    let edit = case.reader("one").await;
    let (one, two) = (edit.read(1, Duration::from_secs(60)), publish.read(1, Duration::from_secs(60)));
    case.until_blocked(2).await;
    let ids = (case.append(1).await, case.streams.append(Stage::Publish, &entry()).await.unwrap());
    assert_eq!(one.await.unwrap().unwrap()[0].id, ids.0[0]);
    assert_eq!(two.await.unwrap().unwrap()[0].id, ids.1);
    let (one, two) = (edit.read(1, Duration::from_secs(60)), publish.read(1, Duration::from_secs(60)));
    case.until_blocked(2).await;
    assert!(read(publish.wake(two).await.unwrap()).is_empty());
    assert!(!one.is_finished(), "only the one that was meant is woken");
    assert!(read(edit.wake(one).await.unwrap()).is_empty());
}

/// What the port counts is what the server counts: per command, and for each connection that is made.
async fn each_command_is_metered(case: &Case<'_>) {
    let service = case.service;
    service.reset_calls().await;
    let streams = connect(service).await;
    assert_metered(service, &streams, "connect").await;
    let connecting = streams.meter().take()[&Purpose::Connect];
    // A connection's PING, CLIENT ID and INFO. In a cluster there are two, and each asks once for its stream; the node of
    // the URL has but one of them, so that the other is asked for twice and connected to twice, and leaves once.
    assert_eq!(connecting, if service.clustered() { 2 * (3 + 1) + (1 + 3 + 1) } else { 3 });

    service.reset_calls().await;
    streams.ensure_group(Stage::Edit).await.unwrap();
    for _ in 0..5 {
        streams.append(Stage::Edit, &entry()).await.unwrap();
    }
    assert_metered(service, &streams, "append").await;

    let reader = Reader::open(&streams, Stage::Edit, "one").await.unwrap();
    assert_eq!(
        streams.meter().peek()[&Purpose::Connect],
        3,
        "a reader is one connection, straight to where its stream is"
    );
    let read = reader.read_now(3).await.unwrap();
    reader.own_pending("0", 10).await.unwrap();
    assert_metered(service, &streams, "read").await;

    let ids: Vec<_> = read.into_iter().map(|one| one.id).collect();
    streams.pending(Stage::Edit, None, 10).await.unwrap();
    streams.pending_entry(Stage::Edit, &ids[0]).await.unwrap();
    streams.claim(Stage::Edit, "two", &ids[0]).await.unwrap();
    streams.acknowledge(Stage::Edit, ids).await.unwrap();
    streams.consumers(Stage::Edit).await.unwrap();
    streams.remove_consumer(Stage::Edit, "two").await.unwrap();
    assert_metered(service, &streams, "repair").await;

    streams.stream_info(Stage::Edit).await.unwrap();
    streams.recognise().await.unwrap();
    assert_metered(service, &streams, "look").await;

    reader.read_now(10).await.unwrap();
    let reading = reader.read(1, Duration::from_secs(60));
    eventually("the reader waits", SOON, || async { service.blocked().await == 1 }).await;
    reader.wake(reading).await.unwrap();
    let counts = streams.meter().take();
    assert_eq!(counts[&Purpose::Repair], 1, "one CLIENT UNBLOCK");
    assert_eq!(service.calls().await["client|unblock"], 1);
}

async fn assert_metered(service: &Service, streams: &Streams, what: &str) {
    let calls = service.calls().await;
    // Our own look at the servers' state is no command of the port's.
    let theirs: u64 = calls.values().sum();
    let ours: u64 = streams.meter().peek().values().sum();
    assert_eq!(ours, theirs, "{what}: {:?} and {calls:?}", streams.meter().peek());
    if what != "connect" {
        streams.meter().take();
    }
    service.reset_calls().await;
}
