//! What people see: the posts with their videos, and the consent page. Both carry everything they need; askama escapes all
//! text, and the policy lets nothing load from elsewhere.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};

use super::app::App;
use super::record::Post;

/// Posts on the page, the newest first.
const SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "sandbox/posts.html")]
struct Posts {
    posts: Vec<Shown>,
    total: usize,
    calls_url: &'static str,
}

struct Shown {
    creator: String,
    post: Post,
}

#[derive(Template)]
#[template(path = "sandbox/consent.html")]
struct Consent<'a> {
    scopes: &'a [String],
    names: Vec<String>,
}

pub(super) async fn posts(State(app): State<Arc<App>>) -> Response {
    let (posts, total) = app.look(|state, _| {
        let shown = state.posts.iter().rev().take(SHOWN).map(|post| {
            let creator = state.creators.get(&post.open_id);
            Shown { creator: creator.map_or_else(String::new, |who| who.display_name.clone()), post: post.clone() }
        });
        (shown.collect(), state.posts.len())
    });
    html(&Posts { posts, total, calls_url: "/sandbox/violations" })
}

pub(super) fn consent(scopes: &[String], names: Vec<String>) -> Response {
    html(&Consent { scopes, names })
}

fn html(page: &impl Template) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; frame-ancestors 'none'";
    match page.render() {
        Ok(page) => ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response(),
        Err(error) => {
            tracing::error!(%error, "could not render a page of the sandbox");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
