//! What holds on every page: nothing that keeps people out, in both themes and on a phone; and what a viewer is not shown.

use super::Browser;
use crate::fixture::{Server, connect};
use crate::support::redis::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn no_page_keeps_anybody_out_in_either_theme_or_on_a_phone() {
    let redis = Redis::start().await;
    let server = Server::with(Some(connect(&redis).await), Some(500_000)).await;
    let (failed, _waits) = (server.video().await, server.video().await);
    server.fail(&failed, "codec_unknown").await;
    let browser = Browser::open(&server.origin()).await;
    let mut found = Vec::new();
    browser.go("/sign-in").await;
    found.extend(browser.barriers().await);
    browser.sign_in(&server.operator).await;
    let video = format!("/videos/{failed}");
    let pages = [
        ("/", "#way li"),
        ("/videos", "#videos tbody tr"),
        (video.as_str(), "#attempts, #facts dd"),
        ("/streams", "#dead tbody tr"),
        ("/accounts", "#accounts article"),
        ("/accounts/conn_alice", "#frame img"),
        ("/budget", "#purposes li"),
    ];
    for (page, there) in pages {
        browser.look("light", 1280).await;
        browser.go(page).await;
        browser.until(&format!("{page} is there"), &format!("return Boolean(document.querySelector('{there}'))")).await;
        for (theme, width) in [("light", 1280), ("dark", 390)] {
            browser.look(theme, width).await;
            let barriers = browser.barriers().await;
            found.extend(barriers.into_iter().map(|one| format!("{page} ({theme}, {width}): {one}")));
            let wider = browser.js("return document.documentElement.scrollWidth - innerWidth").await;
            assert!(wider.as_i64().is_some_and(|wider| wider <= 0), "{page} is {wider} px wider than {width}");
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_shown_the_wall_screen_and_no_title() {
    let redis = Redis::start().await;
    let server = Server::with(Some(connect(&redis).await), Some(500_000)).await;
    let video = server.video().await;
    let browser = Browser::open(&server.origin()).await;
    browser.sign_in(&server.viewer).await;
    assert_eq!(browser.path().await, "/streams");
    browser.sees("Counted by the ledger").await;
    assert_eq!(browser.js("return document.getElementById('dead-part').hidden").await, true);
    browser.press("Videos").await;
    browser.sees(&video).await;
    browser.sees_no("a title").await;
    browser.click("#videos a").await;
    browser.sees("Where the time went").await;
    assert_eq!(browser.js("return document.querySelectorAll('video').length").await, 0);
    browser.kept_to_itself().await;
}
