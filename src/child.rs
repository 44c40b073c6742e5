//! Child processes that cannot outlive us: FFmpeg, ffprobe, the embedded Redis.
//!
//! A child runs under a small shell that stands in a process group of its own and holds one end of a pipe, the
//! lifeline. We hold the other end. When it closes, because we dropped it or because we were killed with SIGKILL, the
//! shell's watcher kills the whole group. That needs no `unsafe` and works wherever there is a `/bin/sh`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Waits for the work, and kills the whole group when the lifeline (file descriptor 3) ends. `wait` is repeated since
/// a trapped signal ends it early; the last one sees the watcher gone, so that nothing is left when we are told of the
/// end. The arguments are the three limits, each a number or `unlimited`, then the command.
const SUPERVISOR: &str = r#"
exec 3<&0 </dev/null
trap : TERM INT
ulimit -c 0
ulimit -t "$1" && ulimit -f "$3" || exit 125
ulimit -v "$2" 2>/dev/null || :
shift 3
"$@" 3<&- &
work=$!
( trap - TERM INT; read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 &
watch=$!
wait "$work"; status=$?
while kill -0 "$work" 2>/dev/null; do wait "$work"; status=$?; done
kill -KILL "$watch" 2>/dev/null
wait "$watch" 2>/dev/null
exit "$status"
"#;

/// What a child may use; `None` is no limit. The memory limit is one on address space, which macOS does not enforce.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub cpu: Option<Duration>,
    pub memory_bytes: Option<u64>,
    pub file_bytes: Option<u64>,
}

/// A command to run contained: nothing of our environment reaches it.
#[derive(Debug)]
pub struct Contained {
    command: Command,
}

impl Contained {
    /// `program` is an absolute path (see [`find`]), `folder` the working directory.
    pub fn new(program: &Path, folder: &Path, limits: Limits) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SUPERVISOR, "subiteya-child"])
            .args(ulimits(limits))
            .arg(program)
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command }
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.command.arg(arg.into());
        self
    }

    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args.into_iter().map(Into::into));
        self
    }

    pub fn start(mut self) -> io::Result<Running> {
        let mut child = self.command.spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (Some(group), Some(lifeline)) = (group, child.stdin.take()) else {
            return Err(io::Error::other("the child ended before it was started"));
        };
        Ok(Running { group, child, _lifeline: lifeline })
    }
}

fn ulimits(limits: Limits) -> [String; 3] {
    let number = |n: Option<u64>| n.map_or("unlimited".to_owned(), |n| n.max(1).to_string());
    [
        number(limits.cpu.map(|cpu| cpu.as_secs())),
        number(limits.memory_bytes.map(|bytes| bytes / 1024)),
        number(limits.file_bytes.map(|bytes| bytes / 512)),
    ]
}

/// A child at work. Dropping it kills the group.
#[derive(Debug)]
pub struct Running {
    group: Pid,
    child: Child,
    _lifeline: ChildStdin,
}

impl Running {
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// The process group, which is also the supervisor's process id.
    pub fn group(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Waits for the command's end. A command that a signal ended reports 128 + the signal's number, as shells do.
    /// Safe to drop and call again.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks the command to end (SIGTERM), and leaves it to do so.
    pub fn ask_to_end(&self) -> io::Result<()> {
        kill_process_group(self.group, Signal::TERM).map_err(io::Error::from)
    }

    /// Kills the whole group at once and reaps it.
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal_group_kill();
        self.child.wait().await
    }

    fn signal_group_kill(&self) {
        // Reaped already is what we want; the group's number can't have been given to others while we hold the child.
        if self.child.id().is_some() {
            kill_process_group(self.group, Signal::KILL).ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal_group_kill();
    }
}

/// The absolute path of a program on `PATH`, the first of these names that is there.
pub fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    fn shell(script: &str, limits: Limits) -> Contained {
        Contained::new(Path::new("/bin/sh"), Path::new("/"), limits).args(["-c", script])
    }

    async fn output(mut running: Running) -> (String, ExitStatus) {
        let mut text = String::new();
        running.stdout().expect("stdout").read_to_string(&mut text).await.expect("text");
        (text, running.wait().await.expect("status"))
    }

    async fn wait_until_gone(pid: i32) {
        let pid = Pid::from_raw(pid).expect("a pid");
        for _ in 0..200 {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            if rustix::process::test_kill_process(pid).is_err() || state.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("process {pid:?} is still there after 2 s");
    }

    #[tokio::test]
    async fn a_child_gives_its_output_and_its_exit_code_and_sees_nothing_of_our_environment() {
        let (text, status) =
            output(shell("env | sort | cut -d= -f1 | tr '\\n' ' '; exit 7", Limits::default()).start().expect("start"))
                .await;
        assert_eq!(status.code(), Some(7));
        for name in text.split_whitespace() {
            assert!(["HOME", "LC_ALL", "PATH", "PWD", "OLDPWD", "_", "SHLVL"].contains(&name), "{name} leaked");
        }
    }

    #[tokio::test]
    async fn killing_takes_grandchildren_along() {
        let mut running = shell("sleep 300 & echo $!; wait", Limits::default()).start().expect("start");
        let mut stdout = running.stdout().expect("stdout");
        let mut bytes = [0u8; 16];
        let read = stdout.read(&mut bytes).await.expect("pid");
        let grandchild: i32 = String::from_utf8_lossy(&bytes[..read]).trim().parse().expect("a number");
        running.kill().await.expect("killed");
        wait_until_gone(grandchild).await;
    }

    #[tokio::test]
    async fn a_closed_lifeline_ends_the_group_as_a_killed_parent_would() {
        let mut running = shell("echo $$; sleep 300", Limits::default()).start().expect("start");
        let mut bytes = [0u8; 16];
        let read = running.stdout().expect("stdout").read(&mut bytes).await.expect("pid");
        let child: i32 = String::from_utf8_lossy(&bytes[..read]).trim().parse().expect("a number");
        let Running { child: supervisor, _lifeline, .. } = &mut running;
        let lifeline = std::mem::replace(_lifeline, {
            let mut other = Command::new("/bin/true");
            other.stdin(Stdio::piped()).spawn().expect("true").stdin.take().expect("stdin")
        });
        drop(lifeline);
        supervisor.wait().await.expect("ended");
        wait_until_gone(child).await;
    }

    #[tokio::test]
    async fn limits_hold() {
        let limits = Limits { cpu: Some(Duration::from_secs(1)), file_bytes: Some(4096), ..Limits::default() };
        let (_, status) = output(shell("while :; do :; done", limits).start().expect("start")).await;
        assert!(!status.success(), "the CPU limit ends an endless loop");
        let folder = tempfile::tempdir().expect("folder");
        let write = Contained::new(Path::new("/bin/sh"), folder.path(), limits)
            .args(["-c", "dd if=/dev/zero of=big bs=1024 count=64 2>/dev/null"]);
        output(write.start().expect("start")).await;
        assert!(std::fs::metadata(folder.path().join("big")).expect("file").len() <= 4096);
    }

    #[tokio::test]
    async fn asked_to_end_a_child_may_tidy_up_first() {
        let mut running =
            shell("trap 'echo tidy; exit 3' TERM; echo ready; while :; do sleep 0.05; done", Limits::default())
                .start()
                .expect("start");
        let mut stdout = running.stdout().expect("stdout");
        let mut bytes = [0u8; 6];
        stdout.read_exact(&mut bytes).await.expect("ready");
        running.ask_to_end().expect("asked");
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.expect("text");
        assert_eq!(rest.trim(), "tidy");
        assert_eq!(running.wait().await.expect("status").code(), Some(3));
    }
}
