//! The fonts that captions may use: a short list of names, each with the families that may stand for it.
//!
//! A user chooses a name. At start each name is looked up in the font folders; the first family that is there stands
//! for it. A run gets the one file, under a fixed name, in its private folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Font {
    Sans,
    SansBold,
    Serif,
    Mono,
}

struct Family {
    font: Font,
    file: &'static str,
    name: &'static str,
}

const fn family(font: Font, file: &'static str, name: &'static str) -> Family {
    Family { font, file, name }
}

/// In the order in which they are tried.
const FAMILIES: [Family; 17] = [
    family(Font::Sans, "DejaVuSans.ttf", "DejaVu Sans"),
    family(Font::Sans, "NotoSans-Regular.ttf", "Noto Sans"),
    family(Font::Sans, "LiberationSans-Regular.ttf", "Liberation Sans"),
    family(Font::Sans, "Arial.ttf", "Arial"),
    family(Font::SansBold, "DejaVuSans-Bold.ttf", "DejaVu Sans"),
    family(Font::SansBold, "NotoSans-Bold.ttf", "Noto Sans"),
    family(Font::SansBold, "LiberationSans-Bold.ttf", "Liberation Sans"),
    family(Font::SansBold, "Arial Bold.ttf", "Arial"),
    family(Font::Serif, "DejaVuSerif.ttf", "DejaVu Serif"),
    family(Font::Serif, "NotoSerif-Regular.ttf", "Noto Serif"),
    family(Font::Serif, "LiberationSerif-Regular.ttf", "Liberation Serif"),
    family(Font::Serif, "Times New Roman.ttf", "Times New Roman"),
    family(Font::Mono, "DejaVuSansMono.ttf", "DejaVu Sans Mono"),
    family(Font::Mono, "NotoSansMono-Regular.ttf", "Noto Sans Mono"),
    family(Font::Mono, "LiberationMono-Regular.ttf", "Liberation Mono"),
    family(Font::Mono, "Andale Mono.ttf", "Andale Mono"),
    family(Font::Mono, "Courier New.ttf", "Courier New"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) file: PathBuf,
    pub(super) family: &'static str,
    pub(super) bold: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Fonts {
    faces: BTreeMap<Font, Face>,
}

impl Fonts {
    pub(super) fn find(folders: &[PathBuf]) -> Self {
        let mut files = BTreeMap::new();
        for folder in folders {
            collect(folder, 5, &mut files);
        }
        let mut faces = BTreeMap::new();
        for Family { font, file, name } in FAMILIES {
            if let Some(path) = files.get(file) {
                let bold = font == Font::SansBold;
                faces.entry(font).or_insert(Face { file: path.clone(), family: name, bold });
            }
        }
        Self { faces }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faces.is_empty()
    }

    /// The face that stands for `font`; where it is missing, the first that is there.
    pub(super) fn face(&self, font: Font) -> Option<&Face> {
        self.faces.get(&font).or_else(|| self.faces.values().next())
    }
}

fn collect(folder: &Path, depth: u8, files: &mut BTreeMap<String, PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && depth > 0 {
            collect(&path, depth - 1, files);
        } else if let Some(name) = entry.file_name().to_str().filter(|name| FAMILIES.iter().any(|f| f.file == *name)) {
            files.entry(name.to_owned()).or_insert(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_font_that_is_missing_is_stood_for_by_one_that_is_there() {
        let folder = tempfile::tempdir().expect("folder");
        let nested = folder.path().join("truetype/liberation");
        std::fs::create_dir_all(&nested).expect("folders");
        std::fs::write(nested.join("LiberationSerif-Regular.ttf"), b"").expect("file");
        let fonts = Fonts::find(&[folder.path().to_owned(), PathBuf::from("/nowhere")]);
        assert_eq!(fonts.face(Font::Mono).map(|face| face.family), Some("Liberation Serif"));
        assert!(Fonts::find(&[]).is_empty());
    }
}
