//! `balanceUpdated` with its arguments in variables or as literals.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use app::{Actor, App};
use async_graphql::{
    Error, ID, Positioned, Response as Answer, ScalarType,
    parser::types::{Field, OperationDefinition},
};
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};

use super::{
    Column, Place,
    arguments::{Arguments, Known, text},
    columns, json, leaf,
};
use crate::graphql::{
    credit::{self, BalanceUpdate},
    scalar::{Decimal, SafeInt},
};

const ARGUMENTS: [Known; COUNT] = [
    ("customerId", ["ID", "ID!"]),
    ("externalCustomerId", ["String", "String!"]),
    ("after", ["SafeInt", "SafeInt!"]),
];
const COUNT: usize = 3;
/// Room for an answer with every field.
const ANSWER: usize = 256;

/// How a document watches a balance.
pub(crate) struct Plan {
    place: Place,
    arguments: Arguments<COUNT>,
    columns: Vec<Column<Cell>>,
}

/// A subscription that was read and has not begun.
pub(crate) struct Watch {
    plan: Arc<Plan>,
    customer_id: Option<ID>,
    external_customer_id: Option<String>,
    after: Option<SafeInt>,
}

/// What a subscription on the lane says.
pub(crate) enum Word {
    /// An answer with data, as JSON.
    Data(Vec<u8>),
    /// An answer without; more will follow.
    Problem(Answer),
    /// It could not be begun, for this reason. The last word.
    Refused(Answer),
}

/// A subscription on the lane. Ends only if it could not be begun.
pub(crate) struct Updates {
    plan: Arc<Plan>,
    state: State,
}

type Balances = BoxStream<'static, Result<BalanceUpdate, Error>>;

/// Each in a place of its own, so that a stream that runs does not hold room for its beginning.
enum State {
    Beginning(BoxFuture<'static, Result<Balances, Error>>),
    Running(Balances),
    Over,
}

#[derive(Clone, Copy)]
enum Cell {
    Typename,
    Sequence,
    Remaining,
    Available,
    Overdraft,
    Held,
    CustomerId,
}

impl Plan {
    pub(super) fn of(operation: &OperationDefinition, root: &Positioned<Field>) -> Option<Self> {
        let field = &root.node;
        if field.name.node != "balanceUpdated" {
            return None;
        }
        Some(Self {
            place: Place::of(root),
            arguments: Arguments::of(operation, field, &ARGUMENTS)?,
            columns: columns(&field.selection_set.node, Cell::of)?,
        })
    }

    pub(super) fn watch(self: &Arc<Self>, json: &str) -> Option<Watch> {
        let [id, external_id, after] = self.arguments.read(json)?;
        let after = match after {
            Some(after) => Some(SafeInt::parse(after.try_into().ok()?).ok()?),
            None => None,
        };
        Some(Watch {
            plan: self.clone(),
            customer_id: text(id)?.map(ID),
            external_customer_id: text(external_id)?,
            after,
        })
    }

    fn answer(&self, update: &BalanceUpdate) -> Vec<u8> {
        let mut out = Vec::with_capacity(ANSWER);
        out.extend_from_slice(b"{\"data\":{\"");
        out.extend_from_slice(self.place.key.as_bytes());
        out.extend_from_slice(b"\":");
        json::object(&mut out, &self.columns, |out, cell| cell.write(out, update));
        out.extend_from_slice(b"}}");
        out
    }
}

impl Watch {
    /// Begins it. Nothing is done before the first word is asked for.
    pub(crate) fn begin(self, app: App, actor: Actor) -> Updates {
        let Self {
            plan,
            customer_id,
            external_customer_id,
            after,
        } = self;
        let beginning = async move {
            let updates = credit::updates(&app, &actor, customer_id, external_customer_id, after).await?;
            Ok(updates.boxed())
        };
        Updates {
            plan,
            state: State::Beginning(beginning.boxed()),
        }
    }
}

impl Stream for Updates {
    type Item = Word;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Word>> {
        loop {
            match &mut self.state {
                State::Beginning(beginning) => match ready!(beginning.poll_unpin(cx)) {
                    Ok(updates) => self.state = State::Running(updates),
                    Err(error) => {
                        self.state = State::Over;
                        return Poll::Ready(Some(Word::Refused(self.plan.place.failed(error))));
                    }
                },
                State::Running(updates) => {
                    let update = ready!(updates.poll_next_unpin(cx));
                    return Poll::Ready(update.map(|update| match update {
                        Ok(update) => Word::Data(self.plan.answer(&update)),
                        Err(error) => Word::Problem(self.plan.place.failed(error)),
                    }));
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl Cell {
    fn of(field: &Field) -> Option<Self> {
        let cell = match field.name.node.as_str() {
            "__typename" => Self::Typename,
            "sequence" => Self::Sequence,
            "remaining" => Self::Remaining,
            "available" => Self::Available,
            "overdraft" => Self::Overdraft,
            "held" => Self::Held,
            "customerId" => Self::CustomerId,
            _ => return None,
        };
        leaf(field, cell)
    }

    fn write(self, out: &mut Vec<u8>, update: &BalanceUpdate) {
        let amount = |out: &mut Vec<u8>, amount: &Decimal| json::text(out, &amount.0);
        match self {
            Self::Typename => json::text(out, "BalanceUpdate"),
            Self::Sequence => json::number(out, update.sequence.0),
            Self::Remaining => amount(out, &update.remaining),
            Self::Available => json::or_null(out, update.available.as_ref(), amount),
            Self::Overdraft => amount(out, &update.overdraft),
            Self::Held => amount(out, &update.held),
            Self::CustomerId => json::text(out, &update.customer_id),
        }
    }
}
