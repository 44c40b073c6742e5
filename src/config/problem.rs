//! One thing that is wrong with the configuration.

use std::fmt;

/// Names the key or variable, says what was expected and how to set it. Holds no secret: whoever makes one never puts
/// the value of a variable that may be secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    name: String,
    text: String,
}

impl Problem {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The variable or key that it is about.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

impl std::error::Error for Problem {}
