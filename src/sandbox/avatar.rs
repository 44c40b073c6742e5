//! A creator's picture: a pattern of their own, drawn as a PNG.

use sha2::{Digest, Sha256};

/// Fields a side of the pattern, which mirrors itself, and pixels a side of a field.
const FIELDS: usize = 5;
const FIELD: usize = 20;
const SIDE: usize = FIELDS * FIELD;

pub(super) fn png(open_id: &str) -> Vec<u8> {
    let hash = Sha256::digest(open_id.as_bytes());
    let ink = [hash[0] | 0x40, hash[1] / 2, hash[2] | 0x40];
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let side = (SIDE as u32).to_be_bytes();
    // Eight bits a pixel, each the number of a colour.
    chunk(&mut file, b"IHDR", &[&side[..], &side, &[8, 3, 0, 0, 0]].concat());
    chunk(&mut file, b"PLTE", &[&[0xf2, 0xf0, 0xec][..], &ink].concat());
    chunk(&mut file, b"IDAT", &stored(&pixels(&hash)));
    chunk(&mut file, b"IEND", &[]);
    file
}

/// Rows, each after the byte that says "not filtered".
fn pixels(hash: &[u8]) -> Vec<u8> {
    let inked = |x: usize, y: usize| {
        let (column, row) = (x / FIELD, y / FIELD);
        hash[3 + row * 3 + column.min(FIELDS - 1 - column)] & 1
    };
    (0..SIDE).flat_map(|y| std::iter::once(0).chain((0..SIDE).map(move |x| inked(x, y)))).collect()
}

/// A zlib stream of one stored block, which holds up to 65,535 bytes.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u16;
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    let head = [&[0x78, 0x01, 0x01][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    [&head, bytes, &((b << 16) | a).to_be_bytes()].concat()
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let begin = file.len();
    file.extend(kind);
    file.extend(data);
    let check = crc(&file[begin..]);
    file.extend(check.to_be_bytes());
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_a_png_of_ones_own() {
        let ada = png("ada");
        assert!(ada.starts_with(b"\x89PNG\r\n\x1a\n") && ada != png("bob"));
        // The end of every PNG: an empty IEND and its known check sum.
        assert!(ada.ends_with(&[0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]));
        assert_eq!(pixels(&[1; 32]).len(), SIDE * (SIDE + 1));
    }
}
