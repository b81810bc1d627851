use async_graphql::parser::parse_query;

use super::*;

const RECORD: &str = "mutation Record($events: [UsageEventInput!]!) { recordUsage(input: {events: $events}) {
  results { index outcome reason eventId } acceptedCount duplicateCount userErrors { code path message } } }";
const EVENTS: &str =
    r#"{"events":[{"externalCustomerId":"a","metricKey":"call","units":"1","idempotencyKey":"k"}]}"#;
const CHECK: &str = "query($who: String!, $units: Decimal) {
  may: entitlement(externalCustomerId: $who, metricKey: \"call\", units: $units) { allowed reason affordableUnits available asOf } }";

const LIVE: &str = "subscription Live($who: String!, $after: SafeInt) {
  b: balanceUpdated(externalCustomerId: $who, after: $after) { sequence remaining available overdraft held customerId __typename } }";

fn watches(text: &str, variables: &str) -> bool {
    plan(text).is_some_and(|plan| plan.watch(Some(variables)).is_some())
}

fn plan(text: &str) -> Option<Plan> {
    Plan::of(&parse_query(text).unwrap())
}

fn takes(text: &str, variables: &str) -> bool {
    plan(text).is_some_and(|plan| plan.read(Some(variables)).is_some())
}

#[test]
fn what_producers_and_gateways_send_goes_down_the_lane() {
    assert!(takes(RECORD, EVENTS));
    let input =
        "mutation($in: RecordUsageInput!) { r: recordUsage(input: $in) { n: acceptedCount __typename } }";
    assert!(takes(input, &format!("{{\"in\":{EVENTS}}}")));
    let full = r#"{"events":[{"customerId":null,"externalCustomerId":"a","metricKey":"call","units":"1","idempotencyKey":"k",
        "occurredAt":"2026-01-01T00:00:00Z","properties":{"model":"large","cached":true,"n":1.5}}]}"#;
    assert!(takes(RECORD, full));
    assert!(takes(RECORD, r#"{"events":[]}"#));
    assert!(takes(CHECK, r#"{"who":"a","units":"5"}"#));
    assert!(takes(CHECK, r#"{"who":"a"}"#));
    assert!(takes(CHECK, r#"{"who":"a","units":null}"#));
    assert!(takes(
        "{ entitlement(customerId: \"cus_1\", metricKey: \"call\") { allowed } }",
        "{}"
    ));
}

#[test]
fn what_pages_watch_goes_down_the_lane() {
    assert!(watches(LIVE, r#"{"who":"a","after":5}"#));
    assert!(watches(LIVE, r#"{"who":"a","after":"5"}"#));
    assert!(watches(LIVE, r#"{"who":"a"}"#));
    assert!(watches(LIVE, r#"{"who":"a","after":null}"#));
    for text in [
        "subscription { balanceUpdated(externalCustomerId: \"a\") { remaining } }",
        "subscription { balanceUpdated(customerId: \"cus_1\", after: 7) { remaining } }",
        "subscription { balanceUpdated { remaining } }",
    ] {
        assert!(watches(text, "{}"), "{text}");
        assert!(!takes(text, "{}"), "it is never answered once: {text}");
    }
    assert!(plan(RECORD).is_some_and(|plan| plan.watch(Some(EVENTS)).is_none()));
    assert!(plan(CHECK).is_some_and(|plan| plan.watch(Some(r#"{"who":"a"}"#)).is_none()));
    for variables in [
        "{}",
        r#"{"who":null}"#,
        r#"{"who":1}"#,
        r#"{"who":"a","after":-1}"#,
        r#"{"who":"a","after":1.5}"#,
        r#"{"who":"a","after":9007199254740992}"#,
        r#"{"who":"a","after":"x"}"#,
        r#"{"who":"a","after":true}"#,
        r#"{"who":"a","x":1}"#,
    ] {
        assert!(!watches(LIVE, variables), "{variables}");
    }
}

#[test]
fn documents_that_are_not_plain_go_the_general_way() {
    for text in [
        "{ viewer { scopes } }",
        "{ a: entitlement(metricKey: \"a\") { allowed } b: entitlement(metricKey: \"b\") { allowed } }",
        "{ entitlement(metricKey: \"a\") @include(if: true) { allowed } }",
        "{ entitlement(metricKey: \"a\") { allowed @include(if: true) } }",
        "{ entitlement(metricKey: \"a\") { allowed allowed } }",
        "{ entitlement(metricKey: \"a\") { ... { allowed } } }",
        "{ entitlement(metricKey: \"a\") { ...f } } fragment f on Entitlement { allowed }",
        "{ entitlement(metricKey: \"a\") { allowed { x } } }",
        "{ entitlement(metricKey: \"a\") { secrets } }",
        "{ entitlement(metricKey: \"a\") }",
        "{ entitlement(externalCustomerId: \"a\") { allowed } }",
        "{ entitlement(metricKey: \"a\", metricKey: \"a\") { allowed } }",
        "{ entitlement(metricKey: \"a\", colour: \"a\") { allowed } }",
        "{ entitlement(metricKey: \"a\", units: 1) { allowed } }",
        "{ entitlement(metricKey: \"a\", properties: {a: 1}) { allowed } }",
        "query($m: String) { entitlement(metricKey: $m) { allowed } }",
        "query($m: String! = \"a\") { entitlement(metricKey: $m) { allowed } }",
        "query($m: String!, $n: String) { entitlement(metricKey: $m) { allowed } }",
        "query($m: String!) { entitlement(metricKey: $m, externalCustomerId: $m) { allowed } }",
        "query($m: String! @a) { entitlement(metricKey: $m) { allowed } }",
        "query @a { entitlement(metricKey: \"a\") { allowed } }",
        "query($m: String!, $m: String!) { entitlement(metricKey: $m) { allowed } }",
        "query A { entitlement(metricKey: \"a\") { allowed } } query B { x }",
        "mutation { recordUsage(input: {events: []}) { acceptedCount } }",
        "mutation($e: [UsageEventInput!]) { recordUsage(input: {events: $e}) { acceptedCount } }",
        "mutation($e: [UsageEventInput!]!) { recordUsage(input: {events: [$e]}) { acceptedCount } }",
        "mutation($e: [UsageEventInput!]!) { recordUsage(input: {events: $e, x: 1}) { acceptedCount } }",
        "mutation($e: [UsageEventInput!]!) { recordUsage(input: {events: $e}) { results } }",
        "mutation($e: [UsageEventInput!]!) { recordUsage(input: {events: $e}) { results { index { x } } } }",
        "query($e: [UsageEventInput!]!) { recordUsage(input: {events: $e}) { acceptedCount } }",
        "mutation { entitlement(metricKey: \"a\") { allowed } }",
        "subscription { entitlement(metricKey: \"a\") { allowed } }",
        "{ balanceUpdated(externalCustomerId: \"a\") { sequence } }",
        "subscription { balanceUpdated(externalCustomerId: \"a\") { sequence @include(if: true) } }",
        "subscription { balanceUpdated(externalCustomerId: \"a\") { secrets } }",
        "subscription { balanceUpdated(externalCustomerId: \"a\") }",
        "subscription { balanceUpdated(externalCustomerId: \"a\", after: null) { sequence } }",
        "subscription { balanceUpdated(externalCustomerId: 5) { sequence } }",
        "subscription($a: Int) { balanceUpdated(after: $a) { sequence } }",
        "subscription { a: balanceUpdated { sequence } b: balanceUpdated { sequence } }",
    ] {
        assert!(plan(text).is_none(), "{text}");
    }
}

#[test]
fn values_that_are_not_plain_go_the_general_way() {
    let event = |change: &str| {
        let fields = r#""externalCustomerId":"a","metricKey":"call","idempotencyKey":"k""#;
        format!("{{\"events\":[{{{fields},{change}}}]}}")
    };
    assert!(takes(RECORD, &event(r#""units":"1""#)));
    for change in [
        r#""units":1"#,
        r#""units":null"#,
        r#""units":"1","units":"2""#,
        r#""units":"1","colour":"red""#,
        r#""units":"1","occurredAt":"yesterday""#,
        r#""units":"1","occurredAt":1"#,
        r#""units":"1\u0000""#,
        r#""units":"1","customerId":1"#,
        r#""units":"1","properties":[]"#,
        r#""units":"1","properties":{"a":{}}"#,
        r#""units":"1","properties":{"a":"\u0000"}"#,
        &format!(r#""units":"{}""#, "1".repeat(2_000)),
    ] {
        assert!(!takes(RECORD, &event(change)), "{change}");
    }
    for variables in [
        "null",
        "[]",
        "{}",
        "{",
        r#"{"events":{}}"#,
        r#"{"events":[1]}"#,
        r#"{"events":[],"x":1}"#,
        r#"{"x":1,"events":[]}"#,
        r#"{"events":[]}x"#,
    ] {
        assert!(!takes(RECORD, variables), "{variables}");
    }
    for variables in [
        "null",
        "[]",
        "{}",
        r#"{"who":null}"#,
        r#"{"who":1}"#,
        r#"{"who":"a","who":"a"}"#,
        r#"{"who":"a","x":1}"#,
        r#"{"who":"a","units":5}"#,
        r#"{"who":"a\u0000"}"#,
    ] {
        assert!(!takes(CHECK, variables), "{variables}");
    }
}
