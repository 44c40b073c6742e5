//! A creator's way through the pages.

use serde_json::Value;

use super::Browser;
use crate::support::fleet::{Fleet, LOOSE, clip};

/// Would be noticed by its effect if it ever became more than text.
const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>";

#[tokio::test(flavor = "multi_thread")]
async fn a_creator_uploads_a_clip_and_watches_it_until_it_is_posted() {
    let mut fleet = Fleet::started(LOOSE).await;
    fleet.account("ada").await;
    let made = fleet.run(&["keys", "create", "--user", "me", "--role", "creator", "--output", "json"], "");
    let made: Value = serde_json::from_str(&made).expect("json");
    let browser = Browser::open(&fleet.url("")).await;
    browser.sign_in(made["key"].as_str().expect("a key")).await;
    assert_eq!(browser.path().await, "/");
    browser.sees("Nothing is on its way").await;
    browser.choose("input[name=video]", clip()).await;
    browser.clear("#files textarea").await;
    browser.write("#files textarea", HOSTILE).await;
    browser.sees("Choose who can view this video").await;
    browser.click("#options select option[value=SELF_ONLY]").await;
    browser.press("Upload and post").await;
    browser.sees("1 video uploaded").await;
    browser
        .until(
            "it moves on the page until it is posted",
            "return Boolean(document.querySelector('#way [data-status=POSTED]'))",
        )
        .await;
    assert_eq!(browser.text("#way a").await, HOSTILE);

    browser.click("#way a").await;
    browser.until("its page says so", "return Boolean(document.querySelector('#status [data-status=POSTED]'))").await;
    assert_eq!(browser.text("#title").await, HOSTILE);
    browser.sees("from its upload to its end").await;
    browser.until("each stage's run", "return document.querySelectorAll('#attempts li').length === 3").await;
    let playable = "return [...document.querySelectorAll('#players video')].length === 2 && \
                    document.querySelectorAll('#players video')[1].readyState >= 1";
    browser.until("source and result can be played", playable).await;
    assert_ne!(browser.js("return document.title").await, "owned");

    browser.press("All videos").await;
    browser.write("input[name=q]", "onerror").await;
    browser
        .until(
            "the search finds it",
            "return location.search.includes('onerror') && document.querySelectorAll('#videos tbody tr').length === 1",
        )
        .await;
    browser.clear("input[name=q]").await;
    browser.write("input[name=q]", "nothing like it").await;
    browser.sees("No video matches").await;
    assert_eq!(
        browser.js("return [...document.querySelectorAll('#nav a')].map((link) => link.textContent).join()").await,
        "Upload,Videos,Accounts"
    );
    browser.kept_to_itself().await;
    fleet.kill("serve");
}
