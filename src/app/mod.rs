//! Building everything from a [`Config`](crate::config::Config): roles, and the parts that `up` starts itself.

pub mod embedded;
