//! A brand as a client sends it, made into the one that is kept.
//!
//! The watermark's image is uploaded bytes, named by their SHA-256. A brand that leaves the name out means the account's
//! image; the name is written into what is kept, so that a video goes on with the image that it was sent with.

use serde_json::{Value, json};

use crate::ffmpeg::Brand;
use crate::outcome::Reason;

/// `image` is the name of the account's image, if it has one.
pub fn whole_brand(mut brand: Value, image: Option<&str>) -> Result<Value, Reason> {
    if let Some(Value::Object(watermark)) = brand.get_mut("watermark") {
        let asked = watermark.get("image").cloned().unwrap_or(Value::Null);
        let name = image.ok_or_else(|| {
            let text = "the account has no watermark image yet; upload one with PUT /api/accounts/{id}/brand/watermark";
            Reason::new("no_watermark", text)
        })?;
        if !matches!(asked, Value::Null | Value::Bool(true)) && asked != *name {
            let text =
                "watermark.image has to be the name that PUT …/brand/watermark answered, or left out; never a URL";
            return Err(Reason::new("brand_invalid", text));
        }
        watermark.insert("image".to_owned(), json!(name));
    }
    let unfit = |text: String| Reason::new("brand_invalid", text);
    let brand: Brand = serde_json::from_value(brand).map_err(|error| unfit(format!("the brand: {error}")))?;
    brand.validate().map_err(|error| unfit(error.to_string()))?;
    serde_json::to_value(&brand).map_err(|error| unfit(error.to_string()))
}
