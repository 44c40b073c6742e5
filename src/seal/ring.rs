//! The keys of ENCRYPTION_KEY as a ring, newest first.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::EncryptionKeys;

const LENGTH: usize = 32;

pub(super) struct Key {
    pub(super) id: String,
    pub(super) bytes: Zeroizing<[u8; LENGTH]>,
}

/// At least one key. `Debug` shows ids only.
pub struct KeyRing {
    newest: Key,
    older: Vec<Key>,
}

impl KeyRing {
    /// The newest first, as ENCRYPTION_KEY lists them.
    pub fn of(keys: &EncryptionKeys) -> Self {
        let mut keys = keys.iter().map(|bytes| named(Zeroizing::new(*bytes)));
        // There is at least one, by EncryptionKeys' own rule.
        let newest = keys.next().unwrap_or_else(|| named(Zeroizing::new([0; LENGTH])));
        Self { newest, older: keys.collect() }
    }

    /// The newest key's id is the first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.newest).chain(&self.older).map(|key| key.id.as_str())
    }

    pub(super) fn newest(&self) -> &Key {
        &self.newest
    }

    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        std::iter::once(&self.newest).chain(&self.older).find(|key| key.id == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// The id tells keys apart and gives nothing of them away.
fn named(bytes: Zeroizing<[u8; LENGTH]>) -> Key {
    let mut hash = Sha256::new();
    hash.update(b"subiteya key id");
    hash.update(bytes.as_slice());
    let id = hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Key { id, bytes }
}
