//! SeaweedFS as an S3 store of the test's own, with one empty bucket; gone with the test.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use subiteya::child::{Contained, Limits, Running};
use subiteya::media::S3;

use super::servers::{fetched, free_port};

pub(crate) const BUCKET: &str = "videos";
const IDENTITIES: &str = r#"{"identities":[{"name":"test","actions":["Admin","Read","Write","List","Tagging"],
    "credentials":[{"accessKey":"test-key","secretKey":"test-secret"}]}]}"#;

pub(crate) struct S3Server {
    folder: tempfile::TempDir,
    port: u16,
    server: Running,
}

impl S3Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("identities.json"), IDENTITIES).expect("written");
        std::fs::create_dir(folder.path().join("data")).expect("a folder");
        let port = free_port();
        let server = launch(&folder, port).await;
        Self { folder, port, server }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn settings(&self) -> S3 {
        S3 {
            bucket: BUCKET.into(),
            region: "us-east-1".into(),
            endpoint: Some(self.endpoint()),
            access_key_id: "test-key".into(),
            secret_access_key: "test-secret".to_owned().into(),
        }
    }

    /// The variables by which the program finds it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("S3_BUCKET", BUCKET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", "test-key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test-secret".to_owned()),
        ]
    }

    pub(crate) async fn kill(&mut self) {
        self.server.kill().await.expect("killed");
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(self.server.group()).expect("a group");
        kill_process_group(group, signal).expect("it runs");
    }

    pub(crate) async fn restart(&mut self) {
        self.server = launch(&self.folder, self.port).await;
    }
}

async fn launch(folder: &tempfile::TempDir, port: u16) -> Running {
    let mut args: Vec<String> =
        ["mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"].map(str::to_owned).to_vec();
    for name in ["master", "volume", "filer"] {
        args.push(format!("-{name}.port={}", free_port()));
        args.push(format!("-{name}.port.grpc={}", free_port()));
    }
    args.push(format!("-s3.port={port}"));
    args.push(format!("-s3.port.grpc={}", free_port()));
    args.push(format!("-admin.port={}", free_port()));
    args.push(format!("-admin.port.grpc={}", free_port()));
    args.push(format!("-bucket={BUCKET}"));
    let rest = ["-s3.config=identities.json", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0"];
    args.extend(rest.map(str::to_owned));
    args.extend(["-s3.port.lance=0", "-master.telemetry=false"].map(str::to_owned));
    let mut server =
        Contained::new(&fetched("weed"), folder.path(), Limits::default()).args(args).start().expect("weed starts");
    // A full pipe would stop it.
    for mut output in [server.stdout().map(Output::Out), server.stderr().map(Output::Err)].into_iter().flatten() {
        tokio::spawn(async move { output.drain().await });
    }
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://127.0.0.1:{port}/{BUCKET}");
    super::eventually("the S3 server answers", Duration::from_secs(30), || async {
        // Without a signature it refuses, which is an answer; before its start is over it fails or says 5xx or 404.
        client.get(&url).send().await.is_ok_and(|answer| answer.status() == 403)
    })
    .await;
    server
}

enum Output {
    Out(tokio::process::ChildStdout),
    Err(tokio::process::ChildStderr),
}

impl Output {
    async fn drain(&mut self) {
        let mut nowhere = tokio::io::sink();
        match self {
            Self::Out(pipe) => tokio::io::copy(pipe, &mut nowhere).await.ok(),
            Self::Err(pipe) => tokio::io::copy(pipe, &mut nowhere).await.ok(),
        };
    }
}
