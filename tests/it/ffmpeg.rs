//! Against the real FFmpeg, on clips that are made here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use subiteya::ffmpeg::{Brand, Captions, Edit, Edited, Fault, Probe, Setup, Tools, Treatment};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A spool of its own, whose drop asserts that nothing was left in it or runs in it.
struct Studio {
    folder: TempDir,
    tools: Tools,
}

impl Studio {
    async fn open() -> Self {
        static FOUND: OnceLock<Tools> = OnceLock::new();
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir(folder.path().join("spool")).expect("spool");
        if FOUND.get().is_none() {
            FOUND.set(Tools::find(Setup::new("/tmp")).await.expect("tools")).ok();
        }
        let tools = FOUND.get().expect("tools").clone().with_setup(|setup| setup.spool = folder.path().join("spool"));
        Self { folder, tools }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).expect("file");
        self.path(name)
    }

    /// `args` as on a command line, the file's name last.
    fn make(&self, args: &str, name: &str) -> PathBuf {
        let made = Command::new("ffmpeg")
            .args(["-nostdin", "-y", "-v", "error"])
            .args(args.split_whitespace())
            .arg(self.path(name))
            .output()
            .expect("ffmpeg");
        assert!(made.status.success(), "{args}: {}", String::from_utf8_lossy(&made.stderr));
        self.path(name)
    }

    /// Test picture and tone, two seconds unless said otherwise.
    fn clip(&self, picture: &str, codec: &str, name: &str) -> PathBuf {
        let args = format!("-f lavfi -i testsrc2={picture} -f lavfi -i sine=d=2 {codec} -ac 2 -shortest");
        self.make(&args, name)
    }

    fn plain(&self) -> PathBuf {
        self.clip("s=480x640:r=30:d=2", X264, "plain.mp4")
    }

    async fn refusal(&self, file: &Path) -> String {
        match self.tools.probe(file).await {
            Err(Fault::Refused(reason)) => reason.code,
            other => panic!("not refused: {other:?}"),
        }
    }

    async fn edit(&self, source: &Path, brand: &str) -> Edited {
        self.edit_with(source, brand, None).await
    }

    async fn edit_with(&self, source: &Path, brand: &str, captions: Option<&Captions>) -> Edited {
        let brand = Brand::from_json(brand.as_bytes()).expect("a brand");
        let logo = brand.watermark.is_some().then(|| self.logo());
        let edit = Edit { source, brand: &brand, watermark: logo.as_deref(), captions, known: None };
        let (progress, seen) = watch::channel(0);
        let edited = self.tools.edit(&edit, &progress, &CancellationToken::new()).await.expect("edited");
        assert_eq!(*seen.borrow(), 100);
        assert!(edited.thumbnail.is_file());
        keep(&edited.video);
        edited
    }

    fn logo(&self) -> PathBuf {
        self.make("-f lavfi -i color=red:s=200x100 -frames:v 1", "logo.png")
    }

    /// No file is left and no FFmpeg runs. The small shell that watched over a killed one may take the kernel a moment.
    fn is_quiet(&self) -> bool {
        let spool = self.path("spool");
        let working = processes_in(&spool).into_iter().any(|pid| name(pid).starts_with("ff"));
        let gone = (0..200).any(|_| {
            let gone = processes_in(&spool).is_empty();
            if !gone {
                std::thread::sleep(Duration::from_millis(10));
            }
            gone
        });
        !working && gone && std::fs::read_dir(&spool).expect("spool").next().is_none()
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.is_quiet(), "a file or a process was left behind");
        }
    }
}

/// To look at results: `KEEP=/tmp/looks cargo test`.
fn keep(video: &Path) {
    if let Some(folder) = std::env::var_os("KEEP") {
        let name = std::thread::current().name().unwrap_or("test").replace("::", "-");
        std::fs::copy(video, Path::new(&folder).join(name).with_extension("mp4")).expect("kept");
    }
}

fn processes_in(folder: &Path) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return vec![] };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))).collect()
}

fn name(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn signal(running: &[i32], signal: &str) {
    for pid in running.iter().filter(|pid| name(**pid) == "ffmpeg") {
        Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill");
    }
}

const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac";
const NOTHING: &str = "{}";

fn sound(probe: &Probe) -> (&str, u32) {
    let audio = probe.audio.as_ref().expect("sound");
    (&audio.codec, audio.channels)
}

#[tokio::test]
async fn with_nothing_on_a_good_clip_is_copied_and_loses_its_metadata() {
    let studio = Studio::open().await;
    let good = studio.clip(
        "s=480x640:r=30:d=2",
        &format!("{X264} -metadata title=secret -metadata location=+52+013/"),
        "g.mp4",
    );
    let edited = studio.edit(&good, NOTHING).await;
    assert_eq!((&edited.plan.video, &edited.plan.audio), (&Treatment::Copied, &Treatment::Copied));
    let bytes = std::fs::read(&edited.video).expect("bytes");
    let at = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    assert!(at(b"secret").is_none() && at(b"+52+013").is_none());
    assert!(at(b"moov") < at(b"mdat"), "the index comes first");
}

#[tokio::test]
async fn every_kind_of_source_becomes_what_tiktok_takes() {
    let studio = Studio::open().await;
    let hdr = "-c:v libx265 -preset ultrafast -x265-params log-level=error -pix_fmt yuv420p10le -color_trc smpte2084 \
               -color_primaries bt2020 -colorspace bt2020nc -c:a aac";
    let sources = [
        ("odd.mp4", "s=321x241:r=30:d=2", "-c:v libx264 -preset ultrafast -pix_fmt yuv444p -c:a aac"),
        ("slow.mp4", "s=480x360:r=15:d=2", X264),
        ("fast.mp4", "s=480x360:r=120:d=2", X264),
        ("small.webm", "s=240x320:r=30:d=2", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"),
        ("deep.mp4", "s=480x360:r=30:d=2", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le -c:a aac"),
        ("hdr.mov", "s=480x360:r=30:d=2", hdr),
        ("many.mkv", "s=480x360:r=25:d=2", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a ac3"),
        ("old.avi", "s=480x360:r=25:d=2", "-c:v mpeg4 -c:a libmp3lame"),
        ("tv.ts", "s=480x360:r=25:d=2", X264),
        ("flash.flv", "s=480x360:r=25:d=2", X264),
        ("ribbon.mp4", "s=1200x60:r=30:d=2", X264),
        ("anamorphic.mp4", "s=480x360:r=30:d=2,setsar=4/3", X264),
    ];
    for (name, picture, codec) in sources {
        let source = studio.clip(picture, codec, name);
        let edited = studio.edit(&source, NOTHING).await;
        let is = &edited.probe;
        let (video, audio) = (&edited.plan.video, &edited.plan.audio);
        assert!(*video != Treatment::Copied || *audio != Treatment::Copied, "{name}");
        assert!(is.width % 2 == 0 && is.height % 2 == 0 && is.width.min(is.height) >= 360, "{name}: {is:?}");
        assert!(is.fps.is_some_and(|fps| (23.0..=60.01).contains(&fps.value())), "{name}: {is:?}");
        assert_eq!((sound(is).0, is.bit_depth, is.hdr, is.square_pixels), ("aac", 8, false, true), "{name}");
    }
}

#[tokio::test]
async fn rotation_is_applied_and_told() {
    let studio = Studio::open().await;
    studio.clip("s=640x480:r=30:d=2", X264, "flat.mp4");
    let flat = studio.path("flat.mp4");
    let turned = studio.make(&format!("-i {} -c copy -metadata:s:v:0 rotate=90", flat.display()), "turned.mp4");
    let probe = studio.tools.probe(&turned).await.expect("a probe");
    assert_eq!((probe.width, probe.height), (480, 640));
    assert!(probe.rotation == 90 || probe.rotation == 270);
    let edited = studio.edit(&turned, NOTHING).await;
    assert_eq!((edited.probe.width, edited.probe.height, edited.probe.rotation), (480, 640, 0));
}

#[tokio::test]
async fn a_varying_rate_becomes_a_steady_one() {
    let studio = Studio::open().await;
    let filter = "-f lavfi -i testsrc2=s=480x360:r=60:d=2 -vf select='not(mod(n\\,3))+lt(n\\,30)' -vsync vfr";
    let source = studio.make(&format!("{filter} -c:v libx264 -preset ultrafast -pix_fmt yuv420p"), "v.mp4");
    assert!(studio.tools.probe(&source).await.expect("a probe").variable_fps);
    assert!(!studio.edit(&source, NOTHING).await.probe.variable_fps);
}

#[tokio::test]
async fn a_silent_clip_gets_silence_and_surround_becomes_stereo() {
    let studio = Studio::open().await;
    let silent = studio.make(&format!("-f lavfi -i testsrc2=s=480x640:d=2:r=30 {X264}"), "silent.mp4");
    let edited = studio.edit(&silent, NOTHING).await;
    assert_eq!((&edited.plan.video, sound(&edited.probe)), (&Treatment::Copied, ("aac", 2)));
    let loud = studio.edit(&silent, r#"{"effects":["loudness","fade"]}"#).await;
    assert_eq!(sound(&loud.probe), ("aac", 2));
    let surround = "-f lavfi -i testsrc2=s=480x640:d=2:r=30 -f lavfi -i anoisesrc=d=2 -ac 6";
    let surround = studio.make(&format!("{surround} {X264} -shortest"), "surround.mp4");
    assert_eq!(sound(&studio.edit(&surround, NOTHING).await.probe), ("aac", 2));
    let mono = "-f lavfi -i testsrc2=s=480x640:d=2:r=30 -f lavfi -i sine=d=2 -ac 1";
    let mono = studio.make(&format!("{mono} {X264} -shortest"), "mono.mp4");
    assert_eq!(sound(&studio.edit(&mono, r#"{"effects":["loudness"]}"#).await.probe), ("aac", 2));
}

#[tokio::test]
async fn everything_at_once_with_hostile_captions() {
    let studio = Studio::open().await;
    let hostile =
        "1\n00:00:00,000 --> 00:00:02,000\n{\\p1}m 0 0 l 99 99 \\N 'q' \"q\" %{pts} :[v];\n[a]=,ass=x C:\\x\n";
    let captions = Captions::parse(hostile.as_bytes()).expect("captions");
    let brand = r##"{"watermark":{"image":"x","corner":"topRight","width":0.25,"opacity":0.5},
        "captions":{"font":"sansBold","size":0.04,"color":"#FFCC00","place":"bottom"},
        "effects":["loudness","vertical","grade","fade"]}"##;
    let edited = studio.edit_with(&studio.clip("s=640x360:r=30:d=2", X264, "in.mp4"), brand, Some(&captions)).await;
    assert_eq!((edited.probe.width, edited.probe.height), (720, 1280));
    let arguments = edited.plan.args.join(" ");
    let folder = studio.folder.path().to_str().expect("a path");
    assert!(!arguments.contains("%{") && !arguments.contains(folder), "{arguments}");
}

#[tokio::test]
async fn each_corner_and_place_alone_is_taken() {
    let studio = Studio::open().await;
    let plain = studio.plain();
    let captions = Captions::parse(b"WEBVTT\n\n00:00.000 --> 00:02.000\nHello").expect("captions");
    for (corner, place) in [("topLeft", "top"), ("bottomLeft", "middle"), ("bottomRight", "bottom")] {
        let brand = format!(
            r##"{{"watermark":{{"image":"x","corner":"{corner}","width":1,"opacity":1}},
            "captions":{{"font":"serif","size":40,"color":"#ffffff","place":"{place}"}}}}"##
        );
        assert_eq!(studio.edit_with(&plain, &brand, Some(&captions)).await.probe.width, 480);
    }
}

#[tokio::test]
async fn what_is_no_video_is_refused_and_says_what_it_is() {
    let studio = Studio::open().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    listener.set_nonblocking(true).expect("non-blocking");
    let url = format!("http://{}/x.ts", listener.local_addr().expect("address"));
    let playlist = format!("#EXTM3U\n#EXTINF:1,\n{url}\nfile:///etc/passwd\n");
    let cases = [
        (studio.file("text.mp4", "just some text"), "not_a_video"),
        (studio.file("empty.mp4", ""), "empty"),
        (studio.file("noise.mp4", [7u8; 5000]), "not_a_video"),
        (studio.file("list.mp4", playlist), "playlist"),
        (studio.file("concat.mp4", format!("ffconcat version 1.0\nfile '{url}'\n")), "playlist"),
        (studio.file("session.mp4", "v=0\no=- 0 0 IN IP4 127.0.0.1\n"), "playlist"),
        (
            studio.file("fake.mp4", b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x10moov12345678\0\0\0\x10mdat12345678"),
            "no_video_stream",
        ),
        (studio.make("-f lavfi -i testsrc2=s=64x64 -frames:v 1", "image.jpg"), "not_a_video"),
        (studio.make("-f lavfi -i sine=d=1", "tone.mp3"), "no_video_stream"),
        (studio.make("-f lavfi -i sine=d=1 -c:a aac", "tone.mp4"), "no_video_stream"),
    ];
    for (file, code) in cases {
        assert_eq!(studio.refusal(&file).await, code, "{file:?}");
    }
    assert!(listener.accept().is_err(), "nobody called");
}

#[tokio::test]
async fn a_video_that_is_cut_off_is_refused_as_truncated() {
    let studio = Studio::open().await;
    let sources = [
        studio.plain(),
        studio.clip("s=480x640:r=30:d=2", &format!("{X264} -movflags +faststart"), "fast.mp4"),
        studio.clip("s=240x320:r=30:d=2", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus", "cut.webm"),
        studio.clip("s=240x320:r=30:d=2", "-c:v mpeg4 -c:a libmp3lame", "cut.avi"),
        studio.clip("s=240x320:r=30:d=4", "-c:v libx264 -c:a aac -t 4", "cut.mkv"),
    ];
    for source in sources {
        let bytes = std::fs::read(&source).expect("bytes");
        for part in [bytes.len() / 2, bytes.len() - 100] {
            let cut = studio.file("cut", &bytes[..part]);
            assert_eq!(studio.refusal(&cut).await, "truncated", "{source:?} at {part}");
        }
    }
}

#[tokio::test]
async fn a_recording_without_a_duration_in_its_header_is_measured() {
    let studio = Studio::open().await;
    let codec = "-c:v libvpx -deadline realtime -c:a libopus -live 1";
    let source = studio.clip("s=240x320:r=30:d=2", codec, "live.webm");
    let probe = studio.tools.probe(&source).await.expect("a probe");
    assert!((1.8..2.3).contains(&probe.duration.as_secs_f64()), "{probe:?}");
}

#[tokio::test]
async fn too_long_and_too_large_are_refused() {
    let mut studio = Studio::open().await;
    let plain = studio.plain();
    studio.tools = studio.tools.clone().with_setup(|setup| setup.source.longest = Duration::from_secs(1));
    assert_eq!(studio.refusal(&plain).await, "too_long");
    studio.tools = studio.tools.clone().with_setup(|setup| setup.source.largest_bytes = 1000);
    assert_eq!(studio.refusal(&plain).await, "too_large");
}

#[tokio::test]
async fn watermarks_are_checked_by_decoding_them() {
    let studio = Studio::open().await;
    assert_eq!(studio.tools.check_image(&studio.logo()).await.map(|image| (image.width, image.height)), Ok((200, 100)));
    for name in ["logo.jpg", "logo.webp"] {
        let image = studio.make("-f lavfi -i testsrc2=s=120x80 -frames:v 1", name);
        assert_eq!(studio.tools.check_image(&image).await.map(|image| image.width), Ok(120), "{name}");
    }
    let bytes = std::fs::read(studio.path("logo.png")).expect("bytes");
    for bad in [studio.file("cut.png", &bytes[..40]), studio.file("text.png", "hello")] {
        let fault = studio.tools.check_image(&bad).await.expect_err("refused");
        assert!(matches!(fault, Fault::Refused(reason) if reason.code == "watermark_invalid"));
    }
}

/// Starts a long edit, waits until it moves, and hands over the process ids in its folder.
async fn midway(studio: &Studio, then: impl FnOnce(&[i32], &CancellationToken)) -> Fault {
    let source = studio.make(&format!("-f lavfi -i testsrc2=s=640x480:d=60:r=30 {X264}"), "long.mp4");
    let brand = Brand::from_json(br#"{"effects":["vertical","grade"]}"#).expect("a brand");
    let edit = Edit { source: &source, brand: &brand, watermark: None, captions: None, known: None };
    let (progress, mut seen) = watch::channel(0);
    let cancel = CancellationToken::new();
    let acting = async {
        seen.wait_for(|percent| *percent > 0).await.expect("progress");
        then(&processes_in(&studio.path("spool")), &cancel);
    };
    let (outcome, ()) = tokio::join!(studio.tools.edit(&edit, &progress, &cancel), acting);
    let fault = outcome.expect_err("ended early");
    assert!(studio.is_quiet(), "nothing is left when it returns");
    fault
}

#[tokio::test]
async fn an_edit_that_is_no_longer_waited_for_leaves_no_process() {
    let studio = Studio::open().await;
    let source = studio.make(&format!("-f lavfi -i testsrc2=s=640x480:d=60:r=30 {X264}"), "long.mp4");
    let brand = Brand::from_json(br#"{"effects":["grade"]}"#).expect("a brand");
    let edit = Edit { source: &source, brand: &brand, watermark: None, captions: None, known: None };
    let (progress, mut seen) = watch::channel(0);
    let (never, spool) = (CancellationToken::new(), studio.path("spool"));
    tokio::select! {
        _ = studio.tools.edit(&edit, &progress, &never) => panic!("it takes longer than that"),
        moved = seen.wait_for(|percent| *percent > 0) => drop(moved.expect("progress")),
    }
    // Killed at the drop; the kernel may need a moment to take the processes away.
    for _ in 0..500 {
        if processes_in(&spool).is_empty() {
            return;
        }
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("processes are left: {:?}", processes_in(&spool));
}

#[tokio::test]
async fn a_full_disk_is_the_machines_fault() {
    let mut studio = Studio::open().await;
    let small = studio.path("small");
    std::fs::create_dir(&small).expect("folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&small).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        eprintln!("not tried: mounting a small disk needs root");
        return;
    }
    let plain = studio.plain();
    studio.tools = studio.tools.clone().with_setup(|setup| setup.spool = small.clone());
    let edit = Edit { source: &plain, brand: &Brand::default(), watermark: None, captions: None, known: None };
    let fault = studio.tools.edit(&edit, &watch::channel(0).0, &CancellationToken::new()).await.expect_err("full");
    Command::new("umount").arg(&small).status().expect("unmounted");
    assert!(matches!(fault, Fault::Environment(reason) if reason.code == "disk_full"));
}

#[tokio::test]
async fn pitfall_29_a_canceled_edit_leaves_no_process_and_no_file() {
    let studio = Studio::open().await;
    let fault = midway(&studio, |running, cancel| {
        assert!(!running.is_empty());
        cancel.cancel();
    });
    assert_eq!(fault.await, Fault::Canceled);
}

#[tokio::test]
async fn a_hung_ffmpeg_is_ended() {
    let mut studio = Studio::open().await;
    studio.tools = studio.tools.clone().with_setup(|setup| setup.limits.stall = Duration::from_secs(2));
    let fault = midway(&studio, |running, _| signal(running, "-STOP"));
    assert!(matches!(fault.await, Fault::Failed(reason) if reason.code == "ffmpeg_stalled"));
}

#[tokio::test]
async fn a_killed_ffmpeg_is_a_failure_that_may_be_tried_again() {
    let studio = Studio::open().await;
    let fault = midway(&studio, |running, _| signal(running, "-KILL"));
    assert!(matches!(fault.await, Fault::Failed(reason) if reason.code == "ffmpeg_killed"));
}

/// The movie with its first track's data said to lie in `/etc/passwd`, as QuickTime's alias records do it.
fn pointed_elsewhere(mut movie: Vec<u8>) -> Vec<u8> {
    let find = |bytes: &[u8], name: &[u8]| bytes.windows(4).position(|window| window == name).expect("a box");
    let index = find(&movie, b"moov");
    let references = index + find(&movie[index..], b"dref");
    let mut alias = [&b"alis\0\0\0\0"[..], &[0; 10], b"\x04disk", &[0; 23 + 12], b"\x06passwd", &[0; 57 + 16]].concat();
    alias.extend([&b"\0\x01\0\x01"[..], &[0; 16], b"\0\x02\0\x0c/etc/passwd\0\xff\xff\0\0"].concat());
    let size = u32::try_from(alias.len() + 4).expect("small");
    let entry = [&size.to_be_bytes()[..], &alias].concat();
    for name in [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"] {
        let at = index + find(&movie[index..], name) - 4;
        let old = u32::from_be_bytes(movie[at..at + 4].try_into().expect("four"));
        movie[at..at + 4].copy_from_slice(&(old + size - 12).to_be_bytes());
    }
    movie.splice(references + 12..references + 24, entry);
    movie
}

#[tokio::test]
async fn a_movie_whose_data_lies_in_another_file_is_refused() {
    let studio = Studio::open().await;
    let movie = std::fs::read(studio.plain()).expect("bytes");
    let elsewhere = studio.file("elsewhere.mov", pointed_elsewhere(movie));
    assert_eq!(studio.refusal(&elsewhere).await, "external_reference");
}
