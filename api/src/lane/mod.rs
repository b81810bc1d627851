//! The typed lane: `recordUsage`, `entitlement` and `balanceUpdated` without the tree of values.
//!
//! A document that asks for exactly one of these fields in a plain way (variables or literal texts as arguments, no
//! fragments, directives or repeated keys) gets a plan when it is prepared. A request for it is then read straight into the
//! command, handed to the same function that the resolver calls, and its answer is written straight as JSON. A subscription on
//! the lane is a stream of such answers, and holds nothing but the watch and the plan that it shares with all others.
//!
//! Whatever is unusual (another type, an unknown or repeated name, a text that is too long) is left to the general way
//! before anything is done, so both ways answer alike. A test sends generated requests down both and compares.

mod arguments;
mod check;
mod json;
mod live;
mod record;

use std::sync::Arc;

use app::{Actor, App};
use async_graphql::{
    PathSegment, Pos, Positioned, Response as Answer,
    parser::types::{
        DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
        SelectionSet,
    },
};

pub(crate) use self::live::{Updates, Watch, Word};

/// Longest text that the lane reads, in bytes; longer ones are for the guard to judge.
const MAX_TEXT: usize = 1024;
/// Longest variables of a field with arguments of its own, in bytes.
const MAX_VARIABLES: usize = 16 * 1024;

/// How a document is answered.
pub(crate) enum Plan {
    Record(record::Plan),
    Check(check::Plan),
    /// Shared with the subscriptions that run by it.
    Live(Arc<live::Plan>),
}

/// A request that was read.
pub(crate) enum Task<'p> {
    Record(&'p record::Plan, record::Events),
    Check(&'p check::Plan, check::Question),
}

impl Plan {
    /// The plan for a document, if it is plain enough. The document has passed the guard.
    pub(crate) fn of(document: &ExecutableDocument) -> Option<Self> {
        if !document.fragments.is_empty() {
            return None;
        }
        let operation = match &document.operations {
            DocumentOperations::Single(operation) => operation,
            DocumentOperations::Multiple(all) if all.len() == 1 => all.values().next()?,
            DocumentOperations::Multiple(_) => return None,
        };
        let (operation, root) = (&operation.node, root(&operation.node)?);
        match operation.ty {
            OperationType::Mutation => Some(Self::Record(record::Plan::of(operation, root)?)),
            OperationType::Query => Some(Self::Check(check::Plan::of(operation, root)?)),
            OperationType::Subscription => {
                let plan = live::Plan::of(operation, root)?;
                Some(Self::Live(Arc::new(plan)))
            }
        }
    }

    /// Reads the variables of a request that is answered once. `None`: they are for the general way to judge.
    pub(crate) fn read(&self, variables: Option<&str>) -> Option<Task<'_>> {
        let json = variables.unwrap_or("{}");
        match self {
            Self::Record(plan) => Some(Task::Record(plan, plan.read(json)?)),
            Self::Check(plan) => Some(Task::Check(plan, plan.read(json)?)),
            Self::Live(_) => None,
        }
    }

    /// Reads the variables of a subscription. `None`: they are for the general way to judge.
    pub(crate) fn watch(&self, variables: Option<&str>) -> Option<Watch> {
        match self {
            Self::Live(plan) => plan.watch(variables.unwrap_or("{}")),
            Self::Record(_) | Self::Check(_) => None,
        }
    }
}

impl Task<'_> {
    /// Whether it writes.
    pub(crate) fn kind(&self) -> OperationType {
        match self {
            Self::Record(..) => OperationType::Mutation,
            Self::Check(..) => OperationType::Query,
        }
    }

    /// Does it. The JSON is an object that is still open after its `data`.
    ///
    /// # Errors
    /// What the general way would answer.
    pub(crate) async fn run(self, app: &App, actor: &Actor) -> Result<Vec<u8>, Answer> {
        match self {
            Self::Record(plan, events) => plan.run(app, actor, events).await,
            Self::Check(plan, question) => plan.run(app, actor, question).await,
        }
    }
}

/// The only root field of a plain operation.
fn root(operation: &OperationDefinition) -> Option<&Positioned<Field>> {
    let plain_variables = operation
        .variable_definitions
        .iter()
        .all(|variable| variable.node.directives.is_empty() && variable.node.default_value.is_none());
    if !plain_variables || !operation.directives.is_empty() {
        return None;
    }
    match operation.selection_set.node.items.as_slice() {
        [
            Positioned {
                node: Selection::Field(root),
                ..
            },
        ] if root.node.directives.is_empty() => Some(root),
        _ => None,
    }
}

/// The fields of a plain selection, each with its own key: no fragments, no directives, no arguments.
fn plain(set: &SelectionSet) -> Option<Vec<&Field>> {
    let mut fields: Vec<&Field> = Vec::with_capacity(set.items.len());
    for selection in &set.items {
        let Selection::Field(field) = &selection.node else {
            return None;
        };
        let field = &field.node;
        let repeated = fields
            .iter()
            .any(|known| known.response_key().node == field.response_key().node);
        if repeated || !field.directives.is_empty() || !field.arguments.is_empty() {
            return None;
        }
        fields.push(field);
    }
    (!fields.is_empty()).then_some(fields)
}

/// A field of the answer with the beginning of its JSON.
struct Column<T> {
    /// `"key":`
    head: Vec<u8>,
    what: T,
}

/// The columns of a plain selection, if all its fields are known.
fn columns<T>(set: &SelectionSet, known: impl Fn(&Field) -> Option<T>) -> Option<Vec<Column<T>>> {
    plain(set)?
        .into_iter()
        .map(|field| {
            Some(Column {
                head: format!("\"{}\":", field.response_key().node).into_bytes(),
                what: known(field)?,
            })
        })
        .collect()
}

/// A field without fields.
fn leaf<T>(field: &Field, what: T) -> Option<T> {
    field.selection_set.node.items.is_empty().then_some(what)
}

/// The key of the root field and its place in the text, for errors.
struct Place {
    key: String,
    at: Pos,
}

impl Place {
    fn of(root: &Positioned<Field>) -> Self {
        Self {
            key: root.node.response_key().node.to_string(),
            at: root.pos,
        }
    }

    /// An answer that is nothing but an error, as the library makes it.
    fn failed(&self, error: async_graphql::Error) -> Answer {
        let mut error = error.into_server_error(self.at);
        error.path = vec![PathSegment::Field(self.key.clone())];
        Answer::from_errors(vec![error])
    }
}

/// Whether the guard would let a text pass.
fn is_plain(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.contains('\0')
}

/// Whether a JSON value has at most one level, and plain texts.
fn is_flat(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    let scalar = |value: &Value| match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => is_plain(text),
        Value::Array(_) | Value::Object(_) => false,
    };
    match value {
        Value::Object(fields) => fields.iter().all(|(name, value)| is_plain(name) && scalar(value)),
        value => scalar(value),
    }
}

#[cfg(test)]
mod tests;
