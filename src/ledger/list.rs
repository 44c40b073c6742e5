//! Listing videos, newest first.
//!
//! Each filter has an index in the order of the list, so a page costs what it shows. A part of a title has none: titles are
//! looked through newest first, a bounded number for one page, and the next page goes on from there.

use sea_orm::Value;

use super::videos::{COLUMNS, read};
use super::{ListFilter, Result, Session, Video, VideoPage, parsed, places};
use crate::event::VideoId;

/// How many titles are looked through for one page.
const LOOKED_THROUGH: usize = 20_000;
/// How many of them at a time.
const AT_ONCE: usize = 2_000;

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
                Err(_) => self.titled(filter, &text.to_lowercase(), limit).await,
            },
        }
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
    async fn titled(&self, filter: &ListFilter, text: &str, limit: usize) -> Result<VideoPage> {
        let (mut found, mut cursor, mut looked) = (Vec::new(), filter.cursor, 0);
        let more = loop {
            let rows = self.page("id, title", filter, cursor, AT_ONCE).await?;
            for row in &rows {
                let id: VideoId = parsed(row, "id")?;
                cursor = Some(id);
                let title: String = row.try_get("", "title")?;
                if title.to_lowercase().contains(text) {
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
        let sql = format!("select {COLUMNS} from videos where id in ({}) order by id desc", places(0, found.len()));
        let videos = self.all(&sql, found.iter().map(|id| id.to_string().into())).await?;
        let page = cut(videos.iter().map(read).collect::<Result<_>>()?, limit);
        Ok(VideoPage { next: page.next.or(more), ..page })
    }

    async fn page(
        &self,
        columns: &str,
        filter: &ListFilter,
        before: Option<VideoId>,
        most: usize,
    ) -> Result<Vec<sea_orm::QueryResult>> {
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

/// One more than the page was asked for, which tells whether there is a next one.
fn cut(mut videos: Vec<Video>, limit: usize) -> VideoPage {
    let more = videos.len() > limit;
    videos.truncate(limit);
    VideoPage { next: videos.last().filter(|_| more).map(|video| video.id), videos }
}
