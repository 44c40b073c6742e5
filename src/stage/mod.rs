//! What is done to a video, stage by stage.

pub mod publish;
