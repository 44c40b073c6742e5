//! One trace for each video, at a collector.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::collector::{Collector, Span};
use crate::support::eventually;
use crate::support::fleet::{Fleet, LOOSE, SOON};
use crate::support::servers::free_port;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";

async fn traced() -> (Fleet, Collector) {
    let collector = Collector::start().await;
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
    fleet.set("OTEL_EXPORTER_OTLP_HEADERS", "api-key=of%20ours");
    fleet.start_all().await;
    fleet.account("ada").await;
    (fleet, collector)
}

/// The video's spans, once its post is confirmed and told of.
async fn whole(collector: &Collector, video: &str) -> Vec<Span> {
    let of_video = || {
        let spans = collector.spans().into_iter();
        spans.filter(|span| span.attributes.get("video.id").is_some_and(|id| id == video)).collect::<Vec<_>>()
    };
    let complete = || {
        let spans = of_video();
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        has("upload") && has("chunk") && spans.iter().any(|span| span.is("confirm", "done"))
    };
    eventually("the trace is whole", SOON, async || complete()).await;
    of_video()
}

/// Each span once, all of one trace, each parent but the sender's among them.
fn assert_is_one_tree(spans: &[Span]) {
    for (number, span) in spans.iter().enumerate() {
        assert_eq!(span.trace, spans[0].trace, "{span:?}");
        assert!(spans[..number].iter().all(|other| other.id != span.id), "told twice: {span:?}");
        assert!(span.start <= span.end, "{span:?}");
        match span.name.as_str() {
            "upload" => {}
            _ => assert!(spans.iter().any(|other| Some(&other.id) == span.parent.as_ref()), "an orphan: {span:?}"),
        }
    }
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let one = found.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "more than one {name}: {spans:#?}");
    one
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_one_trace_from_upload_to_post_under_its_senders_span() {
    let (mut fleet, collector) = traced().await;
    let video = fleet.upload_under(&format!("00-{TRACE}-{SENDER}-01"), "ada", "a title of hers").await;
    fleet.posted(&video).await;
    let spans = whole(&collector, &video).await;

    assert_is_one_tree(&spans);
    let upload = only(&spans, "upload");
    assert_eq!((upload.trace.as_str(), upload.parent.as_deref(), upload.kind), (TRACE, Some(SENDER), 2));
    assert!(upload.sender.starts_with("serve "), "{upload:?}");
    let (edit, publish) = (only(&spans, "edit"), only(&spans, "publish"));
    for (run, sender) in [(edit, "work edit "), (publish, "work publish ")] {
        assert_eq!((run.parent.as_ref(), run.kind, run.failed), (Some(&upload.id), 5, false), "{run:?}");
        assert_eq!((run.attributes["outcome"].as_str(), run.attributes["attempt"].as_str()), ("done", "1"));
        assert_eq!(run.attributes["stage"], run.name);
        assert!(run.sender.starts_with(sender) && run.attributes.contains_key("task.id"), "{run:?}");
    }
    for (part, run) in [
        ("fetch", edit),
        ("ffmpeg", edit),
        ("store", edit),
        ("creator info", publish),
        ("init", publish),
        ("chunk", publish),
    ] {
        let part = only(&spans, part);
        assert_eq!(part.parent.as_ref(), Some(&run.id), "{part:?}");
        // The ledger's times are whole milliseconds.
        assert!(part.start >= run.start && part.end <= run.end + 1_000_000, "{part:?} in {run:?}");
    }
    // No time is without a span.
    assert_eq!((only(&spans, "wait edit").start, only(&spans, "wait edit").end), (upload.end, edit.start));
    assert_eq!((only(&spans, "wait publish").start, only(&spans, "wait publish").end), (edit.end, publish.start));
    let confirms: Vec<&Span> = spans.iter().filter(|span| span.name == "confirm").collect();
    assert!(
        spans
            .iter()
            .any(|span| span.name == "status" && confirms.iter().any(|run| Some(&run.id) == span.parent.as_ref()))
    );
    assert!(collector.keys().iter().all(|key| key == "of ours"), "{:?}", collector.keys());
    assert!(!collector.text().contains("a title of hers"), "a title is its creator's");
    // What a stop finds in the queue is sent.
    let video = fleet.upload("ada", "in its last second").await;
    fleet.signal("serve", Signal::TERM);
    assert!(fleet.ended("serve", SOON).await.success(), "{}", fleet.log("serve"));
    assert!(collector.spans().iter().any(|span| span.name == "upload" && span.attributes["video.id"] == video));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_leaves_its_run_in_the_same_trace() {
    let (mut fleet, collector) = traced().await;
    let video = fleet.upload_slow("ada", "edited twice").await;
    fleet.until_ffmpeg_runs(&video).await;
    fleet.kill("edit");
    fleet.start_again("edit");
    fleet.posted(&video).await;
    let spans = whole(&collector, &video).await;
    assert_is_one_tree(&spans);
    let (upload, edits) = (only(&spans, "upload"), spans.iter().filter(|span| span.name == "edit").collect::<Vec<_>>());
    assert_eq!(upload.parent, None);
    let [dead, done] = edits[..] else { panic!("{edits:#?}") };
    assert!(dead.is("edit", "worker died") && dead.failed && done.is("edit", "done") && !done.failed, "{edits:#?}");
    assert_eq!((dead.end, dead.parent.as_ref()), (done.start, Some(&upload.id)));
    assert_ne!(dead.attributes["worker"], done.attributes["worker"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_away_or_says_no_holds_up_nothing() {
    let mut fleet = Fleet::new(LOOSE).await;
    fleet.set("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{}", free_port()));
    fleet.start_all().await;
    fleet.account("ada").await;
    for title in ["one", "two", "three"] {
        let video = fleet.upload("ada", title).await;
        fleet.posted(&video).await;
    }
    eventually("it is in the log", SOON, async || fleet.log("serve").contains("exporting traces fails")).await;
    for name in ["edit", "publish", "serve"] {
        let began = Instant::now();
        fleet.signal(name, Signal::TERM);
        assert!(fleet.ended(name, Duration::from_secs(20)).await.success(), "{}", fleet.log(name));
        assert_eq!(
            fleet.log(name).matches("exporting traces").count(),
            1,
            "one line, after {:?}: {}",
            began.elapsed(),
            fleet.log(name)
        );
    }
    // What was dropped is counted, and stands in the ledger.
    fleet.start_again("serve");
    fleet.ready().await;
    let metrics = String::from_utf8(fleet.bytes("/metrics").await).expect("text");
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("subiteya_trace_spans_total{result=\"dropped\"} "));
    assert!(dropped.is_some_and(|number| number.parse::<f64>().is_ok_and(|number| number >= 3.0)), "{metrics}");
}
