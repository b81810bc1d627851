//! `entitlement` with its arguments in variables or as literal texts.

use app::{Actor, App};
use async_graphql::{
    ID, Positioned, Response as Answer,
    parser::types::{Field, OperationDefinition},
};

use super::{
    Column, Place,
    arguments::{Arguments, Known, text},
    columns, json, leaf,
};
use crate::graphql::{
    gate::{self, Entitlement, EntitlementCheckInput},
    scalar::{Decimal, Json},
};

/// The question of a request.
pub(crate) type Question = EntitlementCheckInput;

const ARGUMENTS: [Known; COUNT] = [
    ("customerId", ["ID", "ID!"]),
    ("externalCustomerId", ["String", "String!"]),
    ("metricKey", ["String!", "String!"]),
    ("units", ["Decimal", "Decimal!"]),
    ("properties", ["JSON", "JSON!"]),
];
const COUNT: usize = 5;
const METRIC_KEY: usize = 2;

/// How a document asks the gate.
pub(crate) struct Plan {
    place: Place,
    arguments: Arguments<COUNT>,
    columns: Vec<Column<Cell>>,
}

#[derive(Clone, Copy)]
enum Cell {
    Typename,
    Allowed,
    Reason,
    Cost,
    Remaining,
    OverageLine,
    Held,
    Undebited,
    Available,
    Missing,
    AffordableUnits,
    WouldRefuse,
    ResetsAt,
    AsOf,
}

impl Plan {
    pub(super) fn of(operation: &OperationDefinition, root: &Positioned<Field>) -> Option<Self> {
        let field = &root.node;
        if field.name.node != "entitlement" {
            return None;
        }
        let arguments = Arguments::of(operation, field, &ARGUMENTS)?;
        if !arguments.has(METRIC_KEY) {
            return None;
        }
        Some(Self {
            place: Place::of(root),
            arguments,
            columns: columns(&field.selection_set.node, Cell::of)?,
        })
    }

    pub(super) fn read(&self, json: &str) -> Option<Question> {
        let [id, external_id, metric_key, units, properties] = self.arguments.read(json)?;
        Some(Question {
            customer_id: text(id)?.map(ID),
            external_customer_id: text(external_id)?,
            metric_key: text(metric_key)??,
            units: text(units)?.map(Decimal),
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

impl Cell {
    fn of(field: &Field) -> Option<Self> {
        let cell = match field.name.node.as_str() {
            "__typename" => Self::Typename,
            "allowed" => Self::Allowed,
            "reason" => Self::Reason,
            "cost" => Self::Cost,
            "remaining" => Self::Remaining,
            "overageLine" => Self::OverageLine,
            "held" => Self::Held,
            "undebited" => Self::Undebited,
            "available" => Self::Available,
            "missing" => Self::Missing,
            "affordableUnits" => Self::AffordableUnits,
            "wouldRefuse" => Self::WouldRefuse,
            "resetsAt" => Self::ResetsAt,
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
            Self::Held => amount(out, &answer.held),
            Self::Undebited => amount(out, &answer.undebited),
            Self::Available => amount(out, &answer.available),
            Self::Missing => amount(out, &answer.missing),
            Self::AffordableUnits => amount(out, &answer.affordable_units),
            Self::WouldRefuse => json::or_null(out, answer.would_refuse, json::name),
            Self::ResetsAt => json::or_null(out, answer.resets_at.as_ref(), |out, at| {
                json::text(out, &at.0.to_string());
            }),
            Self::AsOf => json::text(out, &answer.as_of.0.to_string()),
        }
    }
}
