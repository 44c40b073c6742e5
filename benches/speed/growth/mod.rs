//! A ledger with 100, 10,000 and 1,000,000 videos in it: what a video costs, and what the pages and `subiteya streams` cost,
//! which should be the same however many there are. A real `serve` and real workers on each, FFmpeg stood in for.

#[path = "../../../tests/it/ledger/database.rs"]
#[expect(dead_code, reason = "what the ledger's tests stand on, too")]
mod database;
#[path = "../../../tests/it/ledger/filled.rs"]
#[expect(dead_code, reason = "what the ledger's tests stand on, too")]
mod filled;

use std::time::{Duration, Instant};

use reqwest::Client;
use subiteya::ledger::Status;

use self::database::{Database, Server};
use crate::Extent;
use crate::report::{Line, median};
use crate::support::fleet::Fleet;
use crate::support::standin::StandIn;

const TOML: &str =
    "[streams.\"video.uploaded\"]\nlimit = \"\"\n[streams.\"video.edited\"]\nlimit = \"\"\nlimit_per_account = \"\"\n";

/// More than this above the smallest ledger's figure is growth.
const FLAT: f64 = 1.2;

/// What is asked of `serve`. `streams` is what `subiteya streams` shows.
const PAGES: [(&str, &str); 6] = [
    ("list", "/api/videos"),
    ("a user's failed", "/api/videos?status=FAILED"),
    ("one video", "/api/videos/ID"),
    ("dead", "/api/dead"),
    ("streams", "/api/monitor/streams"),
    ("health", "/api/monitor/queue-health"),
];

pub(crate) async fn run(extent: Extent) -> Vec<Line> {
    let sizes: &[usize] = if extent.full { &[100, 10_000, 1_000_000] } else { &[100, 1_000] };
    let mut lines = Vec::new();
    for postgresql in [false, true] {
        let mut measured = Vec::new();
        for size in sizes {
            let mut server = if postgresql { Server::postgresql().await } else { Server::sqlite() };
            let began = Instant::now();
            let database = server.database("growth").await;
            fill(&database, *size).await;
            println!("speed: growth: {size} videos filled in {:.0} s", began.elapsed().as_secs_f64());
            measured.push(figures(&database, extent).await);
        }
        lines.push(line(if postgresql { "PostgreSQL" } else { "SQLite" }, sizes, &measured));
    }
    lines
}

async fn fill(database: &Database, size: usize) {
    let raw = database.raw().await;
    // Not so long ago that retention would take them away meanwhile.
    let since = database.ledger.now().await.expect("the time") - 2_000_000;
    filled::ended_since(&raw, size, since).await;
    raw.run("analyze").await;
}

type Figures = Vec<(&'static str, f64)>;

fn line(name: &str, sizes: &[usize], measured: &[Figures]) -> Line {
    let (first, last) = (&measured[0], &measured[measured.len() - 1]);
    let growth: Vec<f64> = first.iter().zip(last).map(|((_, small), (_, large))| large / small).collect();
    let told = |at: usize| {
        let figures: Vec<String> = measured.iter().map(|figures| format!("{:.1}", figures[at].1)).collect();
        format!("{} {} ms", first[at].0, figures.join(" · "))
    };
    let worst = growth.iter().copied().fold(0.0, f64::max);
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    Line {
        what: format!("growth, {name}: {} videos in the ledger", sizes.join(" · ")),
        anchor: "the smallest of them".to_owned(),
        ours: (0..first.len()).map(told).collect::<Vec<_>>().join("; "),
        reach: format!("flat within 20 %; at the most {worst:.2}"),
        holds: Some(worst <= FLAT),
    }
}

async fn figures(database: &Database, extent: Extent) -> Figures {
    let standin = StandIn::new();
    let services = [("DATABASE_URL", database.url.clone())];
    let mut fleet = Fleet::on(TOML, &services, |options| options.processing = Duration::ZERO).await;
    fleet.set("PATH", &standin.path());
    fleet.start_all().await;
    let names: Vec<String> = (0..extent.of(25, 3)).map(|number| format!("creator{number}")).collect();
    fleet.accounts(&names).await;
    let (mut took, mut last) = (Vec::new(), String::new());
    for name in &names {
        let began = Instant::now();
        last = fleet.try_upload_bytes(name, name, &[], StandIn::clip(name)).await.expect("accepted");
        let id = last.parse().expect("an id");
        while database.ledger.video(id).await.expect("read").expect("a row").status != Status::Posted {
            assert!(began.elapsed() < Duration::from_secs(60), "{name} is not posted\n{}", fleet.logs());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let mut figures = vec![("a video", median(&took))];
    let client = Client::builder().no_proxy().build().expect("a client");
    for (what, path) in PAGES {
        let url = fleet.url(&path.replace("ID", &last));
        let mut took = Vec::new();
        for _ in 0..extent.of(60, 3) {
            let began = Instant::now();
            let answer = client.get(&url).bearer_auth(&fleet.key).send().await.expect("an answer");
            assert_eq!(answer.status(), 200, "{path}");
            answer.bytes().await.expect("a body");
            took.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        figures.push((what, median(&took)));
    }
    figures
}
