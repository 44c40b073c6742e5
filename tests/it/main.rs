//! What the parts do together, against the real programs.

mod ffmpeg;
