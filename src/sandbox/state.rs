//! What the sandbox knows: creators, consent codes, tokens, tasks, posts and the calls of the last minute. It is the
//! journal's entries applied in order ([`State::apply`]); the rest only looks. The one thing that changes outside of that is
//! [`State::admit`], whose memory is read back from the recorded calls.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use http::StatusCode;

use super::answer::Refusal;
use super::clock::Anchor;
use super::creator::Creator;
use super::journal::Entry;
use super::oauth::{Code, Grant};
use super::record::{Call, Kind, Post};
use super::task::{Fate, PUBLISH_ID_PREFIX, Task};

pub(super) const MINUTE: i64 = 60_000;
pub(super) const DAY: i64 = 24 * 60 * MINUTE;

#[derive(Default)]
pub(super) struct State {
    pub(super) clock: Option<Anchor>,
    /// By open id.
    pub(super) creators: BTreeMap<String, Creator>,
    /// Not yet exchanged.
    pub(super) codes: HashMap<String, Code>,
    grants: Vec<Grant>,
    access: HashMap<String, usize>,
    refresh: HashMap<String, usize>,
    /// Used refresh tokens, with the grant that replaced them.
    used: HashMap<String, usize>,
    dead_access: HashSet<String>,
    revoked: HashSet<usize>,
    /// By publish id.
    pub(super) tasks: HashMap<String, Task>,
    pub(super) posts: Vec<Post>,
    /// When each creator's posts had all their bytes, and when they were begun.
    posted: HashMap<String, Vec<i64>>,
    begun: HashMap<String, Vec<i64>>,
    windows: HashMap<(Kind, String), VecDeque<i64>>,
}

/// What a refresh token is worth.
pub(super) enum RefreshToken<'a> {
    Good(&'a Grant),
    /// Used at the time its successor was issued.
    Used(&'a Grant),
    Bad,
}

impl State {
    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Clock(anchor) => self.clock = Some(anchor),
            Entry::Creator(creator) => {
                self.creators.insert(creator.open_id.clone(), creator);
            }
            Entry::Code(code) => {
                self.codes.insert(code.code.clone(), code);
            }
            Entry::Grant(grant) => self.granted(grant),
            Entry::AccessDead { access_token } => {
                self.dead_access.insert(access_token);
            }
            Entry::Revoked { open_id } => {
                let theirs = self.grants.iter().enumerate().filter(|(_, grant)| grant.open_id == open_id);
                self.revoked.extend(theirs.map(|(index, _)| index));
            }
            Entry::Init(task) => {
                self.begun.entry(task.open_id.clone()).or_default().push(task.created_at);
                self.tasks.insert(task.publish_id.clone(), task);
            }
            Entry::Expired { publish_id, at } => {
                if let Some(task) = self.tasks.get_mut(&publish_id) {
                    task.expires_at = task.expires_at.min(at);
                }
            }
            Entry::Fate { publish_id, fate } => {
                if let Some(task) = self.tasks.get_mut(&publish_id) {
                    task.fate = fate;
                }
            }
            Entry::Chunk { publish_id, uploaded, at, completed } => {
                let Some(task) = self.tasks.get_mut(&publish_id) else { return };
                task.uploaded_before = task.uploaded;
                task.uploaded = uploaded;
                let Some(completed) = completed else { return };
                task.completed_at = Some(at);
                task.fate = completed.fate;
                if let Some(post) = completed.post {
                    self.posted.entry(task.open_id.clone()).or_default().push(at);
                    self.posts.push(post);
                }
            }
            Entry::Call(call) => self.counted_before(&call),
        }
    }

    fn granted(&mut self, grant: Grant) {
        let index = self.grants.len();
        if let Some(code) = &grant.code {
            self.codes.remove(code);
        }
        if let Some(replaced) = &grant.replaces {
            self.used.insert(replaced.clone(), index);
        }
        self.access.insert(grant.access_token.clone(), index);
        self.refresh.insert(grant.refresh_token.clone(), index);
        self.grants.push(grant);
    }

    /// The grant behind an access token, if it lives and has one of the scopes.
    pub(super) fn authorized(&self, access_token: &str, scopes: &[&str], now: i64) -> Result<&Grant, Refusal> {
        let invalid = |message: &'static str| Refusal::new(StatusCode::UNAUTHORIZED, "access_token_invalid", message);
        let Some(index) = self.access.get(access_token) else {
            return Err(invalid("The access token was never issued").rule("token_unknown"));
        };
        let grant = &self.grants[*index];
        if self.revoked.contains(index) || self.dead_access.contains(access_token) {
            return Err(invalid("The access token was revoked"));
        }
        if now >= grant.access_expires {
            return Err(invalid("The access token has expired"));
        }
        if !scopes.iter().any(|scope| grant.scopes.iter().any(|granted| granted == scope)) {
            let message = format!("The user did not authorize the scope {}", scopes.join(" or "));
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "scope_not_authorized", message).rule("scope"));
        }
        Ok(grant)
    }

    /// Whose access token this is, alive or not.
    pub(super) fn owner(&self, access_token: &str) -> Option<&str> {
        self.access.get(access_token).map(|index| self.grants[*index].open_id.as_str())
    }

    pub(super) fn refresh_token(&self, token: &str, now: i64) -> RefreshToken<'_> {
        let Some(index) = self.refresh.get(token) else { return RefreshToken::Bad };
        let grant = &self.grants[*index];
        if self.revoked.contains(index) || now >= grant.refresh_expires {
            return RefreshToken::Bad;
        }
        match self.used.get(token) {
            Some(successor) => RefreshToken::Used(&self.grants[*successor]),
            None => RefreshToken::Good(grant),
        }
    }

    /// Counts a call, unless the creator has made `limit` of this kind within the last minute.
    pub(super) fn admit(&mut self, kind: Kind, open_id: &str, limit: usize, now: i64) -> Result<(), Refusal> {
        let window = self.windows.entry((kind, open_id.to_owned())).or_default();
        while window.front().is_some_and(|at| *at <= now - MINUTE) {
            window.pop_front();
        }
        if window.len() >= limit {
            let message = format!("More than {limit} calls of this kind within a minute");
            return Err(
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message).rule("calls_per_minute")
            );
        }
        window.push_back(now);
        Ok(())
    }

    fn counted_before(&mut self, call: &Call) {
        if let (Some(at), Some(open_id)) = (call.counted_at, &call.open_id) {
            self.windows.entry((call.kind, open_id.clone())).or_default().push_back(at);
        }
    }

    /// Direct Posts of the creator within the last 24 hours.
    pub(super) fn posts_of_the_day(&self, open_id: &str, orphans_count: bool, now: i64) -> usize {
        let times = if orphans_count { &self.begun } else { &self.posted };
        times.get(open_id).map_or(0, |times| times.iter().rev().take_while(|at| **at > now - DAY).count())
    }

    /// Whether this creator would be one more than `cap` to post within the last 24 hours.
    pub(super) fn exceeds_posting_users(&self, open_id: &str, cap: usize, now: i64) -> bool {
        let posting = |times: &Vec<i64>| times.last().is_some_and(|at| *at > now - DAY);
        if self.posted.get(open_id).is_some_and(posting) {
            return false;
        }
        self.posted.values().filter(|times| posting(times)).count() >= cap
    }

    /// Whether the upload in the folder of this name can't go on.
    pub(super) fn is_dead(&self, digits: &str, now: i64) -> bool {
        let task = self.tasks.get(&format!("{PUBLISH_ID_PREFIX}{digits}"));
        task.is_none_or(|task| task.completed_at.is_none() && now >= task.expires_at)
    }

    /// Posts of the creator that are neither done nor out of time.
    pub(super) fn pending(&self, open_id: &str, processing: i64, now: i64) -> usize {
        let pending = |task: &&Task| match task.completed_at {
            None => now < task.expires_at,
            Some(at) => task.fate == Fate::Endless || now < at + processing,
        };
        self.tasks.values().filter(|task| task.open_id == open_id).filter(pending).count()
    }
}
