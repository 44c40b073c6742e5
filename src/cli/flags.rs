//! The flags that stand over variables of the same name.

use std::ffi::OsString;

use clap::Args;

use crate::config::Environment;

/// Text, whatever is wrong with it: the configuration checks all layers with the same words.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct ServerFlags {
    /// The folder of everything embedded (SUBITEYA_DATA) [default: ./data]
    #[arg(long, global = true, value_name = "FOLDER", alias = "subiteya-data")]
    data: Option<OsString>,
    /// The file of streams and limits (SUBITEYA_STREAMS) [default: streams.toml]
    #[arg(long, global = true, value_name = "FILE", alias = "subiteya-streams")]
    streams: Option<OsString>,
    /// The address to listen on (HOST) [default: 127.0.0.1]
    #[arg(long, global = true)]
    host: Option<OsString>,
    /// The port to listen on (PORT) [default: 3000]
    #[arg(long, global = true)]
    port: Option<OsString>,
    /// Origins of pages served elsewhere (SUBITEYA_ALLOWED_ORIGINS)
    #[arg(long, global = true, value_name = "ORIGINS", alias = "subiteya-allowed-origins")]
    allowed_origins: Option<OsString>,
    /// false: accept uploads and let them wait (ENABLE_REDIS)
    #[arg(long, global = true, value_name = "BOOL")]
    enable_redis: Option<OsString>,
    /// Keep files in this bucket (S3_BUCKET)
    #[arg(long, global = true, value_name = "NAME")]
    s3_bucket: Option<OsString>,
    /// (AWS_REGION)
    #[arg(long, global = true, value_name = "NAME")]
    aws_region: Option<OsString>,
    /// Another service that speaks S3 (AWS_ENDPOINT_URL)
    #[arg(long, global = true, value_name = "URL")]
    aws_endpoint_url: Option<OsString>,
    /// TikTok's API (TIKTOK_API_URL)
    #[arg(long, global = true, value_name = "URL")]
    tiktok_api_url: Option<OsString>,
    /// TikTok's authorize page (TIKTOK_AUTH_URL)
    #[arg(long, global = true, value_name = "URL")]
    tiktok_auth_url: Option<OsString>,
    /// (TIKTOK_CLIENT_KEY)
    #[arg(long, global = true, value_name = "KEY")]
    tiktok_client_key: Option<OsString>,
    /// What is logged (RUST_LOG) [default: info]
    #[arg(long, global = true, value_name = "FILTER")]
    rust_log: Option<OsString>,
    /// text or json (LOG_FORMAT) [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<OsString>,
}

impl ServerFlags {
    pub(super) fn lay_over(&self, env: &mut Environment) {
        for (name, value) in [
            ("SUBITEYA_DATA", &self.data),
            ("SUBITEYA_STREAMS", &self.streams),
            ("HOST", &self.host),
            ("PORT", &self.port),
            ("SUBITEYA_ALLOWED_ORIGINS", &self.allowed_origins),
            ("ENABLE_REDIS", &self.enable_redis),
            ("S3_BUCKET", &self.s3_bucket),
            ("AWS_REGION", &self.aws_region),
            ("AWS_ENDPOINT_URL", &self.aws_endpoint_url),
            ("TIKTOK_API_URL", &self.tiktok_api_url),
            ("TIKTOK_AUTH_URL", &self.tiktok_auth_url),
            ("TIKTOK_CLIENT_KEY", &self.tiktok_client_key),
            ("RUST_LOG", &self.rust_log),
            ("LOG_FORMAT", &self.log_format),
        ] {
            if let Some(value) = value {
                env.set_by_flag(name, value);
            }
        }
    }
}
