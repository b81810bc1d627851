//! Documents that are known: each text is scanned, parsed and measured once, whichever way it came.
//!
//! A known document costs a look-up by its text. The cache is bounded in bytes, and texts that come once do not drive out
//! those that come often.

use std::sync::Arc;

use async_graphql::{
    Name,
    parser::{
        Error as ParseError, parse_query,
        types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection},
    },
};
use quick_cache::{Weighter, sync::Cache};

use crate::{
    guard::{self, Refused, Room},
    lane::Plan,
    observe,
};

/// Memory that known documents may take, in bytes, as far as it can be estimated.
const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// How many documents the cache expects: a vendor's programs send a few dozen different ones.
const EXPECTED: usize = 1_000;
/// What a parsed node takes, at a guess: a field with its name, place and lists.
const BYTES_PER_NODE: u64 = 400;
/// What a document takes besides.
const BYTES_PER_DOCUMENT: u64 = 2_000;

/// The documents that this process knows.
pub(crate) struct Documents(Cache<Box<str>, Arc<Prepared>, Weight>);

impl Default for Documents {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED, MAX_BYTES, Weight))
    }
}

impl Documents {
    /// A document that may be executed, known or new.
    ///
    /// # Errors
    /// It is too large in one way or another, or it is not GraphQL.
    pub(crate) fn prepare(&self, text: &str) -> Result<Arc<Prepared>, Refused> {
        if let Some(known) = self.0.get(text) {
            return Ok(known);
        }
        let prepared = Arc::new(Prepared::new(text)?);
        self.0.insert(text.into(), prepared.clone());
        Ok(prepared)
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Arc<Prepared>> for Weight {
    fn weight(&self, text: &Box<str>, prepared: &Arc<Prepared>) -> u64 {
        text.len() as u64 + BYTES_PER_DOCUMENT + u64::from(prepared.steps) * BYTES_PER_NODE
    }
}

/// What a request is about, which decides how much room and how many requests it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// It records usage.
    Usage,
    /// It asks the gate, and nothing else.
    Check,
    /// Any other mutation.
    Write,
    /// Any other query.
    Read,
    /// A subscription.
    Live,
}

impl Class {
    fn of(document: &ExecutableDocument, operation: &OperationDefinition) -> Self {
        let mut roots = Vec::new();
        guard::root_fields(document, &operation.selection_set.node, &mut roots);
        roots.retain(|name| *name != "__typename");
        match operation.ty {
            OperationType::Mutation if roots.contains(&"recordUsage") => Self::Usage,
            OperationType::Mutation => Self::Write,
            OperationType::Subscription => Self::Live,
            OperationType::Query => {
                let check = |name: &&str| matches!(*name, "entitlement" | "entitlements");
                if !roots.is_empty() && roots.iter().all(check) {
                    Self::Check
                } else {
                    Self::Read
                }
            }
        }
    }

    /// How much room its variables are given.
    pub(crate) fn room(self) -> Room {
        match self {
            Self::Usage => Room::Usage,
            Self::Check | Self::Write | Self::Read | Self::Live => Room::Usual,
        }
    }
}

/// A document that passed the guard.
pub(crate) struct Prepared {
    /// Parsed. Executing takes a copy; names are shared.
    pub(crate) document: ExecutableDocument,
    /// Fields and values of its operations, fragments expanded.
    pub(crate) nodes: u32,
    /// What the log calls it.
    pub(crate) hash: Box<str>,
    /// How long it is, in nodes of its text.
    pub(crate) steps: u32,
    operations: Vec<Operation>,
    /// How the typed lane answers it, if it can.
    pub(crate) plan: Option<Plan>,
}

/// One operation of a document.
pub(crate) struct Operation {
    /// What the document calls it.
    pub(crate) name: Option<Name>,
    /// What figures call it, once it has been found to fit the schema: its only field, or a word.
    pub(crate) label: Name,
    /// Query, mutation or subscription.
    pub(crate) kind: OperationType,
    /// What it is about.
    pub(crate) class: Class,
    /// Whether it selects one field, and not through a fragment: what a subscription must do.
    pub(crate) single: bool,
    /// Where its answers are counted.
    pub(crate) figures: Arc<observe::Figures>,
    /// Variables that must be given.
    required: Vec<Name>,
}

impl Prepared {
    fn new(text: &str) -> Result<Self, Refused> {
        guard::scan(text)?;
        let document = parse_query(text).map_err(|problem| syntax(&problem))?;
        let shape = guard::measure(&document)?;
        let operations = document
            .operations
            .iter()
            .map(|(name, operation)| Operation::new(&document, name, &operation.node))
            .collect();
        Ok(Self {
            nodes: shape.nodes,
            hash: observe::hash(text),
            steps: shape.steps,
            operations,
            plan: Plan::of(&document),
            document,
        })
    }

    /// The operation that is meant: the one of this name, or the only one.
    pub(crate) fn operation(&self, name: Option<&str>) -> Option<&Operation> {
        match (&self.document.operations, name) {
            (DocumentOperations::Single(_), Some(_)) => None,
            (_, None) => match self.operations.as_slice() {
                [only] => Some(only),
                _ => None,
            },
            (DocumentOperations::Multiple(_), Some(name)) => self
                .operations
                .iter()
                .find(|operation| operation.name.as_deref() == Some(name)),
        }
    }
}

/// What is wrong with a document, and where. The library shows the line at fault as well; a text in it may be anything.
fn syntax(problem: &ParseError) -> Refused {
    let text = problem.to_string();
    Refused::Syntax(match (problem, text.rsplit_once("\n  = ")) {
        (ParseError::Syntax { start, .. }, Some((_, what))) => {
            format!("line {}, column {}: {what}", start.line, start.column)
        }
        _ => text,
    })
}

impl Operation {
    fn new(document: &ExecutableDocument, name: Option<&Name>, operation: &OperationDefinition) -> Self {
        let required = operation
            .variable_definitions
            .iter()
            .map(|definition| &definition.node)
            .filter(|definition| !definition.var_type.node.nullable && definition.default_value.is_none())
            .map(|definition| definition.name.node.clone())
            .collect();
        Self {
            name: name.cloned(),
            label: observe::label(&operation.selection_set.node),
            figures: Arc::default(),
            kind: operation.ty,
            class: Class::of(document, operation),
            single: matches!(
                operation.selection_set.node.items.as_slice(),
                [one] if matches!(one.node, Selection::Field(_))
            ),
            required,
        }
    }

    /// A required variable that is missing: that is the request's fault, not a field's.
    pub(crate) fn missing(&self, variables: &serde_json::Map<String, serde_json::Value>) -> Option<&str> {
        let absent = |name: &&Name| {
            variables
                .get(name.as_str())
                .is_none_or(serde_json::Value::is_null)
        };
        self.required.iter().find(absent).map(Name::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_document_is_not_parsed_again() {
        let documents = Documents::default();
        let first = documents.prepare("{ viewer { scopes } }").unwrap();
        let again = documents.prepare("{ viewer { scopes } }").unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(
            &first,
            &documents.prepare("{ viewer { scopes }  }").unwrap()
        ));
    }

    #[test]
    fn memory_is_bounded_in_bytes() {
        let documents = Documents::default();
        for number in 0..20_000 {
            documents
                .prepare(&format!("{{ metric(key: \"{number:0>1000}\") {{ key name }} }}"))
                .unwrap();
        }
        assert!(documents.0.weight() <= MAX_BYTES);
        assert!(documents.0.len() < 20_000);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_text() {
        let problem = Prepared::new("{\n a(b: \"secret\" { c } }").err();
        let wanted = Refused::Syntax("line 2, column 16: expected name".to_owned());
        assert_eq!(problem, Some(wanted));
    }

    #[test]
    fn the_operation_that_is_meant() {
        let prepare = |text: &str| Prepared::new(text).unwrap();
        assert!(prepare("{ a }").operation(None).is_some());
        assert!(prepare("{ a }").operation(Some("A")).is_none());
        assert!(prepare("query A { a }").operation(None).is_some());
        let two = prepare("query A { a } mutation B { b }");
        assert!(two.operation(None).is_none());
        assert!(two.operation(Some("C")).is_none());
        assert_eq!(two.operation(Some("A")).unwrap().kind, OperationType::Query);
        assert_eq!(two.operation(Some("B")).unwrap().kind, OperationType::Mutation);
    }

    #[test]
    fn classes() {
        for (text, class) in [
            ("mutation { recordUsage { a } }", Class::Usage),
            (
                "mutation { __typename ...F } fragment F on Mutation { recordUsage { a } }",
                Class::Usage,
            ),
            ("mutation { grantCredits { a } }", Class::Write),
            ("{ entitlement { a } x: entitlements { a } }", Class::Check),
            ("{ entitlement { a } viewer { a } }", Class::Read),
            ("{ __typename }", Class::Read),
            ("subscription { balanceUpdated { a } }", Class::Live),
        ] {
            assert_eq!(Prepared::new(text).unwrap().operations[0].class, class, "{text}");
        }
    }
}
