//! `entitlement` with its arguments in variables or as literal texts.

use std::fmt;

use app::{Actor, App};
use async_graphql::{
    ID, Positioned, Response as Answer,
    parser::types::{Field, OperationDefinition},
};
use async_graphql_value::Value;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, Visitor},
};

use super::{Column, MAX_CHECK, Place, columns, is_flat, json, leaf};
use crate::graphql::{
    gate::{self, EntitlementCheckInput, Entitlement},
    scalar::{Decimal, Json},
};

/// The question of a request.
pub(crate) type Question = EntitlementCheckInput;

/// The arguments, and the types that their variables may have.
const ARGUMENTS: [(&str, [&str; 2]); COUNT] = [
    ("customerId", ["ID", "ID!"]),
    ("externalCustomerId", ["String", "String!"]),
    ("metricKey", ["String!", "String!"]),
    ("units", ["Decimal", "Decimal!"]),
    ("properties", ["JSON", "JSON!"]),
];
const COUNT: usize = 5;
const METRIC_KEY: usize = 2;
const PROPERTIES: usize = 4;

/// How a document asks the gate.
pub(crate) struct Plan {
    place: Place,
    arguments: [Argument; COUNT],
    columns: Vec<Column<Cell>>,
}

/// Where the value of an argument comes from.
#[derive(Default)]
enum Argument {
    #[default]
    Absent,
    Literal(String),
    Variable {
        name: String,
        required: bool,
    },
}

#[derive(Clone, Copy)]
enum Cell {
    Typename,
    Allowed,
    Reason,
    Cost,
    Remaining,
    OverageLine,
    Undebited,
    Available,
    Missing,
    AffordableUnits,
    AsOf,
}

impl Plan {
    pub(super) fn of(operation: &OperationDefinition, root: &Positioned<Field>) -> Option<Self> {
        let field = &root.node;
        if field.name.node != "entitlement" {
            return None;
        }
        let mut arguments: [Argument; COUNT] = Default::default();
        let mut used = 0;
        for (name, value) in &field.arguments {
            let index = ARGUMENTS.iter().position(|(known, _)| name.node == *known)?;
            if !matches!(arguments[index], Argument::Absent) {
                return None;
            }
            arguments[index] = match &value.node {
                Value::String(text) if index != PROPERTIES => Argument::Literal(text.clone()),
                Value::Variable(variable) => {
                    used += 1;
                    Argument::of_variable(operation, variable, ARGUMENTS[index].1)?
                }
                _ => return None,
            };
        }
        // Each variable is used once, and each that is defined is used.
        let names: std::collections::BTreeSet<_> = arguments.iter().filter_map(Argument::variable).collect();
        if names.len() != used || used != operation.variable_definitions.len() {
            return None;
        }
        if matches!(arguments[METRIC_KEY], Argument::Absent) {
            return None;
        }
        Some(Self {
            place: Place::of(root),
            arguments,
            columns: columns(&field.selection_set.node, Cell::of)?,
        })
    }

    pub(super) fn read(&self, json: &str) -> Option<Question> {
        if json.len() > MAX_CHECK {
            return None;
        }
        let mut reader = serde_json::Deserializer::from_str(json);
        let mut given = self.deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        for (argument, given) in self.arguments.iter().zip(&given) {
            if matches!(argument, Argument::Variable { required: true, .. }) && given.is_none() {
                return None;
            }
        }
        let properties = given[PROPERTIES].take();
        let mut text = |index: usize| match &self.arguments[index] {
            Argument::Absent => Some(None),
            Argument::Literal(text) => Some(Some(text.clone())),
            Argument::Variable { .. } => match given[index].take() {
                None => Some(None),
                Some(serde_json::Value::String(text)) => Some(Some(text)),
                Some(_) => None,
            },
        };
        Some(Question {
            customer_id: text(0)?.map(ID),
            external_customer_id: text(1)?,
            metric_key: text(METRIC_KEY)??,
            units: text(3)?.map(Decimal),
            properties: properties.map(Json),
        })
    }

    pub(super) async fn run(&self, app: &App, actor: &Actor, question: Question) -> Result<Vec<u8>, Answer> {
        let answer = gate::answer(app, actor, question)
            .await
            .map_err(|error| self.place.failed(error))?;
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"{\"data\":{\"");
        out.extend_from_slice(self.place.key.as_bytes());
        out.extend_from_slice(b"\":");
        json::object(&mut out, &self.columns, |out, cell| cell.write(out, &answer));
        out.push(b'}');
        Ok(out)
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

/// Reads variables into the places of their arguments; null counts as absent.
impl<'de> DeserializeSeed<'de> for &Plan {
    type Value = [Option<serde_json::Value>; COUNT];

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &Plan {
    type Value = [Option<serde_json::Value>; COUNT];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of variables")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut given: Self::Value = Default::default();
        let mut seen = [false; COUNT];
        while let Some(name) = map.next_key::<String>()? {
            let index = self
                .arguments
                .iter()
                .position(|argument| argument.variable() == Some(&name))
                .ok_or_else(|| A::Error::custom("another variable"))?;
            if std::mem::replace(&mut seen[index], true) {
                return Err(A::Error::custom("a variable twice"));
            }
            let value: Option<serde_json::Value> = map.next_value()?;
            if !value.as_ref().is_none_or(is_flat) {
                return Err(A::Error::custom("not plain"));
            }
            given[index] = value;
        }
        Ok(given)
    }
}

impl Cell {
    fn of(field: &Field) -> Option<Self> {
        let cell = match field.name.node.as_str() {
            "__typename" => Self::Typename,
            "allowed" => Self::Allowed,
            "reason" => Self::Reason,
            "cost" => Self::Cost,
            "remaining" => Self::Remaining,
            "overageLine" => Self::OverageLine,
            "undebited" => Self::Undebited,
            "available" => Self::Available,
            "missing" => Self::Missing,
            "affordableUnits" => Self::AffordableUnits,
            "asOf" => Self::AsOf,
            _ => return None,
        };
        leaf(field, cell)
    }

    fn write(self, out: &mut Vec<u8>, answer: &Entitlement) {
        let amount = |out: &mut Vec<u8>, amount: &Option<Decimal>| {
            json::or_null(out, amount.as_ref(), |out, amount| json::text(out, &amount.0));
        };
        match self {
            Self::Typename => json::text(out, "Entitlement"),
            Self::Allowed => out.extend_from_slice(if answer.allowed { b"true" } else { b"false" }),
            Self::Reason => json::or_null(out, answer.reason, json::name),
            Self::Cost => amount(out, &answer.cost),
            Self::Remaining => amount(out, &answer.remaining),
            Self::OverageLine => amount(out, &answer.overage_line),
            Self::Undebited => amount(out, &answer.undebited),
            Self::Available => amount(out, &answer.available),
            Self::Missing => amount(out, &answer.missing),
            Self::AffordableUnits => amount(out, &answer.affordable_units),
            Self::AsOf => json::text(out, &answer.as_of.0.to_string()),
        }
    }
}
