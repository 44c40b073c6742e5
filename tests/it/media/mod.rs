//! The object store: what holds on a folder and on S3 alike, what is S3's own, and what its absence does to the pipeline.

mod away;
mod bucket;
mod conformance;
mod in_place;
mod stub;
