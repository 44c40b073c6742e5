//! The one filter graph: picture and sound, in the order in which each step needs what came before.

use super::brand::{Brand, Corner, Effect, Watermark};
use super::frame::Layout;
use super::image::Image;
use super::probe::Probe;
use super::report::Fps;

pub(super) struct Picture<'a> {
    pub(super) probe: &'a Probe,
    pub(super) brand: &'a Brand,
    pub(super) layout: Layout,
    pub(super) fps: Fps,
    pub(super) captions: bool,
    pub(super) watermark: Option<Image>,
    pub(super) tone_maps: bool,
}

impl Picture<'_> {
    /// From the source's stream to `[v]`. Rotation is FFmpeg's own: it turns frames before they enter the graph.
    pub(super) fn graph(&self) -> String {
        let (canvas, picture) = (self.layout.canvas, self.layout.picture);
        let mut base = vec![format!("[0:{}]fps={}/{}", self.probe.video_stream, self.fps.num, self.fps.den)];
        if self.probe.interlaced {
            base.push("yadif".to_owned());
        }
        base.extend(self.colors());
        base.push("setsar=1".to_owned());
        let mut graph = base.join(",");
        if canvas != picture && self.brand.has(Effect::Vertical) {
            let (w, h) = (canvas.0 / 4, canvas.1 / 4);
            graph.push_str(&format!(
                ",split=2[front][copy];[copy]scale={w}:{h}:force_original_aspect_ratio=increase,crop={w}:{h},\
                 boxblur=8:2,eq=brightness=-0.06,scale={}:{}:flags=bilinear,setsar=1,format=yuv420p[back];\
                 [back][front]overlay=(W-w)/2:(H-h)/2",
                canvas.0, canvas.1
            ));
        } else if canvas != picture {
            graph.push_str(&format!(",pad={}:{}:(ow-iw)/2:(oh-ih)/2", canvas.0, canvas.1));
        }
        if self.brand.has(Effect::Grade) {
            graph.push_str(",eq=contrast=1.06:saturation=1.15:gamma=1.02");
        }
        if let (Some(watermark), Some(image)) = (&self.brand.watermark, self.watermark) {
            graph = self.watermarked(&graph, watermark, image);
        }
        if self.captions {
            graph.push_str(",ass=filename=captions.ass:fontsdir=fonts");
        }
        if self.brand.has(Effect::Fade) {
            let (lasts, out) = fade(self.probe.video_duration.as_secs_f64());
            graph.push_str(&format!(",fade=t=in:st=0:d={lasts:.3},fade=t=out:st={out:.3}:d={lasts:.3}"));
        }
        graph.push_str(",format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709[v]");
        graph
    }

    /// To the picture's size in 8-bit BT.709.
    fn colors(&self) -> Vec<String> {
        let (w, h) = self.layout.picture;
        if self.probe.hdr && self.tone_maps {
            let transfer = if self.probe.color_transfer == "arib-std-b67" { "arib-std-b67" } else { "smpte2084" };
            let range = if self.probe.full_range { "full" } else { "limited" };
            return vec![
                format!("zscale={w}:{h}:tin={transfer}:min=bt2020nc:pin=bt2020:rin={range}:t=linear:npl=100"),
                "format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0".to_owned(),
                "zscale=t=bt709:m=bt709:r=limited,format=yuv420p".to_owned(),
            ];
        }
        let matrix = match self.probe.color_matrix.as_str() {
            "smpte170m" | "bt470bg" => ":in_color_matrix=bt601:out_color_matrix=bt709",
            "bt2020nc" | "bt2020c" => ":in_color_matrix=bt2020:out_color_matrix=bt709",
            // Untagged small pictures are BT.601 to every player, and come out larger, where they would be BT.709.
            "" | "unknown" if self.probe.width.min(self.probe.height) < 720 => {
                ":in_color_matrix=bt601:out_color_matrix=bt709"
            }
            _ => "",
        };
        vec![format!("scale={w}:{h}:flags=bicubic{matrix}:out_range=tv"), "format=yuv420p".to_owned()]
    }

    fn watermarked(&self, graph: &str, watermark: &Watermark, image: Image) -> String {
        let (canvas_w, canvas_h) = (f64::from(self.layout.canvas.0), f64::from(self.layout.canvas.1));
        let margin = (canvas_w.min(canvas_h) * 0.03).round();
        let shape = f64::from(image.height) / f64::from(image.width);
        let wide = (canvas_w * watermark.width).min((canvas_h - 2.0 * margin) / shape).max(2.0);
        let (w, h) = (wide.round(), (wide * shape).round().max(2.0));
        let x = if w + margin > canvas_w { "(W-w)/2".to_owned() } else { format!("{margin}") };
        let (right, bottom) = (format!("W-w-{x}"), format!("H-h-{margin}"));
        let (x, y) = match watermark.corner {
            Corner::TopLeft => (x, format!("{margin}")),
            Corner::TopRight => (right, format!("{margin}")),
            Corner::BottomLeft => (x, bottom),
            Corner::BottomRight => (right, bottom),
        };
        let opacity = watermark.opacity;
        format!(
            "[1:v]format=rgba,colorchannelmixer=aa={opacity:.3},scale={w}:{h}:out_color_matrix=bt709:out_range=tv,\
             format=yuva420p[mark];{graph}[plain];[plain][mark]overlay={x}:{y}"
        )
    }
}

/// From the source's sound to `[a]`, in 48 kHz stereo.
pub(super) fn sound(probe: &Probe, brand: &Brand, stream: u32, loudness: f32) -> String {
    let mut graph = format!("[0:{stream}]aresample=48000:async=1");
    if brand.has(Effect::Loudness) {
        graph.push_str(&format!(",loudnorm=I={loudness:.1}:TP=-1.5:LRA=11,aresample=48000"));
    }
    if brand.has(Effect::Fade) {
        let (lasts, out) = fade(probe.duration.as_secs_f64());
        graph.push_str(&format!(",afade=t=in:st=0:d={lasts:.3},afade=t=out:st={out:.3}:d={lasts:.3}"));
    }
    graph.push_str(",aformat=sample_rates=48000:channel_layouts=stereo[a]");
    graph
}

/// As long as the picture.
pub(super) fn silence(probe: &Probe) -> String {
    let seconds = probe.video_duration.as_secs_f64();
    format!("anullsrc=channel_layout=stereo:sample_rate=48000,atrim=duration={seconds:.3}[a]")
}

/// Seconds.
pub(super) const LONGEST_FADE: f64 = 0.5;

/// How long a fade lasts, and where the one at the end begins.
fn fade(seconds: f64) -> (f64, f64) {
    let lasts = (seconds / 4.0).min(LONGEST_FADE);
    (lasts, (seconds - lasts).max(0.0))
}
