//! What is said to people. A reader that has gone away, as in `tallygate … | head -1`, is no reason to fail.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// A line of result, on standard output.
pub(crate) fn result(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// A line beside the result, on standard error.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
