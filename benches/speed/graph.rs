//! All parts of a brand in one filter graph, beside the same parts in runs of their own, each on what the one before made.

use std::path::Path;
use std::time::Instant;

use subiteya::ffmpeg::{Brand, Captions, Edit, Rendered, Setup, Tools};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bare::{Took, children};
use crate::report::{Line, median};
use crate::{Extent, clips};

const WATERMARK: &str = r#"{"image":"logo.png","corner":"topRight","width":0.2,"opacity":0.8}"#;
const CAPTIONS: &str = r##"{"font":"sans","size":0.04,"color":"#FFFFFF","place":"bottom"}"##;
const CUES: &str = "1\n00:00:00,000 --> 00:00:02,000\nHow fast is it?\n\n2\n00:00:02,000 --> 00:10:00,000\nThis fast\n";

/// A brand with nothing, and then each part alone, in the order in which the graph has them.
const PARTS: [(&str, &str, &str); 6] = [
    ("null", "null", r#"["vertical"]"#),
    ("null", "null", r#"["grade"]"#),
    (WATERMARK, "null", "[]"),
    ("null", CAPTIONS, "[]"),
    ("null", "null", r#"["fade"]"#),
    ("null", "null", r#"["loudness"]"#),
];

pub(crate) async fn run(extent: Extent) -> Vec<Line> {
    let folder = tempfile::tempdir().expect("a folder");
    let clip = clips::noisy(folder.path(), extent.of("1920x1080", "640x360"), extent.of(10, 1));
    let logo = clips::watermark(folder.path());
    let tools = Tools::find(Setup::new(folder.path().join("spool"))).await.expect("FFmpeg");
    let all = brand(WATERMARK, CAPTIONS, r#"["fade","grade","vertical","loudness"]"#);
    let (mut once, mut apart) = (Vec::new(), Vec::new());
    for _ in 0..extent.pairs.min(extent.of(2, 1)) {
        let (began, before) = (Instant::now(), children());
        let made = render(&tools, &clip, &all, &logo).await;
        once.push(Took { wall: began.elapsed().as_secs_f64(), cpu: children() - before });
        drop(made);
        let (began, before) = (Instant::now(), children());
        let mut last: Option<Rendered> = None;
        for (watermark, captions, effects) in PARTS {
            let source = last.as_ref().map_or(clip.as_path(), Rendered::video);
            let made = render(&tools, source, &brand(watermark, captions, effects), &logo).await;
            last = Some(made);
        }
        apart.push(Took { wall: began.elapsed().as_secs_f64(), cpu: children() - before });
    }
    let args = made_by(&tools, &clip, &all, &logo).await;
    let count = |word: &str| args.iter().filter(|arg| *arg == word).count();
    let (decodes, encodes) = (count("input"), count("libx264"));
    let of = |took: &[Took], which: fn(&Took) -> f64| median(&took.iter().map(which).collect::<Vec<_>>());
    let told = |took: &[Took]| format!("{:.1} CPU s, {:.1} s", of(took, |took| took.cpu), of(took, |took| took.wall));
    let ratio = of(&once, |took| took.cpu) / of(&apart, |took| took.cpu);
    vec![Line {
        what: format!("all brand parts on {} s of 1920x1080", extent.of(10, 1)),
        anchor: format!("{} runs, one a part: {}", PARTS.len(), told(&apart)),
        ours: format!("{}; {decodes} decode, {encodes} encode", told(&once)),
        reach: format!("one decode, one encode; {ratio:.2} of the CPU"),
        holds: Some(decodes == 1 && encodes == 1 && ratio < 1.0),
    }]
}

fn brand(watermark: &str, captions: &str, effects: &str) -> Brand {
    let json = format!(r#"{{"watermark":{watermark},"captions":{captions},"effects":{effects}}}"#);
    Brand::from_json(json.as_bytes()).expect("a brand")
}

async fn render(tools: &Tools, source: &Path, brand: &Brand, logo: &Path) -> Rendered {
    let cues = Captions::parse(CUES.as_bytes()).expect("captions");
    let watermark = brand.watermark.as_ref().map(|_| logo);
    let edit = Edit { source, brand, watermark, captions: Some(&cues), known: None };
    tools.render(&edit, &watch::channel(0).0, &CancellationToken::new()).await.expect("rendered")
}

/// The arguments of the one run.
async fn made_by(tools: &Tools, source: &Path, brand: &Brand, logo: &Path) -> Vec<String> {
    let made = render(tools, source, brand, logo).await;
    tools.finish(made, &CancellationToken::new()).await.expect("checked").plan.args
}
