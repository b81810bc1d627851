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

/// The fields of an object that lead to other objects.
pub fn fields_of_objects(object: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = None;
    for line in body(&format!("type {object} ")) {
        let (name, of) = match (line.strip_suffix('('), open) {
            (Some(name), None) => {
                open = Some(name);
                continue;
            }
            (None, Some(name)) => match line.strip_prefix("): ") {
                Some(of) => {
                    open = None;
                    (name, of)
                }
                None => continue,
            },
            _ => line.split_once(": ").unwrap_or((line, "")),
        };
        let of = of.trim_matches(['[', ']', '!']);
        if CONTRACT
            .lines()
            .any(|line| line.starts_with(&format!("type {of} ")))
        {
            found.insert(name.to_owned());
        }
    }
    found
}

/// The lines of a definition, without descriptions and the last brace.
fn body(opening: &str) -> Vec<&'static str> {
    let mut lines = CONTRACT
        .lines()
        .skip_while(|line| !line.starts_with(opening))
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
    assert!(fields("Subscription").contains_key("balanceUpdated"));
    let leading = fields_of_objects("Customer");
    assert!(
        leading.contains("balance") && leading.contains("ledger") && !leading.contains("name"),
        "{leading:?}"
    );
}
