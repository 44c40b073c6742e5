//! Listing: filters, pages, and a search that takes any text for what it is.

use subiteya::event::{Stage, VideoId};
use subiteya::ledger::{ListFilter, Status, VideoPatch};

use super::database::{Database, New, video};

on_both!(
    filters_narrow_and_pages_go_on,
    any_text_is_found_as_it_is,
    a_search_that_finds_little_ends_and_goes_on,
    each_video_counts_under_its_status,
);

async fn ids(db: &Database, filter: ListFilter) -> Vec<VideoId> {
    db.ledger.videos(&filter).await.expect("a list").videos.into_iter().map(|video| video.id).collect()
}

fn most(limit: u32) -> ListFilter {
    ListFilter { limit, ..ListFilter::default() }
}

async fn filters_narrow_and_pages_go_on(db: Database) {
    let tx = db.tx().await;
    let mut made = Vec::new();
    for number in 0..10 {
        let user = if number % 2 == 0 { "ann" } else { "bob" };
        let video = video(tx.now(), user, &format!("a{}", number % 3), &format!("clip {number}"));
        tx.insert_video(&video).await.unwrap();
        made.push(video.id);
    }
    let posted = VideoPatch { status: Some(Status::Posted), ..VideoPatch::default() };
    for id in [made[0], made[6]] {
        tx.patch_video(id, posted.clone()).await.unwrap();
    }
    tx.commit().await.unwrap();
    made.reverse();
    assert_eq!(ids(&db, most(50)).await, made, "newest first");
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let page = db.ledger.videos(&ListFilter { cursor, ..most(3) }).await.unwrap();
        pages.extend(page.videos.into_iter().map(|video| video.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, made, "page by page, none twice");
    let user = ListFilter { user: Some("ann".into()), ..most(50) };
    assert_eq!(ids(&db, user.clone()).await.len(), 5);
    let status = ListFilter { status: Some(Status::Posted), ..user };
    assert_eq!(ids(&db, status.clone()).await, [made[3], made[9]]);
    let account = ListFilter { account: Some("a0".into()), ..status.clone() };
    assert_eq!(ids(&db, account.clone()).await, [made[3], made[9]]);
    assert_eq!(ids(&db, ListFilter { text: Some("CLIP 6".into()), ..account }).await, [made[3]]);
    assert_eq!(ids(&db, ListFilter { text: Some(made[9].to_string().to_uppercase()), ..status }).await, [made[9]]);
    let foreign = ListFilter { user: Some("bob".into()), text: Some(made[9].to_string()), ..most(5) };
    assert!(ids(&db, foreign).await.is_empty(), "an id of somebody else's");
    for name in ["' or '1'='1", "a\0", "%", ""] {
        assert!(ids(&db, ListFilter { account: Some(name.into()), ..most(50) }).await.is_empty(), "{name:?}");
    }
}

async fn any_text_is_found_as_it_is(db: Database) {
    let titles = ["100% off", "snake_case", "back\\slash", "it's \"quoted\"", "🎬 Ünïcode ÉTÉ", "[a-z]*", "plain"];
    for title in titles {
        db.task(New { title, ..New::of(Stage::Edit, "ada") }).await;
    }
    let cases = [
        ("%", vec![0]),
        ("_", vec![1]),
        ("\\", vec![2]),
        ("'", vec![3]),
        ("\"Q", vec![3]),
        ("🎬", vec![4]),
        ("ünïcode été", vec![4]),
        ("[a-z]", vec![5]),
        ("\0", vec![]),
        ("'; drop table videos; --", vec![]),
        ("A", vec![5, 6, 2, 1]),
    ];
    for (text, found) in cases {
        let page = db.ledger.videos(&ListFilter { text: Some(text.into()), ..most(50) }).await.unwrap();
        let mut names: Vec<String> = page.videos.into_iter().map(|video| video.title).collect();
        let mut expected: Vec<String> = found.iter().map(|&at: &usize| titles[at].to_owned()).collect();
        names.sort();
        expected.sort();
        assert_eq!(names, expected, "{text:?}");
    }
}

async fn a_search_that_finds_little_ends_and_goes_on(db: Database) {
    let rare = db.task(New { title: "a needle", ..New::of(Stage::Edit, "ada") }).await.video;
    let raw = db.raw().await;
    super::filled::videos(&raw, 45_000, "POSTED").await;
    let filter = ListFilter { text: Some("NEEDLE".into()), ..most(5) };
    let mut page = db.ledger.videos(&filter).await.unwrap();
    let mut pages = 1;
    while page.videos.is_empty() {
        let cursor = page.next.expect("there is more to look through");
        page = db.ledger.videos(&ListFilter { cursor: Some(cursor), ..filter.clone() }).await.unwrap();
        pages += 1;
    }
    assert_eq!((page.videos[0].id, page.next, pages), (rare, None, 3));
}

async fn each_video_counts_under_its_status(db: Database) {
    super::filled::videos(&db.raw().await, 4, "POSTED").await;
    db.task(New::of(Stage::Edit, "ada")).await;
    let mut counts = db.ledger.status_counts(2).await.unwrap();
    counts.sort_by_key(|(status, _)| status.as_str());
    assert_eq!(counts, [(Status::EditingQueued, 1), (Status::Posted, 2)], "of what ended, what ended since");
}
