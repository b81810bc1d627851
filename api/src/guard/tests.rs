use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use async_graphql::parser::parse_query;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{shape::Shape, *};
use crate::graphql;

/// What even a loaded machine must not need for a document that is accepted, parser and validation included.
const PATIENCE: Duration = Duration::from_secs(5);

/// What GraphiQL and most other tools send.
const INTROSPECTION: &str = r"query IntrospectionQuery {
  __schema { queryType { name } mutationType { name } subscriptionType { name }
    types { ...FullType } directives { name description locations args { ...InputValue } } } }
fragment FullType on __Type { kind name description specifiedByURL
  fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
  inputFields { ...InputValue } interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
  ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }";

fn judge(document: &str) -> Result<Shape, Refused> {
    scan(document)?;
    measure(&parse_query(document).map_err(|problem| Refused::Syntax(problem.to_string()))?)
}

#[track_caller]
fn assert_too_many(document: &str, words: &str) {
    let refused = judge(document).expect_err(document);
    assert!(refused.to_string().contains(words), "{refused}");
    assert_eq!(refused.code(), error::QUERY_TOO_COMPLEX);
}

#[test]
fn lengths() {
    assert_too_many(&" ".repeat(MAX_DOCUMENT + 1), "32768 bytes");
    assert_too_many(&"a ".repeat(MAX_TOKENS + 1), "4000 tokens");
    assert_too_many(
        &format!("{{ {} }}", "a".repeat(MAX_NAME + 1)),
        "255 bytes in a name",
    );
}

#[test]
fn brackets() {
    let nested = |n: usize| format!("{{ a(b: {}{}) }}", "[".repeat(n), "]".repeat(n));
    assert!(judge(&nested(30)).is_ok());
    assert_too_many(&nested(31), "32 brackets");
    for open in ["[", "{a:", "(", "{a"] {
        assert_too_many(&open.repeat(5_000), "32 brackets");
    }
    assert_too_many(&format!("query($a: {}Int", "[".repeat(5_000)), "32 brackets");
}

#[test]
fn strings_and_comments_hide_nothing_but_text() {
    let brackets = "[".repeat(100);
    for document in [
        format!("{{ a(b: \"{brackets}\") }}"),
        format!("{{ a(b: \"\\\"{brackets}\") }}"),
        format!("{{ a(b: \"\\\\\", c: \"{brackets}\") }}"),
        format!("{{ a(b: \"\"\"{brackets} \\\"\"\" \" {brackets}\"\"\") }}"),
        format!("# {brackets}\n{{ a }}"),
        format!("# \"{brackets}\r{{ a }}"),
    ] {
        assert!(judge(&document).is_ok(), "{document}");
    }
    for document in [
        format!("{{ a(b: \"\") }} {brackets}"),
        format!("# \" \n {brackets}"),
        format!("# \" \r {brackets}"),
        format!("{{ a(b: \"\"\"\"\"\" c: {brackets}"),
        format!("{{ a(b: \"\\\\\" c: {brackets}"),
    ] {
        assert_too_many(&document, "32 brackets");
    }
    // The parser reads a block that does not end as an empty string and goes on after it.
    for document in [
        format!("{{ a(b: [\"\"\"x\" {brackets}"),
        format!("{{ a(b: \" \n {brackets}"),
        format!("{{ a(b: \" \r {brackets}"),
        "{ a(b: \"\\".to_owned(),
    ] {
        assert!(matches!(scan(&document), Err(Refused::Syntax(_))), "{document}");
    }
}

#[test]
fn nul_is_refused_wherever_it_hides() {
    for document in [
        "{ a(b: \"\0\") }",
        "{ a(b: \"\\u0000\") }",
        "{ a(b: \"\"\"\0\"\"\") }",
        "\0",
    ] {
        assert_eq!(scan(document), Err(Refused::Nul), "{document:?}");
    }
    assert_eq!(
        scan("{ a(b: \"\\\\u0000\") }"),
        Ok(()),
        "a backslash and five letters"
    );
    for variables in [
        json!({"a": "\0"}),
        json!({"a": [{"b": "x\0"}]}),
        json!({"\0": 1}),
        json!({"a": {"\0": 1}}),
    ] {
        assert_eq!(
            variables_of(&variables, Room::Usual),
            Err(Refused::Nul),
            "{variables}"
        );
    }
}

/// Each fragment spreads the next one twice: 2^n fields from n lines.
fn bomb(n: usize) -> String {
    let mut text = String::from("{ ...f0 }");
    for i in 0..n {
        write!(text, " fragment f{i} on Query {{ ...f{} ...f{} }}", i + 1, i + 1).unwrap();
    }
    write!(text, " fragment f{n} on Query {{ __typename }}").unwrap();
    text
}

#[test]
fn fragment_bombs_are_refused_in_a_number_of_steps_that_is_linear_in_their_length() {
    assert!(judge(&bomb(3)).is_ok());
    for n in [20, 28, 45] {
        let text = bomb(n);
        scan(&text).unwrap();
        let document = parse_query(&text).unwrap();
        let begun = Instant::now();
        assert!(matches!(measure(&document), Err(Refused::TooMany { .. })), "{n}");
        assert!(begun.elapsed() < Duration::from_millis(500));
    }
    assert_too_many(&bomb(60), "50 fragments");
    // A fragment is measured once, however often it is spread.
    let spread = format!(
        "{{ x {{ {} }} }} fragment f on Query {{ {} }}",
        "...f ".repeat(30),
        "a ".repeat(30)
    );
    let shape = judge(&spread).unwrap();
    assert_eq!((shape.nodes, shape.steps), (1 + 30 * 31, 1 + 30 + 30));
}

#[test]
fn fragments_that_nobody_spreads_count_too() {
    let text = bomb(28).replacen("{ ...f0 }", "{ __typename }", 1);
    assert!(judge(&text).is_err());
}

#[test]
fn fragments_do_not_spread_themselves() {
    for text in [
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { x { ...b } } fragment b on Query { ...a }",
        "{ x } fragment a on Query { ... { ...a } }",
    ] {
        assert_eq!(judge(text), Err(Refused::Cycle("a".to_owned())), "{text}");
    }
}

#[test]
fn counts() {
    let operations = (0..6).fold(String::new(), |text, n| text + &format!("query Q{n} {{ a }} "));
    assert_too_many(&operations, "5 operations");
    assert_too_many(&format!("{{ {} }}", "a ".repeat(11)), "10 root fields");
    assert_too_many(
        &format!("{{ ...f ...f }} fragment f on Q {{ {} }}", "a ".repeat(6)),
        "10 root fields",
    );
    let aliases = (0..21).fold(String::new(), |text, n| text + &format!("a{n}: a "));
    assert_too_many(&format!("{{ x {{ {aliases} }} }}"), "20 aliases");
    assert_too_many(
        &format!("{{ a {} }}", "@skip(if: true) ".repeat(6)),
        "5 directives",
    );
    assert_too_many(&format!("query {} {{ a }}", "@a ".repeat(6)), "5 directives");
    let directives = "a @a @b @c @d @e ".repeat(11);
    assert_too_many(&format!("{{ x {{ {directives} }} }}"), "50 directives");
    assert_too_many(&format!("{{ x {{ {} }} }}", "a ".repeat(2_000)), "2000 fields");
    assert_too_many(&format!("{{ x(a: [{}]) }}", "1 ".repeat(2_000)), "2000 fields");
    let variables = (0..101).fold(String::new(), |text, n| text + &format!("$a{n}: Int "));
    assert_too_many(&format!("query({variables}) {{ a }}"), "100 variables");
    let chain = (0..40).fold(String::new(), |text, n| {
        text + &format!("fragment f{n} on Q {{ a {{ ...f{} }} }} ", n + 1)
    });
    assert_too_many(
        &format!("{{ ...f0 }} {chain} fragment f40 on Q {{ a }}"),
        "32 selections",
    );
}

#[test]
fn mutations_that_move_something_come_alone() {
    for (text, fine) in [
        ("mutation { grantCredits { a } }", true),
        ("mutation { __typename grantCredits { a } }", true),
        ("mutation { grantCredits { a } b: grantCredits { a } }", false),
        ("mutation { recordUsage { a } grantCredits { a } }", false),
        (
            "mutation { ...F ...F } fragment F on Mutation { grantCredits { a } }",
            false,
        ),
        (
            "mutation { ... { grantCredits { a } } ... { x: revokeBlock { a } } }",
            false,
        ),
        (
            "mutation { a: createCustomer { a } b: createCustomer { a } }",
            true,
        ),
        ("mutation { createCustomer { a } createMetric { a } }", false),
        ("mutation { createApiKey { a } b: createApiKey { a } }", false),
        ("query { a b }", true),
    ] {
        assert_eq!(judge(text) != Err(Refused::Mutations), fine, "{text}");
    }
}

#[test]
fn what_tools_send_is_accepted() {
    let shape = judge(INTROSPECTION).unwrap();
    assert!(shape.nodes < 500, "{shape:?}");
    let mut request = async_graphql::Request::new("");
    request.set_parsed_query(parse_query(INTROSPECTION).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(graphql::schema(true).execute(request));
    assert!(answer.is_ok(), "{:?}", answer.errors);
}

fn variables_of(variables: &Value, room: Room) -> Result<(), Refused> {
    check_variables(variables.as_object().unwrap(), variables.to_string().len(), room)
}

#[test]
fn variables_are_bounded() {
    let usual = |variables: Value| variables_of(&variables, Room::Usual);
    let nested = |n: usize| (0..n).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(usual(json!({"a": ["b", 1, null, true, 1.5e300]})), Ok(()));
    assert_eq!(usual(json!({"a": nested(7)})), Ok(()));
    let names: serde_json::Map<_, _> = (0..101).map(|n| (format!("a{n}"), json!(1))).collect();
    for (variables, words) in [
        (json!({"a": nested(8)}), "8 levels"),
        (json!({"a": "x".repeat(17_000)}), "bytes in a text"),
        (json!({"a": {"x".repeat(17_000): 1}}), "bytes in a text"),
        (json!({"a": vec![1; 1_001]}), "1000 items"),
        (json!({"a": vec!["x".repeat(1_000); 70]}), "65536 bytes"),
        (Value::Object(names), "100 names"),
    ] {
        assert!(
            usual(variables.clone()).unwrap_err().to_string().contains(words),
            "{words}"
        );
    }
    assert_eq!(
        variables_of(&json!({"events": vec!["x".repeat(500); 1_500]}), Room::Usage),
        Ok(())
    );
    assert!(variables_of(&json!({"events": nested(8)}), Room::Usage).is_err());
}

/// Pieces from which documents are made that are sometimes right and often nearly so.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "\"",
            "\"\"\"",
            "\\\"\"\"",
            "\\",
            "#",
            "\n",
            "\r",
            "...",
            "...f0",
            "...f1",
            "on Query",
            "fragment f0 on Query {",
            "fragment f1 on Customer {",
            "query A {",
            "mutation {",
            "{ viewer { scopes",
            "@skip(if: true)",
            "@include(if: $x)",
            "a:",
            "$x",
            "1",
            "-1.5e3",
            "\"text\"",
            "customer(externalId: \"a\")",
            "nodes",
            "balance",
            "__schema",
            "types { name fields { name } }",
            ",",
            "!",
            "query($x: [[Boolean!]]! = [[true]]) {",
            "\u{feff}",
            "é",
            "null",
            "true",
            "=",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,8}",
        (
            1_usize..60,
            prop::sample::select(vec!["[", "{", "(", "{a:", "]", "}", "a ", "...f0 "])
        )
            .prop_map(|(n, text)| text.repeat(n)),
    ]
}

/// Documents that are right as far as their brackets go.
fn tree() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "viewer",
        "scopes",
        "...f0",
        "...f1",
        "...f2",
        "__typename",
        "x: id",
        "customer(id: \"x\")",
        "a(b: [[1], {c: \"}\"}])",
        "metrics(first: 3)",
        "nodes",
        "id @skip(if: false)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(12, 200, 8, |inner| {
        (
            prop::sample::select(vec![
                "customer(externalId: \"a\")",
                "nodes",
                "...",
                "... on Query",
                "balance",
                "blocks(first: 100)",
            ]),
            prop::collection::vec(inner, 1..8),
        )
            .prop_map(|(name, inner)| format!("{name} {{ {} }}", inner.join(" ")))
    })
}

fn accepted_means_quick(document: &str) {
    let begun = Instant::now();
    if judge(document).is_ok() {
        // Nothing is executed: without a caller no resolver gets far, and validation comes first.
        let schema = graphql::schema(true);
        let mut request = async_graphql::Request::new("");
        request.set_parsed_query(parse_query(document).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime.block_on(schema.execute(request));
        assert!(serde_json::to_string(&answer).unwrap().len() < 16 << 20);
    }
    assert!(begun.elapsed() < PATIENCE, "{document}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_judged_quickly_and_what_is_accepted_is_validated_quickly(pieces in prop::collection::vec(piece(), 0..60)) {
        accepted_means_quick(&pieces.join(" "));
        accepted_means_quick(&pieces.concat());
    }

    #[test]
    fn documents_with_fragments_are_judged_quickly(operation in tree(), fragments in prop::collection::vec(tree(), 3)) {
        let fragments: String = fragments.iter().enumerate()
            .map(|(n, body)| format!(" fragment f{n} on Query {{ {body} }}")).collect();
        accepted_means_quick(&format!("query {{ {operation} }}{fragments}"));
    }
}
