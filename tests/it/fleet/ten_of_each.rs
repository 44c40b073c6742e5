//! Ten processes of each role: leases, limits, claims, the order of the release and the relays.

use std::collections::{BTreeMap, BTreeSet};

use subiteya::ledger::Pause;

use super::load::{self, Verdict};
use crate::support::eventually;
use crate::support::fleet::{Fleet, SOON};
use crate::support::postgres::Postgres;
use crate::support::standin::{StandIn, one_at_a_time};

/// Of all, and of one account: in so many milliseconds at most so many.
const EDITS: (usize, i64) = (30, 2_000);
const INITS: (usize, i64) = (20, 2_000);
const INITS_OF_ONE: (usize, i64) = (8, 2_000);

const LIMITED: &str = r#"
[streams."video.uploaded"]
limit = "30/2s"
[streams."video.edited"]
limit = "20/2s"
limit_per_account = "8/2s"
"#;

/// At most `count` in any window, by the ledger's own time of each.
fn hold(what: &str, times: &mut [i64], (count, window): (usize, i64)) {
    times.sort_unstable();
    for some in times.windows(count + 1) {
        assert!(some[count] - some[0] >= window, "{what}: {} in {} ms", count + 1, some[count] - some[0]);
    }
}

/// Uploads one clip after the other, so that their order is known: who, how urgent.
async fn upload(fleet: &Fleet, wishes: &[(String, &str)]) -> BTreeMap<String, String> {
    let mut accepted = BTreeMap::new();
    for (number, (creator, priority)) in wishes.iter().enumerate() {
        let title = format!("{priority} {number}");
        let fields = [("priority", *priority)];
        let id = fleet.try_upload_bytes(creator, &title, &fields, StandIn::clip(&title)).await.expect("accepted");
        accepted.insert(title, id);
    }
    accepted
}

/// The videos' ids in the order in which they went out to the stream.
async fn released(fleet: &Fleet, stream: &str) -> Vec<String> {
    let entries = fleet.redis.command(&["XRANGE", stream, "-", "+"]).await;
    let lines: Vec<&str> = entries.lines().collect();
    lines.windows(3).filter(|three| three[0] == "video").map(|three| three[2].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_processes_of_each_role_keep_order_limits_and_leases() {
    let (standin, postgres) = (StandIn::new(), Postgres::start().await);
    let services = [("DATABASE_URL", postgres.url()), ("PATH", standin.path())];
    let mut fleet = Fleet::on(LIMITED, &services, |options| {
        options.limits.init_per_minute = 1_000;
        options.limits.creator_info_per_minute = 1_000;
        options.limits.status_per_minute = 1_000;
        options.limits.posts_per_day = 1_000;
    })
    .await;
    let others = load::creators(10);
    fleet.accounts(&[&["many".to_owned()][..], &others].concat()).await;
    for role in ["serve", "edit", "publish"] {
        for number in 1..=10 {
            fleet.start_again(&if number == 1 { role.to_owned() } else { format!("{role}{number}") });
        }
    }
    fleet.ready().await;
    // Held back until all are in, so that the first release has all of them to choose from.
    let ledger = fleet.ledger().await;
    let tx = ledger.begin().await.expect("begun");
    let pause = Pause { name: "stage/edit".to_owned(), until: None, reason: "all at once".to_owned(), set_by: None };
    tx.put_pause(&pause).await.expect("paused");
    tx.commit().await.expect("committed");
    let mut wishes = vec![("many".to_owned(), "normal"); 30];
    for creator in &others {
        wishes.extend(["high", "normal", "low"].map(|priority| (creator.clone(), priority)));
    }
    let accepted = upload(&fleet, &wishes).await;
    let tx = ledger.begin().await.expect("begun");
    assert!(tx.remove_pause("stage/edit").await.expect("resumed"));
    tx.commit().await.expect("committed");
    load::until_posted(&fleet, &accepted).await;

    assert_eq!(load::verdict(&fleet, &accepted).await, Verdict::default());
    let titles: BTreeMap<&str, &str> = accepted.iter().map(|(title, id)| (id.as_str(), title.as_str())).collect();
    let mut order: Vec<&str> = released(&fleet, "video.uploaded").await.iter().map(|id| titles[id.as_str()]).collect();
    // Many look at the limit at once; whom it then denies a permit is parked, and goes out once more.
    let parked = "select count(*) from history where stage = 'edit' and event = 'parked'";
    let parked: usize = postgres.sql("subiteya", parked).parse().expect("a number");
    assert_eq!(order.len(), accepted.len() + parked, "each was released once for each cause: {order:?}");
    let mut seen = BTreeSet::new();
    order.retain(|title| seen.insert(*title));
    let first_ten = ["high", "normal", "low"]
        .map(|priority| order[..10].iter().filter(|title| title.starts_with(priority)).count());
    assert_eq!(first_ten, [6, 3, 1], "{order:?}");
    let normal: Vec<&&str> = order.iter().filter(|title| title.starts_with("normal")).collect();
    let number =
        |title: &str| title.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok()).expect("a number");
    let of_many = normal[..11].iter().filter(|title| number(title) < 30).count();
    assert_eq!(of_many, 1, "each creator's first comes before anybody's second: {normal:?}");

    let runs = standin.runs();
    assert_eq!(runs.len(), 2 * accepted.len(), "each was edited once");
    assert!(one_at_a_time(&runs), "{runs:?}");
    let times = |sql: &str| -> Vec<i64> {
        postgres.sql("subiteya", sql).lines().map(|line| line.parse().expect("a time")).collect()
    };
    hold("edits", &mut times("select at from history where stage = 'edit' and event = 'started'"), EDITS);
    hold("inits", &mut times("select at from history where stage = 'publish' and event = 'init'"), INITS);
    let of_many = "select h.at from history h join videos v on v.id = h.video_id
                   where h.stage = 'publish' and h.event = 'init' and v.account_id = 'many'";
    hold("inits of one", &mut times(of_many), INITS_OF_ONE);
    for (stream, group) in [("video.uploaded", "edit"), ("video.edited", "publish")] {
        eventually("nothing is pending", SOON, || async { fleet.redis.pending(stream, group).await == 0 }).await;
    }
}
