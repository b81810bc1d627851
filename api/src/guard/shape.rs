//! How large a parsed document is with its fragments expanded.
//!
//! Each fragment is measured once and its size is reused wherever it is spread, so the work is linear in the length of the
//! text, however often it would be walked. Counts stop at their bounds.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned, Value as ConstValue,
    parser::types::{
        Directive, ExecutableDocument, Field, FragmentDefinition, OperationDefinition, OperationType,
        Selection, SelectionSet,
    },
};
use async_graphql_value::Value;

use super::{
    MAX_ALIASES, MAX_ALL_DIRECTIVES, MAX_DEPTH, MAX_DIRECTIVES, MAX_FRAGMENTS, MAX_NODES, MAX_OPERATIONS,
    MAX_ROOT_FIELDS, MAX_VARIABLES, Refused,
};

/// Mutations that move neither credits nor usage and make no secrets: several of the same in one request do no harm, because
/// each can be repeated by itself.
const HARMLESS: [&str; 9] = [
    "createCustomer",
    "updateCustomer",
    "createMetric",
    "updateMetric",
    "createMeteringRule",
    "createPlan",
    "updatePlan",
    "createPlanVariant",
    "createGrantTemplate",
];

/// What is known of a measured document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Fields, spreads, arguments and values of all operations, fragments expanded.
    pub(crate) nodes: u32,
    /// Steps that measuring took: bounded by the length of the text, not by what it expands to.
    pub(crate) steps: u32,
}

/// Measures a document.
///
/// # Errors
/// More of something than is allowed, or a fragment that spreads itself.
pub(crate) fn measure(document: &ExecutableDocument) -> Result<Shape, Refused> {
    at_most(document.fragments.len(), MAX_FRAGMENTS, "fragments")?;
    at_most(document.operations.iter().len(), MAX_OPERATIONS, "operations")?;
    let mut meter = Meter {
        document,
        known: HashMap::with_capacity(document.fragments.len()),
        steps: 0,
    };
    let mut total = Size::default();
    for (_, operation) in document.operations.iter() {
        let size = meter.operation(&operation.node)?;
        check_roots(document, &operation.node, size)?;
        total = total.and(size);
        total.check()?;
    }
    // Validation walks fragments that nobody spreads as well.
    for (name, fragment) in &document.fragments {
        meter.fragment(name, fragment, 0)?;
    }
    Ok(Shape {
        nodes: total.nodes,
        steps: meter.steps,
    })
}

fn at_most(count: usize, most: usize, what: &'static str) -> Result<(), Refused> {
    if count > most {
        return Err(Refused::TooMany { most, what });
    }
    Ok(())
}

/// How large something is when it is expanded.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: u32,
    depth: u32,
    aliases: u32,
    directives: u32,
    /// Fields that belong to the enclosing selection itself.
    fields: u32,
}

impl Size {
    fn and(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            depth: self.depth.max(other.depth),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            fields: self.fields.saturating_add(other.fields),
        }
    }

    /// One step further in.
    fn deeper(self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(1),
            depth: self.depth.saturating_add(1),
            ..self
        }
    }

    fn check(self) -> Result<(), Refused> {
        for (count, most, what) in [
            (
                self.nodes,
                MAX_NODES,
                "fields and values with its fragments expanded",
            ),
            (self.depth, MAX_DEPTH, "selections within each other"),
            (self.aliases, MAX_ALIASES, "aliases"),
            (self.directives, MAX_ALL_DIRECTIVES, "directives"),
        ] {
            at_most(count as usize, most as usize, what)?;
        }
        Ok(())
    }
}

enum Known {
    /// It is being measured.
    Open,
    Done(Size),
}

struct Meter<'a> {
    document: &'a ExecutableDocument,
    known: HashMap<&'a str, Known>,
    steps: u32,
}

impl<'a> Meter<'a> {
    fn operation(&mut self, operation: &'a OperationDefinition) -> Result<Size, Refused> {
        at_most(
            operation.variable_definitions.len(),
            MAX_VARIABLES,
            "variables in an operation",
        )?;
        let mut size = self.directives(&operation.directives)?;
        for variable in &operation.variable_definitions {
            size = size.and(self.directives(&variable.node.directives)?);
            size.nodes = size.nodes.saturating_add(1);
            if let Some(value) = &variable.node.default_value {
                size.nodes = size.nodes.saturating_add(self.constant(&value.node));
            }
        }
        let size = size.and(self.selection_set(&operation.selection_set, 0)?);
        at_most(
            size.fields as usize,
            MAX_ROOT_FIELDS as usize,
            "root fields in an operation",
        )?;
        Ok(size)
    }

    fn fragment(
        &mut self,
        name: &'a str,
        fragment: &'a Positioned<FragmentDefinition>,
        depth: u32,
    ) -> Result<Size, Refused> {
        match self.known.get(name) {
            Some(Known::Done(size)) => return Ok(*size),
            Some(Known::Open) => return Err(Refused::Cycle(name.to_owned())),
            None => {}
        }
        self.known.insert(name, Known::Open);
        let size = self
            .directives(&fragment.node.directives)?
            .and(self.selection_set(&fragment.node.selection_set, depth)?);
        size.check()?;
        self.known.insert(name, Known::Done(size));
        Ok(size)
    }

    fn selection_set(&mut self, set: &'a Positioned<SelectionSet>, depth: u32) -> Result<Size, Refused> {
        at_most(depth as usize, MAX_DEPTH as usize, "selections within each other")?;
        let mut size = Size::default();
        for selection in &set.node.items {
            self.steps = self.steps.saturating_add(1);
            let one = match &selection.node {
                Selection::Field(field) => self.field(&field.node, depth)?,
                Selection::InlineFragment(inline) => self
                    .selection_set(&inline.node.selection_set, depth + 1)?
                    .deeper(),
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    // A fragment that does not exist is for the validation to complain about.
                    match self.document.fragments.get_key_value(name) {
                        Some((name, fragment)) => self.fragment(name, fragment, depth + 1)?.deeper(),
                        None => Size::default().deeper(),
                    }
                }
            };
            size = size.and(one).and(self.directives(selection.node.directives())?);
            // The sum is checked as it grows, so a bomb is refused at its first level that is too large.
            size.check()?;
        }
        Ok(size)
    }

    fn field(&mut self, field: &'a Field, depth: u32) -> Result<Size, Refused> {
        let mut size = self.selection_set(&field.selection_set, depth + 1)?.deeper();
        size.fields = 1;
        size.aliases = size.aliases.saturating_add(u32::from(field.alias.is_some()));
        size.nodes = size.nodes.saturating_add(self.arguments(&field.arguments));
        Ok(size)
    }

    fn directives(&mut self, directives: &'a [Positioned<Directive>]) -> Result<Size, Refused> {
        at_most(directives.len(), MAX_DIRECTIVES, "directives in one place")?;
        let mut size = Size::default();
        for directive in directives {
            size.directives = size.directives.saturating_add(1);
            size.nodes = size
                .nodes
                .saturating_add(self.arguments(&directive.node.arguments));
        }
        Ok(size)
    }

    fn arguments(&mut self, arguments: &'a [(Positioned<Name>, Positioned<Value>)]) -> u32 {
        arguments.iter().fold(0, |sum: u32, (_, value)| {
            sum.saturating_add(1).saturating_add(self.value(&value.node))
        })
    }

    /// The parts of a value. Its nesting is bounded by the brackets of the text.
    fn value(&mut self, value: &Value) -> u32 {
        self.steps = self.steps.saturating_add(1);
        match value {
            Value::List(items) => items
                .iter()
                .fold(1, |sum: u32, item| sum.saturating_add(self.value(item))),
            Value::Object(fields) => fields
                .values()
                .fold(1, |sum: u32, item| sum.saturating_add(self.value(item))),
            _ => 1,
        }
    }

    fn constant(&mut self, value: &ConstValue) -> u32 {
        self.steps = self.steps.saturating_add(1);
        match value {
            ConstValue::List(items) => items
                .iter()
                .fold(1, |sum: u32, item| sum.saturating_add(self.constant(item))),
            ConstValue::Object(fields) => fields
                .values()
                .fold(1, |sum: u32, item| sum.saturating_add(self.constant(item))),
            _ => 1,
        }
    }
}

/// Several mutations of one request happen one after the other, and a later one may fail when an earlier one is done. So only
/// harmless ones may come together.
fn check_roots(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    size: Size,
) -> Result<(), Refused> {
    if operation.ty != OperationType::Mutation || size.fields < 2 {
        return Ok(());
    }
    let mut names = Vec::new();
    root_fields(document, &operation.selection_set.node, &mut names);
    names.retain(|name| *name != "__typename");
    let Some(first) = names.first() else { return Ok(()) };
    let harmless = HARMLESS.contains(first) && names.iter().all(|name| name == first);
    if names.len() > 1 && !harmless {
        return Err(Refused::Mutations);
    }
    Ok(())
}

/// The names of the root fields, fragments expanded. The document has been measured, so there are few.
pub(crate) fn root_fields<'a>(
    document: &'a ExecutableDocument,
    set: &'a SelectionSet,
    names: &mut Vec<&'a str>,
) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => names.push(field.node.name.node.as_str()),
            Selection::InlineFragment(inline) => {
                root_fields(document, &inline.node.selection_set.node, names);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    root_fields(document, &fragment.node.selection_set.node, names);
                }
            }
        }
    }
}
