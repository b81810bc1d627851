//! Why the command ends without having done its work: one line for the person who typed it.

use std::fmt;

/// The end of a command or of a part of it.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// A sentence that says what is wrong and, where it can be known, what to do.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure in one sentence.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// An error with the words that say what was attempted.
    pub(crate) fn of(attempt: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self(format!("{attempt}: {error}"))
    }
}

impl fmt::Display for Failure {
    /// Always one line, whatever the parts below had to say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.lines().map(str::trim).filter(|line| !line.is_empty());
        f.write_str(&lines.collect::<Vec<_>>().join("; "))
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::of("it broke", "first\n\n   second\n");
        assert_eq!(failure.to_string(), "it broke: first; second");
    }
}
