//! Writing JSON.

use std::io::Write;

use async_graphql::{
    Value,
    resolver_utils::{EnumType, enum_value},
};

use super::Column;

/// An object with these columns.
pub(super) fn object<T>(out: &mut Vec<u8>, columns: &[Column<T>], mut value: impl FnMut(&mut Vec<u8>, &T)) {
    let mut mark = b'{';
    for column in columns {
        out.push(mark);
        out.extend_from_slice(&column.head);
        value(out, &column.what);
        mark = b',';
    }
    out.push(b'}');
}

/// A list.
pub(super) fn list<T>(out: &mut Vec<u8>, items: &[T], mut value: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        value(out, item);
    }
    out.push(b']');
}

/// A text. Writing into memory cannot fail.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

/// A whole number.
pub(super) fn number(out: &mut Vec<u8>, number: impl Into<i64>) {
    let number: i64 = number.into();
    let _ = write!(out, "{number}");
}

/// A value of an enum by its name in GraphQL.
pub(super) fn name<T: EnumType>(out: &mut Vec<u8>, value: T) {
    match enum_value(value) {
        Value::Enum(name) => text(out, &name),
        _ => out.extend_from_slice(b"null"),
    }
}

/// A value or null.
pub(super) fn or_null<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => out.extend_from_slice(b"null"),
    }
}
