//! The arguments of a plain field: each a variable of its own, or a literal.

use std::{collections::BTreeSet, fmt};

use async_graphql::parser::types::{Field, OperationDefinition};
use async_graphql_value::Value;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, Visitor},
};
use serde_json::Value as Json;

use super::{MAX_VARIABLES, is_flat};

/// An argument that a field knows: its name, and the types that its variable may have.
pub(super) type Known = (&'static str, [&'static str; 2]);

/// Where the values of a field's arguments come from.
pub(super) struct Arguments<const N: usize>([Argument; N]);

#[derive(Default)]
enum Argument {
    #[default]
    Absent,
    Literal(Json),
    Variable {
        name: String,
        required: bool,
    },
}

impl<const N: usize> Arguments<N> {
    /// Those of a field that knows these. `None`: one is unknown, repeated, or not plain.
    pub(super) fn of(operation: &OperationDefinition, field: &Field, known: &[Known; N]) -> Option<Self> {
        let mut arguments: [Argument; N] = std::array::from_fn(|_| Argument::Absent);
        let mut used = 0;
        for (name, value) in &field.arguments {
            let index = known.iter().position(|(known, _)| name.node == *known)?;
            if !matches!(arguments[index], Argument::Absent) {
                return None;
            }
            let types = known[index].1;
            arguments[index] = match &value.node {
                Value::Variable(variable) => {
                    used += 1;
                    Argument::of_variable(operation, variable, types)?
                }
                literal => Argument::Literal(plain_literal(literal, types)?),
            };
        }
        // Each variable is used once, and each that is defined is used.
        let names: BTreeSet<_> = arguments.iter().filter_map(Argument::variable).collect();
        (names.len() == used && used == operation.variable_definitions.len()).then_some(Self(arguments))
    }

    /// Whether one of them is given by the document.
    pub(super) fn has(&self, index: usize) -> bool {
        !matches!(self.0[index], Argument::Absent)
    }

    /// Their values; null counts as absent. `None`: a required one is missing, or the variables are not plain.
    pub(super) fn read(&self, json: &str) -> Option<[Option<Json>; N]> {
        if json.len() > MAX_VARIABLES {
            return None;
        }
        let mut reader = serde_json::Deserializer::from_str(json);
        let mut given = self.deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        for (argument, given) in self.0.iter().zip(&mut given) {
            match argument {
                Argument::Variable { required: true, .. } if given.is_none() => return None,
                Argument::Literal(literal) => *given = Some(literal.clone()),
                Argument::Variable { .. } | Argument::Absent => {}
            }
        }
        Some(given)
    }
}

/// A literal that both ways read alike: a text, or for numbers of entries a number.
fn plain_literal(literal: &Value, types: [&str; 2]) -> Option<Json> {
    match (literal, types[0]) {
        (_, "JSON") => None,
        (Value::String(text), _) => Some(Json::from(text.as_str())),
        (Value::Number(number), "SafeInt") => Some(Json::Number(number.clone())),
        _ => None,
    }
}

/// A value that must be a text, if there is any. `None`: it is none.
pub(super) fn text(given: Option<Json>) -> Option<Option<String>> {
    match given {
        None => Some(None),
        Some(Json::String(text)) => Some(Some(text)),
        Some(_) => None,
    }
}

impl Argument {
    fn of_variable(operation: &OperationDefinition, name: &str, types: [&str; 2]) -> Option<Self> {
        let mut definitions = operation
            .variable_definitions
            .iter()
            .map(|definition| &definition.node)
            .filter(|definition| definition.name.node == name);
        let (Some(definition), None) = (definitions.next(), definitions.next()) else {
            return None;
        };
        let kind = definition.var_type.node.to_string();
        types.contains(&kind.as_str()).then(|| Self::Variable {
            name: name.to_owned(),
            required: kind.ends_with('!'),
        })
    }

    fn variable(&self) -> Option<&str> {
        match self {
            Self::Variable { name, .. } => Some(name),
            Self::Absent | Self::Literal(_) => None,
        }
    }
}

/// Reads variables into the places of their arguments.
impl<'de, const N: usize> DeserializeSeed<'de> for &Arguments<N> {
    type Value = [Option<Json>; N];

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for &Arguments<N> {
    type Value = [Option<Json>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of variables")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut given: Self::Value = std::array::from_fn(|_| None);
        let mut seen = [false; N];
        while let Some(name) = map.next_key::<String>()? {
            let index = self
                .0
                .iter()
                .position(|argument| argument.variable() == Some(&name))
                .ok_or_else(|| A::Error::custom("another variable"))?;
            if std::mem::replace(&mut seen[index], true) {
                return Err(A::Error::custom("a variable twice"));
            }
            let value: Option<Json> = map.next_value()?;
            if !value.as_ref().is_none_or(is_flat) {
                return Err(A::Error::custom("not plain"));
            }
            given[index] = value;
        }
        Ok(given)
    }
}
