//! What an operator does on the streams' page.

use subiteya::event::Stage;
use subiteya::task::State;

use super::Browser;
use crate::fixture::{Server, connect};
use crate::http::monitor::stall;
use crate::support::redis::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_claims_what_stalled_retries_what_is_dead_and_sees_the_lag_move() {
    let redis = Redis::start().await;
    let streams = connect(&redis).await;
    let server = Server::with(Some(streams.clone()), None).await;
    let (stalled, dead, replayed) = (server.video().await, server.video().await, server.video().await);
    stall(&server, &stalled).await;
    server.fail(&dead, "codec_unknown").await;
    let browser = Browser::open(&server.origin()).await;
    browser.sign_in(&server.operator).await;
    browser.press("Streams").await;
    browser.sees("Dead letters").await;
    // The upload page, which comes first, was told that this server has no app at TikTok.
    browser.forget_console().await;

    // Without a group Redis can't know the lag, and 0 would be a lie.
    let lag = "article[aria-label='video.uploaded'] .figures-row dd";
    browser
        .until("the lag is unknown", &format!("return document.querySelector(\"{lag}\")?.textContent === 'unknown'"))
        .await;
    streams.ensure_group(Stage::Edit).await.expect("a group");
    browser
        .until("the lag is known", &format!("return Number(document.querySelector(\"{lag}\").textContent) > 0"))
        .await;
    let reading = "document.querySelector(\"article[aria-label='video.uploaded'] .reading\").textContent";
    let before = browser.js(&format!("return {reading}")).await;
    let drawn = "document.querySelector(\"article[aria-label='video.uploaded'] svg.chart\").innerHTML";
    let drawn_before = browser.js(&format!("return {drawn}")).await;
    server.video().await;
    browser.until("the chart moves", &format!("return {reading} !== {before} && {reading}.startsWith('Now ')")).await;
    assert_ne!(browser.js(&format!("return {drawn}")).await, drawn_before, "its line does, not only its words");

    // The plan is shown before the button works.
    browser.sees("not alive").await;
    browser.press("Claim what stalled for 5m").await;
    browser.sees("taken from their worker and released anew").await;
    browser.press("Claim 1").await;
    browser.sees_no("not alive").await;
    let row = server.state.ledger.task_of(stalled.parse().expect("an id"), Stage::Edit).await.expect("read");
    assert_eq!(row.expect("a task").task.state, State::Queued);

    browser.sees("because of codec_unknown").await;
    browser.write("#dead-filter input", "codec_unk").await;
    browser.click("#dead tbody input[type=checkbox]").await;
    browser.press("Retry 1 chosen").await;
    browser.sees("tried again where they ended").await;
    browser.press("Retry 1").await;
    browser.sees_no("because of codec_unknown").await;
    let row = server.state.ledger.task_of(dead.parse().expect("an id"), Stage::Edit).await.expect("read");
    assert_ne!(row.expect("a task").task.state, State::Dead);

    // A replay of what failed, by keyboard alone: the plan has the focus, and Enter does it.
    server.fail(&replayed, "codec_new").await;
    browser.tab_to("the replay's button", "at.textContent.includes('Plan a replay')").await;
    browser.type_keys("\u{e007}").await;
    browser.sees("given another turn").await;
    browser
        .until("the plan is made", "return Boolean(document.querySelector('dialog[open] button:not(.plain):enabled'))")
        .await;
    browser.tab_to("the act", "at.closest('dialog') && at.textContent === 'Replay 1'").await;
    browser.type_keys("\u{e007}").await;
    browser.until("it is done", "return !document.querySelector('dialog[open]')").await;
    let row = server.state.ledger.task_of(replayed.parse().expect("an id"), Stage::Edit).await.expect("read");
    assert_ne!(row.expect("a task").task.state, State::Dead);

    // What is paused says so, and why.
    browser.press("Pause editing").await;
    browser.write("dialog input[name=reason]", "the disk is being changed").await;
    browser.press("Pause").await;
    browser.sees("Paused: the disk is being changed").await;
    browser.kept_to_itself().await;
}
