//! The contract `schema.graphql`, read just far enough to insist that no root field is forgotten by a case.

use std::collections::{BTreeMap, BTreeSet};

const CONTRACT: &str = include_str!("../../../schema.graphql");

/// Root fields and their arguments as they are written, such as `id: ID!`.
pub type Fields = BTreeMap<String, Vec<&'static str>>;

/// The fields of one of the three root types.
pub fn fields(root: &str) -> Fields {
    let mut fields = Fields::new();
    let mut open = None;
    for line in body(&format!("type {root} {{")) {
        match (line.strip_suffix('('), open) {
            (Some(name), None) => open = Some(name),
            (None, Some(_)) if line.starts_with(')') => open = None,
            (None, Some(name)) => fields
                .entry(name.to_owned())
                .or_default()
                .push(line.trim_end_matches(',')),
            (None, None) => {
                drop(fields.insert(line.split(':').next().unwrap_or_default().to_owned(), Vec::new()))
            }
            (Some(_), Some(_)) => panic!("`{line}` is not understood"),
        }
    }
    fields
}

/// The root fields that name something which exists: by id, key or the vendor's own name, in an argument or in an input.
pub fn fields_that_name_something(root: &str) -> BTreeSet<String> {
    let names = |argument: &&str| match argument.split_once(": ") {
        Some((_, input)) if input.trim_end_matches('!').ends_with("Input") => {
            body(&format!("input {} {{", input.trim_end_matches('!')))
                .iter()
                .any(names_something)
        }
        _ => names_something(argument),
    };
    let named = fields(root)
        .into_iter()
        .filter(|(_, arguments)| arguments.iter().any(names));
    named.map(|(name, _)| name).collect()
}

fn names_something(field: &&str) -> bool {
    let (name, of) = field.split_once(": ").unwrap_or_default();
    of.starts_with("ID")
        || of.starts_with("[UsageEventInput")
        || ["key", "metricKey", "externalId"].contains(&name)
}

/// The lines of a definition, without descriptions and the last brace.
fn body(opening: &str) -> Vec<&'static str> {
    let mut lines = CONTRACT
        .lines()
        .skip_while(|line| *line != opening)
        .skip(1)
        .map(str::trim);
    let mut body = Vec::new();
    while let Some(line) = lines.next() {
        match line {
            "}" => return body,
            r#"""""# => drop(lines.find(|line| *line == r#"""""#)),
            _ => body.push(line),
        }
    }
    panic!("the contract has no `{opening}`")
}

#[test]
fn the_contract_is_read_as_it_is_written() {
    let queries = fields("Query");
    assert_eq!(queries["customer"], ["externalId: String", "id: ID"]);
    assert_eq!(queries["viewer"], Vec::<&str>::new());
    assert_eq!(fields("Mutation")["recordUsage"], ["input: RecordUsageInput!"]);
    assert_eq!(fields("Subscription").len(), 1);
    let naming = fields_that_name_something("Query");
    assert!(
        naming.contains("node") && naming.contains("metric") && !naming.contains("customers"),
        "{naming:?}"
    );
    let naming = fields_that_name_something("Mutation");
    assert!(
        naming.contains("recordUsage") && !naming.contains("createApiKey"),
        "{naming:?}"
    );
}
