//! `recordUsage` with its events in variables.

use std::fmt;

use app::{Actor, App, usage::NewEvent};
use async_graphql::{
    ID, Positioned, Response as Answer,
    parser::types::{Field, OperationDefinition},
};
use async_graphql_value::Value;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, Visitor},
};

use super::{Column, Place, columns, is_flat, is_plain, json, leaf};
use crate::graphql::{
    error::UserError,
    scalar::{DateTime, Decimal, Json},
    usage::{self, RecordUsagePayload, UsageEventInput, UsageResult},
};

/// The events of a request.
pub(crate) type Events = Vec<NewEvent>;

/// How a document records usage.
pub(crate) struct Plan {
    place: Place,
    variable: String,
    shape: Shape,
    top: Vec<Column<Top>>,
}

/// What the variable holds.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// `input: {events: $events}`
    Events,
    /// `input: $input`
    Input,
}

enum Top {
    Typename,
    Results(Vec<Column<Cell>>),
    AcceptedCount,
    DuplicateCount,
    UserErrors(Vec<Column<Trouble>>),
}

#[derive(Clone, Copy)]
enum Cell {
    Typename,
    Index,
    Outcome,
    Reason,
    Message,
    EventId,
}

#[derive(Clone, Copy)]
enum Trouble {
    Typename,
    Code,
    Message,
    Path,
}

impl Plan {
    pub(super) fn of(operation: &OperationDefinition, root: &Positioned<Field>) -> Option<Self> {
        let field = &root.node;
        let ([variable], [(argument, value)]) = (
            operation.variable_definitions.as_slice(),
            field.arguments.as_slice(),
        ) else {
            return None;
        };
        if field.name.node != "recordUsage" || argument.node != "input" {
            return None;
        }
        let (name, kind) = (&variable.node.name.node, variable.node.var_type.node.to_string());
        let shape = match &value.node {
            Value::Variable(used) if used == name && kind == "RecordUsageInput!" => Shape::Input,
            Value::Object(fields) if fields.len() == 1 && kind == "[UsageEventInput!]!" => {
                match fields.get("events") {
                    Some(Value::Variable(used)) if used == name => Shape::Events,
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(Self {
            place: Place::of(root),
            variable: name.to_string(),
            shape,
            top: columns(&field.selection_set.node, Top::of)?,
        })
    }

    pub(super) fn read(&self, json: &str) -> Option<Events> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let events = match self.shape {
            Shape::Events => Only::<Vec<Event>>::new(&self.variable)
                .deserialize(&mut reader)
                .ok()?,
            Shape::Input => {
                Only::<Input>::new(&self.variable)
                    .deserialize(&mut reader)
                    .ok()?
                    .events
            }
        };
        reader.end().ok()?;
        events.into_iter().map(Event::command).collect()
    }

    pub(super) async fn run(&self, app: &App, actor: &Actor, events: Events) -> Result<Vec<u8>, Answer> {
        let payload = usage::recorded(app, actor, events)
            .await
            .map_err(|error| self.place.failed(error))?;
        let mut out = Vec::with_capacity(256 + payload.results.len() * 128);
        out.extend_from_slice(b"{\"data\":{\"");
        out.extend_from_slice(self.place.key.as_bytes());
        out.extend_from_slice(b"\":");
        json::object(&mut out, &self.top, |out, top| top.write(out, &payload));
        out.push(b'}');
        Ok(out)
    }
}

impl Top {
    fn of(field: &Field) -> Option<Self> {
        let inner = &field.selection_set.node;
        match field.name.node.as_str() {
            "__typename" => leaf(field, Self::Typename),
            "acceptedCount" => leaf(field, Self::AcceptedCount),
            "duplicateCount" => leaf(field, Self::DuplicateCount),
            "results" => Some(Self::Results(columns(inner, Cell::of)?)),
            "userErrors" => Some(Self::UserErrors(columns(inner, Trouble::of)?)),
            _ => None,
        }
    }

    fn write(&self, out: &mut Vec<u8>, payload: &RecordUsagePayload) {
        match self {
            Self::Typename => json::text(out, "RecordUsagePayload"),
            Self::AcceptedCount => json::number(out, payload.accepted_count),
            Self::DuplicateCount => json::number(out, payload.duplicate_count),
            Self::Results(columns) => json::list(out, &payload.results, |out, result| {
                json::object(out, columns, |out, cell| cell.write(out, result));
            }),
            Self::UserErrors(columns) => json::list(out, &payload.user_errors, |out, error| {
                json::object(out, columns, |out, trouble| trouble.write(out, error));
            }),
        }
    }
}

impl Cell {
    fn of(field: &Field) -> Option<Self> {
        let cell = match field.name.node.as_str() {
            "__typename" => Self::Typename,
            "index" => Self::Index,
            "outcome" => Self::Outcome,
            "reason" => Self::Reason,
            "message" => Self::Message,
            "eventId" => Self::EventId,
            _ => return None,
        };
        leaf(field, cell)
    }

    fn write(self, out: &mut Vec<u8>, result: &UsageResult) {
        match self {
            Self::Typename => json::text(out, "UsageResult"),
            Self::Index => json::number(out, result.index),
            Self::Outcome => json::name(out, result.outcome),
            Self::Reason => json::or_null(out, result.reason, json::name),
            Self::Message => json::or_null(out, result.message.as_deref(), json::text),
            Self::EventId => json::or_null(out, result.event_id.as_ref(), |out, id| json::text(out, id)),
        }
    }
}

impl Trouble {
    fn of(field: &Field) -> Option<Self> {
        let trouble = match field.name.node.as_str() {
            "__typename" => Self::Typename,
            "code" => Self::Code,
            "message" => Self::Message,
            "path" => Self::Path,
            _ => return None,
        };
        leaf(field, trouble)
    }

    fn write(self, out: &mut Vec<u8>, error: &UserError) {
        match self {
            Self::Typename => json::text(out, "UserError"),
            Self::Code => json::name(out, error.code),
            Self::Message => json::text(out, &error.message),
            Self::Path => json::or_null(out, error.path.as_deref(), |out, path| {
                json::list(out, path, |out, step| json::text(out, step));
            }),
        }
    }
}

/// An object with one key of a known name, and nothing else.
struct Only<'n, T> {
    name: &'n str,
    value: std::marker::PhantomData<T>,
}

impl<'n, T> Only<'n, T> {
    fn new(name: &'n str) -> Self {
        Self {
            name,
            value: std::marker::PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Only<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<T, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with `{}`", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let key: Option<String> = map.next_key()?;
        if key.as_deref() != Some(self.name) {
            return Err(A::Error::custom("another variable"));
        }
        let value = map.next_value()?;
        match map.next_key::<String>()? {
            None => Ok(value),
            Some(_) => Err(A::Error::custom("more variables")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Event {
    customer_id: Option<String>,
    external_customer_id: Option<String>,
    metric_key: String,
    units: String,
    idempotency_key: String,
    occurred_at: Option<String>,
    properties: Option<serde_json::Value>,
}

impl Event {
    /// The command, through the very input that the general way makes of it.
    fn command(self) -> Option<NewEvent> {
        let texts = [
            self.customer_id.as_deref(),
            self.external_customer_id.as_deref(),
            Some(&self.metric_key),
            Some(&self.units),
            Some(&self.idempotency_key),
        ];
        let plain = texts.into_iter().flatten().all(is_plain);
        if !plain || !self.properties.as_ref().is_none_or(is_flat) {
            return None;
        }
        let occurred_at = match self.occurred_at {
            Some(text) => Some(DateTime(text.parse().ok()?)),
            None => None,
        };
        let input = UsageEventInput {
            customer_id: self.customer_id.map(ID),
            external_customer_id: self.external_customer_id,
            metric_key: self.metric_key,
            units: Decimal(self.units),
            idempotency_key: self.idempotency_key,
            occurred_at,
            properties: self.properties.map(Json),
        };
        Some(input.into())
    }
}
