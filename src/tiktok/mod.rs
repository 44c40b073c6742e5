//! TikTok's API as it is on the wire; nobody else speaks HTTP to it.
//!
//! The data: [`wire`] has what is sent and taken, [`refusal`] the one table of everything TikTok can say no with,
//! [`upload_url::UploadUrl`] a checked secret. The [`client::Client`] makes one request per call: it repeats nothing,
//! follows nothing, and tells "surely not sent" from "the answer was lost", which the publish protocol rests on.
//! [`oauth`] builds what a browser is sent to, [`webhook`] checks and reads what TikTok sends us, and [`picture`] fetches a
//! creator's picture.

pub mod audit;
pub mod client;
pub mod oauth;
pub mod picture;
pub mod refusal;
pub mod upload_url;
pub mod webhook;
pub mod wire;
