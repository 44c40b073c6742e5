//! A large upload into a local folder, durable when it is answered, beside nginx that stores the same file (dav) followed by
//! `sync` of that file. Both are sent by curl, in turns, on the same disk.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use subiteya::child::{Contained, Limits, Running};
use tempfile::TempDir;

use crate::report::{Line, median};
use crate::support::fleet::Fleet;
use crate::support::servers::free_port;
use crate::support::standin::StandIn;
use crate::support::usage::Processes;
use crate::{Extent, clips};

pub(crate) async fn run(extent: Extent) -> Vec<Line> {
    let Some(nginx) = Nginx::start().await else {
        assert!(!extent.full, "nginx or its dav module is missing: run scripts/bench-servers.sh");
        println!("speed: throughput SKIPPED, there is no nginx with dav; scripts/bench-servers.sh installs it");
        return Vec::new();
    };
    let size: u64 = extent.of(2 << 30, 8 << 20);
    let folder = tempfile::tempdir().expect("a folder");
    let file = large(folder.path(), size);
    let mut fleet = Fleet::new("").await;
    fleet.start("serve", &["serve"]);
    fleet.ready().await;
    fleet.account("ann").await;
    let (mut ours, mut theirs, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..extent.pairs.min(extent.of(5, 1)) {
        theirs.push(size as f64 / nginx.store(&file));
        let before = Processes::now().cpu(fleet.pid("serve"));
        ours.push(size as f64 / upload(&fleet, &file, size));
        cpu.push((Processes::now().cpu(fleet.pid("serve")) - before).own);
    }
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    let rate = |rates: &[f64]| median(rates) / 1e6;
    vec![Line {
        what: format!("{} MiB upload to a local folder, durable; median of {} pairs", size >> 20, ours.len()),
        anchor: format!("curl to nginx (dav), then `sync` of the file: {:.0} MB/s", rate(&theirs)),
        ours: format!("{:.0} MB/s, {:.1} CPU s of serve", rate(&ours), median(&cpu)),
        reach: format!("{:.2} (≥ 0.8)", median(&ratios)),
        holds: Some(median(&ratios) >= 0.8),
    }]
}

fn large(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("large.mp4");
    let clip = StandIn::clip("a large one");
    let mut file = File::create(&path).expect("a file");
    file.write_all(&clip).expect("written");
    file.write_all(&clips::filler(clip.len(), size)).expect("written");
    let zeros = vec![0; 1 << 20];
    let mut left = size - clip.len() as u64 - 8;
    while left > 0 {
        let now = left.min(zeros.len() as u64);
        file.write_all(&zeros[..usize::try_from(now).expect("a piece")]).expect("written");
        left -= now;
    }
    file.sync_all().expect("on the disk");
    path
}

fn curl(args: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--noproxy", "*", "-w", "%{http_code}"]).args(args).output();
    let output = output.expect("curl is installed");
    assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn quiet_disk() {
    assert!(Command::new("sync").status().expect("sync").success());
}

/// Seconds until it is answered, which is when it is durable and in the ledger.
fn upload(fleet: &Fleet, file: &Path, size: u64) -> f64 {
    quiet_disk();
    let began = Instant::now();
    let key = format!("Authorization: Bearer {}", fleet.key);
    let video = format!("video=@{}", file.display());
    let url = fleet.url("/api/videos");
    let said = curl(&["-o", "/dev/null", "-H", &key, "-F", "accountId=ann", "-F", "title=large", "-F", &video, &url]);
    let took = began.elapsed().as_secs_f64();
    assert_eq!(said, "201");
    remove_large(&fleet.data(), size);
    took
}

fn remove_large(folder: &Path, size: u64) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_large(&path, size);
        } else if entry.metadata().is_ok_and(|meta| meta.len() == size) {
            std::fs::remove_file(path).expect("removed");
        }
    }
}

struct Nginx {
    folder: TempDir,
    port: u16,
    _server: Running,
}

impl Nginx {
    /// None where it is not installed, or can't store.
    async fn start() -> Option<Self> {
        let program = Path::new("/usr/sbin/nginx");
        if !program.is_file() {
            return None;
        }
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        for name in ["stored", "body", "logs"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log logs/error.log;\n\
             events {{ }}\n\
             http {{ access_log off; client_max_body_size 0; client_body_temp_path body;\n\
             proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n\
             server {{ listen 127.0.0.1:{port}; root stored; dav_methods PUT; }} }}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), config).expect("written");
        let prefix = folder.path().display().to_string();
        let args = ["-p", &prefix, "-c", "nginx.conf", "-e", "logs/error.log"].map(str::to_owned);
        let server = Contained::new(program, folder.path(), Limits::default()).args(args).start().expect("nginx");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self { folder, port, _server: server })
    }

    /// Seconds until it is on the disk.
    fn store(&self, file: &Path) -> f64 {
        quiet_disk();
        let stored = self.folder.path().join("stored/large.mp4");
        let began = Instant::now();
        let url = format!("http://127.0.0.1:{}/large.mp4", self.port);
        let said = curl(&["-o", "/dev/null", "-T", &file.display().to_string(), &url]);
        assert_eq!(said, "201");
        assert!(Command::new("sync").arg(&stored).status().expect("sync").success());
        let took = began.elapsed().as_secs_f64();
        std::fs::remove_file(stored).expect("removed");
        took
    }
}
