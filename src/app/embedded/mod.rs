//! What `up` brings along where nothing was given.
//!
//! All of it lives in one data folder, which one `up` at a time holds by a lock:
//!
//! ```text
//! data/                 0700
//!   lock                held while `up` runs; its process id
//!   encryption.key      0600, made once; seals tokens and upload URLs
//!   operator.key        0600, the API key that the CLI finds
//!   sandbox.url         where the sandbox listens
//!   subiteya.db         the ledger
//!   objects/            the bytes
//!   redis/              0700: redis.conf, redis.sock, redis.log, appendonlydir/
//! ```
//!
//! Redis runs contained ([`crate::child`]): it ends with us, also when we are killed with SIGKILL, and its data stays.

mod folder;
mod redis;
mod socket;

pub use self::folder::{DataFolder, ENCRYPTION_KEY, FolderError, OPERATOR_KEY, SANDBOX_URL, existing_encryption_keys};
pub use self::redis::{EmbeddedRedis, EmbeddedRedisError};
