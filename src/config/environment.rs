//! The variables that configure us: flags over environment, and `NAME_FILE` for any `NAME`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::problem::Problem;

/// Variables by name. An empty one counts as not set.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<OsString, OsString>,
}

impl Environment {
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().filter_map(|name| name.to_str())
    }

    /// Whether it is set, as itself or as a file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.plain(name).is_some() || self.plain(&format!("{name}_FILE")).is_some()
    }

    /// Lays a flag over the variable of the same name, and over its `_FILE`.
    pub fn set_by_flag(&mut self, name: &str, value: impl Into<OsString>) {
        self.values.remove(OsStr::new(&format!("{name}_FILE")));
        self.values.insert(name.into(), value.into());
    }

    fn plain(&self, name: &str) -> Option<&OsStr> {
        self.values.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The value as it stands, from the variable or from the file that `NAME_FILE` names. A file's bytes come whole,
    /// with the line end that editors leave.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Problem> {
        let file_name = format!("{name}_FILE");
        match (self.plain(name), self.plain(&file_name)) {
            (Some(_), Some(_)) => {
                Err(Problem::new(name, format!("is set, and so is {file_name}; expected one of the two, so unset one")))
            }
            (Some(value), None) => Ok(Some(value.as_bytes().to_vec())),
            (None, Some(path)) => match std::fs::read(path) {
                Ok(bytes) if bytes.is_empty() => Err(Problem::new(file_name, "names a file that is empty")),
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) => {
                    Err(Problem::new(file_name, format!("expected the path of a file that can be read ({error})")))
                }
            },
            (None, None) => Ok(None),
        }
    }

    /// The value as text, without blanks around it.
    pub fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| Problem::new(name, "expected UTF-8 text"))?;
        let text = text.trim();
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    pub fn path(&self, name: &str) -> Result<Option<PathBuf>, Problem> {
        let Some(mut bytes) = self.bytes(name)? else { return Ok(None) };
        while bytes.last().is_some_and(u8::is_ascii_whitespace) {
            bytes.pop();
        }
        Ok((!bytes.is_empty()).then(|| PathBuf::from(OsString::from_vec(bytes))))
    }
}

/// Names only: any value may be a secret.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self { values: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}
