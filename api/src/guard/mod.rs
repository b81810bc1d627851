//! What a request may look like. Hostile documents are refused here, in microseconds, before the library sees them.
//!
//! The library cannot protect itself: its parser recurses into nested values, so a few kilobytes of brackets overflow the
//! stack, and its validation walks a fragment again at every place that spreads it, so that some thirty fragments which each
//! spread the next one twice take minutes. Therefore three steps, each linear in what it reads:
//!
//! 1. [`lexical`] looks at the text without recursion: bytes, tokens, nesting of brackets;
//! 2. [`shape`] expands the fragments of the parsed document, each only once, with counts that stop at their bounds;
//! 3. [`values`] looks at the variables.
//!
//! A document that passed 1 and 2 is kept by [`crate::document`], so that a known document costs one look-up.

mod lexical;
mod shape;
mod values;

pub(crate) use self::{
    lexical::scan,
    shape::{measure, root_fields},
    values::{Room, check_variables},
};
use crate::graphql::error;

/// Longest document, in bytes.
pub(crate) const MAX_DOCUMENT: usize = 32 * 1024;
/// Most names, numbers, strings and punctuators of a document.
pub(crate) const MAX_TOKENS: usize = 4_000;
/// Deepest nesting of brackets of any kind. The standard introspection query needs 15.
pub(crate) const MAX_BRACKETS: usize = 32;
/// Longest name, in bytes: error messages repeat names.
pub(crate) const MAX_NAME: usize = 255;
/// Deepest selection with fragments expanded, each spread counting as a step. Above the limit of the schema.
pub(crate) const MAX_DEPTH: u32 = 32;
/// Most fields, spreads, arguments and values of the operations with fragments expanded, and of each fragment by itself.
pub(crate) const MAX_NODES: u32 = 2_000;
/// Most fragments of a document.
pub(crate) const MAX_FRAGMENTS: usize = 50;
/// Most operations of a document.
pub(crate) const MAX_OPERATIONS: usize = 5;
/// Most aliases of a document with fragments expanded: who needs more of a field asks for a list.
pub(crate) const MAX_ALIASES: u32 = 20;
/// Most root fields of an operation with fragments expanded.
pub(crate) const MAX_ROOT_FIELDS: u32 = 10;
/// Most directives in one place.
pub(crate) const MAX_DIRECTIVES: usize = 5;
/// Most directives of a document with fragments expanded.
pub(crate) const MAX_ALL_DIRECTIVES: u32 = 50;
/// Most variables of an operation, and of a request.
pub(crate) const MAX_VARIABLES: usize = 100;

/// Why a document or its variables are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// More of something than a document may have.
    #[error("a document has at most {most} {what}")]
    TooMany {
        /// How many there may be.
        most: usize,
        /// Of what.
        what: &'static str,
    },
    /// A fragment spreads itself.
    #[error("the fragment `{0}` spreads itself")]
    Cycle(String),
    /// It is not GraphQL.
    #[error("{0}")]
    Syntax(String),
    /// Two mutations at once, of which one might happen without the other.
    #[error(
        "a request has one mutation; several are served only if all are the same one of `createCustomer`, `updateCustomer`, \
         `createMetric`, `updateMetric`, `createMeteringRule`, `createPlan`, `updatePlan`, `createPlanVariant` and \
         `createGrantTemplate`"
    )]
    Mutations,
    /// It contains U+0000, which PostgreSQL cannot store and nobody means.
    #[error("text must not contain the character U+0000")]
    Nul,
    /// The variables are larger than is allowed.
    #[error("variables have at most {most} {what}")]
    Variables {
        /// How many there may be.
        most: usize,
        /// Of what.
        what: &'static str,
    },
}

impl Refused {
    /// The code that the caller reads.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::TooMany { .. } | Self::Variables { .. } | Self::Cycle(_) => error::QUERY_TOO_COMPLEX,
            Self::Syntax(_) => error::GRAPHQL_PARSE_FAILED,
            Self::Mutations => error::GRAPHQL_VALIDATION_FAILED,
            Self::Nul => error::BAD_USER_INPUT,
        }
    }
}

#[cfg(test)]
mod tests;
