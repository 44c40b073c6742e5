//! What TikTok's audit of an app means for whoever runs this, in words.

/// For `doctor`. From TikTok's Content Sharing Guidelines.
pub const NOTICE: &str = "until TikTok has audited the app it posts SELF_ONLY, to private accounts, for 5 of them in 24 hours. \
     The audit refuses watermarks of one's own and tools for one's own accounts, and wants files sent from the user's device: \
     a watermark in the brand, and uploads from a server, can cost it";
