//! Where the bytes are.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use super::environment::Environment;
use super::problem::Problem;
use super::web_url;

#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// A folder of this host.
    Local(PathBuf),
    S3(S3Config),
}

#[derive(Debug, Clone)]
pub struct S3Config {
    pub bucket: String,
    pub region: String,
    /// Another service that speaks S3; `None` is AWS.
    pub endpoint: Option<Url>,
    pub access_key_id: String,
    pub secret_access_key: SecretString,
}

impl StoreConfig {
    pub(super) fn load(env: &Environment, data: &Path, problems: &mut Vec<Problem>) -> Self {
        let mut text = |name: &str| match env.text(name) {
            Ok(value) => value,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let Some(bucket) = text("S3_BUCKET") else { return Self::Local(data.join("objects")) };
        let (key_id, secret) = (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY"));
        let region = text("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = text("AWS_ENDPOINT_URL");

        let named = (3..=63).contains(&bucket.len())
            && bucket.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
        if !named {
            problems.push(Problem::new(
                "S3_BUCKET",
                "expected the name of a bucket: 3 to 63 of a-z, 0-9, '-' and '.'; set it like S3_BUCKET=subiteya-videos",
            ));
        }
        for (name, value) in [("AWS_ACCESS_KEY_ID", &key_id), ("AWS_SECRET_ACCESS_KEY", &secret)] {
            if value.is_none() {
                problems.push(Problem::new(
                    name,
                    format!("is missing, and S3_BUCKET is set; set {name} or {name}_FILE, or unset S3_BUCKET to keep files in the data folder"),
                ));
            }
        }
        let endpoint = endpoint.and_then(|url| {
            web_url("AWS_ENDPOINT_URL", &url, "http://127.0.0.1:9000").map_err(|problem| problems.push(problem)).ok()
        });
        Self::S3(S3Config {
            bucket,
            region,
            endpoint,
            access_key_id: key_id.unwrap_or_default(),
            secret_access_key: secret.unwrap_or_default().into(),
        })
    }
}

/// What makes sense only with a bucket, and is set without one. AWS_REGION isn't among it: many hosts set it for everybody.
pub(super) fn without_a_bucket(env: &Environment) -> Option<Problem> {
    let set = |name: &&str| env.has(name);
    let found = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].into_iter().find(set)?;
    let text = format!(
        "is not set, but {found} is: files are kept in the data folder; set it like S3_BUCKET=subiteya-videos, or unset {found}"
    );
    (!env.has("S3_BUCKET")).then(|| Problem::new("S3_BUCKET", text))
}
