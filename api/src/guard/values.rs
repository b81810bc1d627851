//! What the variables of a request may look like.

use serde_json::{Map, Value};

use super::{MAX_VARIABLES, Refused};

/// Longest variables as JSON, in bytes, unless usage is recorded: then the limit of the body is enough.
const MAX_BYTES: usize = 64 * 1024;
/// Deepest nesting, the object of the variables included.
const MAX_DEPTH: usize = 8;
/// Longest text, in bytes.
const MAX_TEXT: usize = 16 * 1024;
/// Most items of a list, unless usage is recorded: the use-case judges those, because it can say which field is at fault.
const MAX_ITEMS: usize = 1_000;

/// How much room the variables of an operation are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// The usual.
    Usual,
    /// Batches of usage.
    Usage,
}

/// Checks variables that came as so many bytes of JSON. The reader of JSON has bounded the recursion.
pub(crate) fn check_variables(
    variables: &Map<String, Value>,
    bytes: usize,
    room: Room,
) -> Result<(), Refused> {
    at_most(variables.len(), MAX_VARIABLES, "names")?;
    if room == Room::Usual {
        at_most(bytes, MAX_BYTES, "bytes")?;
    }
    variables.iter().try_for_each(|(name, value)| {
        text(name)?;
        check(value, 2, room)
    })
}

fn check(value: &Value, depth: usize, room: Room) -> Result<(), Refused> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(value) => text(value),
        Value::Array(items) => {
            at_most(depth, MAX_DEPTH, "levels")?;
            if room == Room::Usual {
                at_most(items.len(), MAX_ITEMS, "items in a list")?;
            }
            items.iter().try_for_each(|item| check(item, depth + 1, room))
        }
        Value::Object(fields) => {
            at_most(depth, MAX_DEPTH, "levels")?;
            fields.iter().try_for_each(|(name, value)| {
                text(name)?;
                check(value, depth + 1, room)
            })
        }
    }
}

fn text(text: &str) -> Result<(), Refused> {
    at_most(text.len(), MAX_TEXT, "bytes in a text")?;
    if text.contains('\0') {
        return Err(Refused::Nul);
    }
    Ok(())
}

fn at_most(count: usize, most: usize, what: &'static str) -> Result<(), Refused> {
    if count > most {
        return Err(Refused::Variables { most, what });
    }
    Ok(())
}
