//! Listing videos, newest first.
//!
//! Each filter has an index in the order of the list, so a page costs what it shows. A part of a text has none: titles,
//! accounts and reasons are looked through newest first, a bounded number for one page, and the next page goes on from
//! there.

use std::collections::HashSet;

use sea_orm::{QueryResult, Value};

use super::videos::{COLUMNS, read};
use super::{ListFilter, Result, Session, Video, VideoPage, parsed, places};
use crate::event::VideoId;

/// How many videos are looked through for one page.
const LOOKED_THROUGH: usize = 20_000;
/// How many of them at a time.
const AT_ONCE: usize = 2_000;
const SEARCHED: &str = "id, account_id, title, status, reason_code, reason_text";

impl Session {
    /// A page may hold fewer than its limit, also none, and still have a next one: where few titles match.
    pub async fn videos(&self, filter: &ListFilter) -> Result<VideoPage> {
        // PostgreSQL refuses a NUL in what it is asked, and no name holds one.
        if [&filter.user, &filter.account].into_iter().flatten().any(|name| name.contains('\0')) {
            return Ok(VideoPage::default());
        }
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        match filter.text.as_deref() {
            None => {
                let videos = self.page(COLUMNS, filter, filter.cursor, limit + 1).await?;
                let videos = videos.iter().map(read).collect::<Result<Vec<Video>>>()?;
                Ok(cut(videos, limit))
            }
            Some(text) => match text.parse::<VideoId>() {
                Ok(id) => self.the_one(filter, id).await,
                Err(_) => self.saying(filter, &text.to_lowercase(), limit).await,
            },
        }
    }

    /// Those of them that there are, newest first.
    pub async fn videos_with(&self, ids: &[VideoId]) -> Result<Vec<Video>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!("select {COLUMNS} from videos where id in ({}) order by id desc", places(0, ids.len()));
        self.all(&sql, ids.iter().map(|id| id.to_string().into())).await?.iter().map(read).collect()
    }

    async fn the_one(&self, filter: &ListFilter, id: VideoId) -> Result<VideoPage> {
        let fits = |video: &Video| {
            filter.user.as_ref().is_none_or(|user| *user == video.user)
                && filter.account.as_ref().is_none_or(|account| *account == video.account)
                && filter.status.is_none_or(|status| status == video.status)
                && filter.cursor.is_none_or(|cursor| video.id < cursor)
        };
        Ok(VideoPage { videos: self.video(id).await?.filter(fits).into_iter().collect(), next: None })
    }

    /// Compared here and not by the database, so that upper and lower case of every script are the same on both.
    async fn saying(&self, filter: &ListFilter, text: &str, limit: usize) -> Result<VideoPage> {
        let named: HashSet<String> = self
            .accounts(filter.user.as_deref())
            .await?
            .into_iter()
            .filter(|account| {
                let names = [Some(&account.display_name), account.username.as_ref()];
                account.id.to_lowercase() == text
                    || names.into_iter().flatten().any(|name| name.to_lowercase().contains(text))
            })
            .map(|account| account.id)
            .collect();
        let (mut found, mut cursor, mut looked) = (Vec::new(), filter.cursor, 0);
        let more = loop {
            let rows = self.page(SEARCHED, filter, cursor, AT_ONCE).await?;
            for row in &rows {
                let id: VideoId = parsed(row, "id")?;
                cursor = Some(id);
                if says(row, text)? || named.contains(&row.try_get::<String>("", "account_id")?) {
                    found.push(id);
                }
                if found.len() > limit {
                    break;
                }
            }
            looked += rows.len();
            if found.len() > limit || rows.len() < AT_ONCE {
                break None;
            }
            if looked >= LOOKED_THROUGH {
                break cursor;
            }
        };
        if found.is_empty() {
            return Ok(VideoPage { videos: Vec::new(), next: more });
        }
        let page = cut(self.videos_with(&found).await?, limit);
        Ok(VideoPage { next: page.next.or(more), ..page })
    }

    async fn page(
        &self,
        columns: &str,
        filter: &ListFilter,
        before: Option<VideoId>,
        most: usize,
    ) -> Result<Vec<QueryResult>> {
        let mut sql = format!("select {columns} from videos where 1 = 1");
        let mut values: Vec<Value> = Vec::new();
        let mut also = |condition: &str, value: Value| {
            values.push(value);
            sql.push_str(&format!(" {condition} ${}", values.len()));
        };
        if let Some(user) = &filter.user {
            also("and user_id =", user.as_str().into());
        }
        if let Some(status) = filter.status {
            also("and status =", status.as_str().into());
        }
        if let Some(account) = &filter.account {
            also("and account_id =", account.as_str().into());
        }
        if let Some(before) = before {
            also("and id <", before.to_string().into());
        }
        also("order by id desc limit", i64::try_from(most).unwrap_or(i64::MAX).into());
        self.all(&sql, values).await
    }
}

/// Whether its title or its reason's text does; or it is the status' or the reason's name.
fn says(row: &QueryResult, text: &str) -> Result<bool> {
    let title: String = row.try_get("", "title")?;
    let reason: Option<String> = row.try_get("", "reason_text")?;
    let status: String = row.try_get("", "status")?;
    let code: Option<String> = row.try_get("", "reason_code")?;
    let names = [Some(status.replace('_', " ")), Some(status), code];
    Ok([Some(title), reason].into_iter().flatten().any(|one| one.to_lowercase().contains(text))
        || names.into_iter().flatten().any(|name| name.to_lowercase() == text))
}

/// One more than the page was asked for, which tells whether there is a next one.
fn cut(mut videos: Vec<Video>, limit: usize) -> VideoPage {
    let more = videos.len() > limit;
    videos.truncate(limit);
    VideoPage { next: videos.last().filter(|_| more).map(|video| video.id), videos }
}
