//! Redis' protocol, as much as a test's raw commands and a stand-in for a server need of it.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longer than a server on a busy machine takes for any command of a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends one command and gives its raw reply; none: the connection broke, or nothing came.
pub(crate) async fn ask(mut server: impl AsyncRead + AsyncWrite + Unpin, words: &[&str]) -> Option<String> {
    let answered = async {
        server.write_all(&encode(words)).await.ok()?;
        let mut bytes = Vec::new();
        loop {
            if let Some(length) = reply(&bytes) {
                return Some(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
            if server.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.ok()?
}

pub(crate) fn encode(words: &[impl AsRef<str>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// The first command, if it is all there, and its length.
pub(crate) fn command(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let (count, mut at) = number(bytes, 0, b'*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, start) = number(bytes, at, b'$')?;
        let end = start + usize::try_from(length).ok()?;
        words.push(String::from_utf8_lossy(bytes.get(start..end)?).into_owned());
        at = end + 2;
    }
    (at <= bytes.len()).then_some((words, at))
}

/// The length of the first reply, if it is all there.
pub(crate) fn reply(bytes: &[u8]) -> Option<usize> {
    fn end(bytes: &[u8], at: usize) -> Option<usize> {
        let kind = *bytes.get(at)?;
        match kind {
            b'$' | b'*' | b'%' | b'~' | b'>' => {
                let (length, start) = number(bytes, at, kind)?;
                let Ok(length) = usize::try_from(length) else { return Some(start) };
                match kind {
                    b'$' => Some(start + length + 2).filter(|&end| end <= bytes.len()),
                    b'%' => (0..2 * length).try_fold(start, |at, _| end(bytes, at)),
                    _ => (0..length).try_fold(start, |at, _| end(bytes, at)),
                }
            }
            _ => line(bytes, at),
        }
    }
    end(bytes, 0)
}

/// `*3\r\n` at this place: the number, and where it ends.
fn number(bytes: &[u8], at: usize, kind: u8) -> Option<(i64, usize)> {
    let end = line(bytes, at)?;
    let digits = bytes.get(at..end - 2)?.strip_prefix(&[kind])?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, end))
}

fn line(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    Some(at + rest.windows(2).position(|pair| pair == b"\r\n")? + 2)
}
