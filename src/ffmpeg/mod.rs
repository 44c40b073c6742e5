//! A video from its bytes to what TikTok takes: probe, recipe, run.
//!
//! The data, in the order in which it comes about:
//!
//! - [`Setup`]: where to work, what sources to accept, what to make, what a run may use. Plain numbers.
//! - [`Spool`]: the folder in which a process works, and which nobody has to tidy up when it is killed.
//! - [`Tools`]: the ffmpeg and ffprobe that were found and checked at start, with the fonts that captions may use.
//! - [`Container`]: told from a file's first bytes by us, so that FFmpeg never guesses a format and never opens a playlist.
//! - [`Probe`]: what ffprobe says of the one video and the one sound stream that we use.
//! - [`Brand`]: what the account wants done. [`Captions`] and [`Image`] are what it is done with.
//! - [`Plan`]: a pure function of those: the arguments of one run with one filter graph, and why anything is encoded at all.
//! - [`Tools::preview`]: one frame of what a brand does, through the same graph.
//! - [`Edited`]: the result and its thumbnail in a private folder that goes when it is dropped.
//!
//! Every run, ingest's too, happens in a private folder under fixed names (`input`, `watermark`, `captions.ass`,
//! `output.mp4`), as a contained child ([`crate::child`]) with a forced demuxer and allow-lists of protocols, formats
//! and codecs. No byte of a user's text or file name is in an argument. Whatever goes wrong is a [`Fault`], which says
//! who is to blame: the video, this run, or the machine.

mod ass;
mod brand;
mod captions;
mod container;
mod fault;
mod fonts;
mod frame;
mod graph;
mod image;
mod preview;
mod probe;
mod process;
mod recipe;
mod report;
mod run;
mod setup;
mod spool;
mod tools;

pub use brand::{Brand, BrandError, CaptionStyle, Color, Corner, Effect, Place, Watermark};
pub use captions::{Captions, Cue};
pub use container::Container;
pub use fault::Fault;
pub use fonts::Font;
pub use image::{Image, ImageFormat};
pub use preview::Shape;
pub use probe::{Audio, Probe};
pub use recipe::{Plan, Treatment, plan};
pub use report::Fps;
pub use run::{Edit, Edited, Rendered};
pub use setup::{EditLimits, Encoding, OutputRules, Setup, SourceRules};
pub use spool::Spool;
pub use tools::{Missing, Tools};
