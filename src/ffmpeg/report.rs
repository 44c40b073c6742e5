//! ffprobe's report, as far as we read it.

use serde::{Deserialize, Serialize};

/// Frames a second as a fraction, so that 30000/1001 stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fps {
    pub num: u32,
    pub den: u32,
}

impl Fps {
    pub fn new(num: u32, den: u32) -> Self {
        Self { num, den }
    }

    pub fn value(self) -> f64 {
        f64::from(self.num) / f64::from(self.den.max(1))
    }

    fn parse(text: &str) -> Option<Self> {
        let (num, den) = text.split_once('/')?;
        let rate = Self { num: num.parse().ok()?, den: den.parse().ok()? };
        (rate.num > 0 && rate.den > 0).then_some(rate)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    pub(super) streams: Vec<Stream>,
    pub(super) format: Format,
    /// Where they were asked for.
    pub(super) packets: Option<Vec<Packet>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Packet {
    pub(super) stream_index: Option<u32>,
    pts_time: Option<String>,
    dts_time: Option<String>,
    duration_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Format {
    pub(super) duration: Option<String>,
    pub(super) start_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stream {
    pub(super) index: u32,
    pub(super) codec_type: String,
    pub(super) codec_name: String,
    pub(super) profile: Option<String>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) sample_aspect_ratio: Option<String>,
    pub(super) pix_fmt: Option<String>,
    pub(super) color_range: Option<String>,
    pub(super) color_space: Option<String>,
    pub(super) color_transfer: Option<String>,
    pub(super) field_order: Option<String>,
    pub(super) r_frame_rate: String,
    pub(super) avg_frame_rate: String,
    pub(super) duration: Option<String>,
    pub(super) sample_rate: Option<String>,
    pub(super) channels: u32,
    pub(super) disposition: Disposition,
    pub(super) side_data_list: Vec<SideData>,
    pub(super) tags: Tags,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Disposition {
    pub(super) default: u8,
    pub(super) attached_pic: u8,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SideData {
    rotation: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tags {
    rotate: Option<String>,
    #[serde(rename = "DURATION")]
    duration: Option<String>,
}

impl Report {
    /// The stream that players would show: the first that is marked as default, else the first. Cover art is none.
    pub(super) fn stream(&self, kind: &str) -> Option<&Stream> {
        let wanted = |stream: &&Stream| stream.codec_type == kind && stream.disposition.attached_pic == 0;
        let marked = self.streams.iter().filter(wanted).find(|stream| stream.disposition.default == 1);
        marked.or_else(|| self.streams.iter().find(wanted))
    }
}

impl Packet {
    /// `stream_index=0|pts_time=1.966667|dts_time=1.966667|duration_time=0.033333`
    pub(super) fn from_line(line: &str) -> Self {
        let mut packet = Self::default();
        for (name, value) in line.split('|').filter_map(|field| field.split_once('=')) {
            match name {
                "stream_index" => packet.stream_index = value.parse().ok(),
                "pts_time" => packet.pts_time = Some(value.to_owned()),
                "dts_time" => packet.dts_time = Some(value.to_owned()),
                "duration_time" => packet.duration_time = Some(value.to_owned()),
                _ => {}
            }
        }
        packet
    }

    pub(super) fn end(&self) -> Option<f64> {
        let begins = seconds(self.pts_time.as_deref()).or_else(|| seconds(self.dts_time.as_deref()))?;
        Some(begins + seconds(self.duration_time.as_deref()).unwrap_or(0.0))
    }
}

impl Stream {
    /// Degrees clockwise that the frames are to be turned by: 0, 90, 180 or 270.
    pub(super) fn rotation(&self) -> u16 {
        let matrix = self.side_data_list.iter().find_map(|data| data.rotation).map(|degrees| -degrees);
        let tag = || self.tags.rotate.as_deref().and_then(|degrees| degrees.parse::<f64>().ok());
        let degrees = matrix.or_else(tag).filter(|degrees| degrees.is_finite()).unwrap_or(0.0);
        let quarters = (degrees / 90.0).round().rem_euclid(4.0);
        [0, 90, 180, 270].into_iter().nth(quarters as usize).unwrap_or(0)
    }

    /// Width of a pixel over its height.
    pub(super) fn pixel_aspect(&self) -> f64 {
        let ratio = self.sample_aspect_ratio.as_deref().and_then(|text| text.split_once(':'));
        let ratio = ratio.and_then(|(w, h)| Some(w.parse::<f64>().ok()? / h.parse::<f64>().ok()?));
        ratio.filter(|ratio| (0.1..=10.0).contains(ratio)).unwrap_or(1.0)
    }

    pub(super) fn average_fps(&self) -> Option<Fps> {
        Fps::parse(&self.avg_frame_rate)
    }

    /// The lowest rate at which every frame's time can be written: far above the average when the rate varies.
    pub(super) fn base_fps(&self) -> Option<Fps> {
        Fps::parse(&self.r_frame_rate)
    }

    pub(super) fn seconds(&self) -> Option<f64> {
        seconds(self.duration.as_deref()).or_else(|| clock(self.tags.duration.as_deref()?))
    }
}

pub(super) fn seconds(text: Option<&str>) -> Option<f64> {
    text?.parse::<f64>().ok().filter(|seconds| seconds.is_finite())
}

/// `00:00:02.000000000`, as Matroska's statistics have it.
fn clock(text: &str) -> Option<f64> {
    text.split(':').try_fold(0.0, |total, part| Some(total * 60.0 + part.parse::<f64>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_clockwise_wherever_it_is_written() {
        let stream = |json: &str| serde_json::from_str::<Stream>(json).expect("a stream").rotation();
        assert_eq!(stream(r#"{"side_data_list":[{"side_data_type":"x"},{"rotation":-90}]}"#), 90);
        assert_eq!(stream(r#"{"side_data_list":[{"rotation":90}]}"#), 270);
        assert_eq!(stream(r#"{"side_data_list":[{"rotation":-180}]}"#), 180);
        assert_eq!(stream(r#"{"tags":{"rotate":"90"}}"#), 90);
        assert_eq!(stream("{}"), 0);
    }

    #[test]
    fn cover_art_is_no_video() {
        let json = r#"{"streams":[{"index":0,"codec_type":"video","disposition":{"attached_pic":1}},
            {"index":1,"codec_type":"audio","disposition":{"default":0}},
            {"index":2,"codec_type":"audio","disposition":{"default":1}}]}"#;
        let report: Report = serde_json::from_str(json).expect("a report");
        assert!(report.stream("video").is_none());
        assert_eq!(report.stream("audio").map(|stream| stream.index), Some(2));
    }
}
