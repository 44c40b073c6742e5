//! The one integration binary.

mod publish_model;
