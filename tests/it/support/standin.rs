//! FFmpeg and ffprobe stood in for: two shell scripts in a folder that comes first on PATH. The program runs them as it
//! would the real ones, contained and checked, but a run costs a few milliseconds; so thousands of videos fit.
//!
//! ffprobe says of every file what the real one said of the stand-in's own clip. FFmpeg copies its input, so the
//! rendition has the upload's bytes, and no two videos have the same ([`StandIn::clip`]).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

pub(crate) struct StandIn {
    folder: TempDir,
}

/// What the real FFmpeg made and says, asked once.
struct Real {
    clip: Vec<u8>,
    thumbnail: Vec<u8>,
    header: String,
    packets: String,
    lists: Vec<(&'static str, Vec<u8>)>,
}

impl StandIn {
    pub(crate) fn new() -> Self {
        let real = real();
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("written");
        write("thumbnail.jpg", &real.thumbnail);
        real.lists.iter().for_each(|(name, list)| write(name, list));
        let ffprobe = FFPROBE.replace("HEADER", &real.header).replace("PACKETS", &real.packets);
        for (name, script) in [("ffprobe", ffprobe.as_str()), ("ffmpeg", FFMPEG)] {
            write(name, script.as_bytes());
            std::fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o755)).expect("executable");
        }
        Self { folder }
    }

    /// PATH with the stand-in in front.
    pub(crate) fn path(&self) -> String {
        format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap_or_default())
    }

    /// From now on each run takes this long.
    pub(crate) fn lasts(&self, seconds: f64) {
        std::fs::write(self.folder.path().join("seconds"), format!("{seconds}\n")).expect("written");
    }

    /// Runs that begin from now on don't end before [`StandIn::release`].
    pub(crate) fn hold(&self) {
        std::fs::write(self.folder.path().join("hold"), "").expect("written");
    }

    pub(crate) fn release(&self) {
        std::fs::remove_file(self.folder.path().join("hold")).expect("it was held");
    }

    /// From now on a clip's title may say what its edit does: `crashes FFmpeg`, `hangs FFmpeg` or `kills its worker`.
    pub(crate) fn poison(&self) {
        std::fs::write(self.folder.path().join("poison"), POISON).expect("written");
    }

    /// Runs of FFmpeg that have begun, and those that came to their end, each with the source's path, in order.
    pub(crate) fn runs(&self) -> Vec<(bool, PathBuf)> {
        let log = std::fs::read_to_string(self.folder.path().join("runs")).unwrap_or_default();
        let line = |line: &str| {
            let (what, source) = line.split_once(' ').expect("two words");
            (what == "begun", PathBuf::from(source))
        };
        log.lines().map(line).collect()
    }

    /// The clip with its title behind it, so that no two have the same bytes.
    pub(crate) fn clip(title: &str) -> Vec<u8> {
        let mut clip = real().clip.clone();
        let size = u32::try_from(title.len() + 8).expect("a short title");
        clip.extend(size.to_be_bytes());
        clip.extend(b"free");
        clip.extend(title.as_bytes());
        clip
    }
}

const FFPROBE: &str = r#"#!/bin/sh
case " $* " in
    *" -show_format "*) printf '%s\n' 'HEADER' ;;
    *) printf '%s\n' 'PACKETS' ;;
esac
"#;

const FFMPEG: &str = r#"#!/bin/sh
home=${0%/*}
case "$2" in
    -encoders|-decoders|-demuxers|-muxers|-filters) exec cat "$home/$2" ;;
esac
case " $* " in
    *" thumbnail.jpg "*) exec cp "$home/thumbnail.jpg" thumbnail.jpg ;;
esac
[ -e "$home/poison" ] && . "$home/poison"
source=$(readlink input)
echo "begun $source" >> "$home/runs"
while [ -e "$home/hold" ]; do sleep 0.05; done
if [ -e "$home/seconds" ]; then
    read -r seconds < "$home/seconds"
    sleep "$seconds"
fi
echo out_time_us=500000
cp input output.mp4
echo "ended $source" >> "$home/runs"
"#;

const POISON: &str = r#"
grep -q 'crashes FFmpeg' input && kill -SEGV $$
grep -q 'hangs FFmpeg' input && sleep 600
pid=$$
while grep -q 'kills its worker' input && [ "$pid" -gt 1 ]; do
    pid=$(sed 's/.*) [A-Z] \([0-9]*\) .*/\1/' "/proc/$pid/stat")
    case $(readlink "/proc/$pid/exe") in
        */subiteya) kill -KILL "$pid"; sleep 600 ;;
    esac
done
"#;

fn real() -> &'static Real {
    static REAL: OnceLock<Real> = OnceLock::new();
    REAL.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let ffmpeg = |args: &str| {
            let mut command = Command::new("ffmpeg");
            command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]).args(args.split(' '));
            output(command.current_dir(folder.path()))
        };
        ffmpeg(
            "-f lavfi -i testsrc2=size=640x360:rate=30:duration=1 -f lavfi -i sine=frequency=440:duration=1 \
             -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -movflags +faststart clip.mp4",
        );
        ffmpeg("-i clip.mp4 -frames:v 1 thumbnail.jpg");
        let ffprobe = |args: &[&str]| {
            let told = output(
                Command::new("ffprobe").args(["-loglevel", "error"]).args(args).arg(folder.path().join("clip.mp4")),
            );
            String::from_utf8(told).expect("text")
        };
        let entries = "packet=stream_index,pts_time,dts_time,duration_time";
        let header = ffprobe(&["-show_format", "-show_streams", "-show_entries", entries, "-of", "json=c=1"]);
        let packets = ffprobe(&["-show_entries", entries, "-of", "compact=p=0:nk=0"]);
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect("made");
        let lists = ["-encoders", "-decoders", "-demuxers", "-muxers", "-filters"];
        Real {
            clip: read("clip.mp4"),
            thumbnail: read("thumbnail.jpg"),
            // A shell's single quotes hold anything but one.
            header: header.lines().collect::<String>().replace('\'', ""),
            packets: packets.lines().last().expect("a packet").to_owned(),
            lists: lists.map(|list| (list, ffmpeg(list))).into(),
        }
    })
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Whether no source was worked on by two runs at once; a run that was killed never ended.
pub(crate) fn one_at_a_time(runs: &[(bool, PathBuf)]) -> bool {
    let mut open: Vec<&Path> = Vec::new();
    for (begun, source) in runs {
        if *begun && open.contains(&source.as_path()) {
            return false;
        }
        if *begun { open.push(source) } else { open.retain(|one| *one != source) }
    }
    true
}
