//! The brand pattern: what an account wants done with its videos. Its JSON is the API's, its checks are ours.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fonts::Font;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Brand {
    #[serde(default)]
    pub watermark: Option<Watermark>,
    #[serde(default)]
    pub captions: Option<CaptionStyle>,
    /// In any order; each at most once.
    #[serde(default)]
    pub effects: Vec<Effect>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Watermark {
    /// Names uploaded bytes. This module never reads it; a run is given the image's file.
    pub image: String,
    pub corner: Corner,
    /// A share of the video's width: 0.01 to 1.
    pub width: f64,
    /// 0 (unseen) to 1.
    pub opacity: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Corner {
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaptionStyle {
    pub font: Font,
    /// Below 1: a share of the video's height, 0.01 to 0.25. From 8 to 200: points, which are pixels on a picture
    /// whose shorter side is 1080, and scale with it.
    pub size: f64,
    pub color: Color,
    pub place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    Top,
    Middle,
    Bottom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// From black at the start and to black at the end, the sound along with it.
    Fade,
    /// A little more contrast and saturation.
    Grade,
    /// 9:16, the picture before a blurred copy of itself.
    Vertical,
    /// Even loudness, -14 LUFS by default.
    Loudness,
}

/// `#RRGGBB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    pub red: u8,
    pub green: u8,
    pub blue: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrandError {
    /// From the JSON reader: names the field, what was found and what is known.
    #[error("the brand is not understood: {0}")]
    Shape(String),
    #[error("watermark.width is a share of the video's width from 0.01 to 1")]
    WatermarkWidth,
    #[error("watermark.opacity is a number from 0 to 1")]
    WatermarkOpacity,
    #[error("watermark.image is missing")]
    WatermarkImage,
    #[error("captions.size is a share of the video's height from 0.01 to 0.25, or points from 8 to 200")]
    CaptionSize,
    #[error("effects names {0:?} twice")]
    EffectTwice(Effect),
}

impl Brand {
    /// Reads and checks. Unknown fields, effects, corners, places and fonts are errors.
    pub fn from_json(json: &[u8]) -> Result<Self, BrandError> {
        // serde would take a list for the fields in their order.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(BrandError::Shape("expected an object with watermark, captions and effects".to_owned()));
        }
        let brand: Self = serde_json::from_slice(json).map_err(|error| BrandError::Shape(error.to_string()))?;
        brand.validate()?;
        Ok(brand)
    }

    pub fn validate(&self) -> Result<(), BrandError> {
        if let Some(watermark) = &self.watermark {
            if !(0.01..=1.0).contains(&watermark.width) {
                return Err(BrandError::WatermarkWidth);
            }
            if !(0.0..=1.0).contains(&watermark.opacity) {
                return Err(BrandError::WatermarkOpacity);
            }
            if watermark.image.is_empty() {
                return Err(BrandError::WatermarkImage);
            }
        }
        if let Some(captions) = &self.captions
            && !(0.01..=0.25).contains(&captions.size)
            && !(8.0..=200.0).contains(&captions.size)
        {
            return Err(BrandError::CaptionSize);
        }
        let twice = self.effects.iter().enumerate().find(|(at, effect)| self.effects[..*at].contains(effect));
        twice.map_or(Ok(()), |(_, effect)| Err(BrandError::EffectTwice(*effect)))
    }

    pub fn has(&self, effect: Effect) -> bool {
        self.effects.contains(&effect)
    }
}

impl CaptionStyle {
    /// Pixels on a picture of this size.
    pub(super) fn pixels(&self, width: u32, height: u32) -> f64 {
        if self.size < 1.0 { self.size * f64::from(height) } else { self.size * f64::from(width.min(height)) / 1080.0 }
    }
}

impl Color {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
        let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
        let sound = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        sound.then_some(())?;
        Some(Self { red: part(0)?, green: part(2)?, blue: part(4)? })
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a color is written #RRGGBB"))
    }
}

impl Serialize for Color {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("#{:02X}{:02X}{:02X}", self.red, self.green, self.blue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r##"{"watermark":{"image":"wm_1","corner":"bottomRight","width":0.2,"opacity":0.8},
        "captions":{"font":"sansBold","size":0.05,"color":"#FFCC00","place":"bottom"},
        "effects":["fade","grade","vertical","loudness"]}"##;

    fn message(json: &str) -> String {
        Brand::from_json(json.as_bytes()).expect_err("refused").to_string()
    }

    #[test]
    fn a_brand_comes_back_as_it_was_given() {
        let brand = Brand::from_json(FULL.as_bytes()).expect("a brand");
        let given: serde_json::Value = serde_json::from_str(FULL).expect("json");
        assert_eq!(serde_json::to_value(&brand).expect("json"), given);
        let empty = Brand::from_json(br#"{"watermark":null,"captions":null,"effects":[]}"#).expect("a brand");
        assert_eq!(empty, Brand::default());
    }

    #[test]
    fn each_mistake_in_a_brand_is_named() {
        for (from, to, says) in [
            ("\"fade\"", "\"sparkle\"", "unknown variant `sparkle`"),
            ("\"fade\"", "\"grade\"", "twice"),
            ("bottomRight", "bottom-right", "`topLeft`, `topRight`, `bottomLeft`, `bottomRight`"),
            ("\"width\":0.2", "\"width\":1.2", "watermark.width"),
            ("\"opacity\":0.8", "\"opacity\":-1", "watermark.opacity"),
            ("0.05", "0.5", "captions.size"),
            ("#FFCC00", "#FC0", "#RRGGBB"),
            ("#FFCC00", "#+F+F+F", "#RRGGBB"),
            ("sansBold", "Comic Sans", "`sans`, `sansBold`, `serif`, `mono`"),
            ("\"image\"", "\"url\"", "unknown field `url`"),
        ] {
            let text = message(&FULL.replacen(from, to, 1));
            assert!(text.contains(says), "{to}: {text}");
        }
    }

    #[test]
    fn a_caption_size_is_a_share_of_the_height_or_points() {
        let style =
            |size| CaptionStyle { size, ..Brand::from_json(FULL.as_bytes()).expect("ok").captions.expect("ok") };
        assert_eq!(style(0.05).pixels(1080, 1920).round(), 96.0);
        assert_eq!(style(48.0).pixels(1080, 1920).round(), 48.0);
        assert_eq!(style(48.0).pixels(540, 960).round(), 24.0);
    }
}
