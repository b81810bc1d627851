//! What events say, as JSON Schema, and whether one says it.

use domain::event::{EventType, Field, Shape};
use serde_json::{Map, Value, json};

/// The JSON Schema of the `data` of a type of events (draft 2020-12).
#[must_use]
pub fn json_schema(kind: EventType) -> Value {
    let fields = kind.fields();
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.name.to_owned(), schema_of(field)))
        .collect();
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.as_str(),
        "description": kind.about(),
        "type": "object",
        "properties": properties,
        "required": names,
    })
}

fn schema_of(field: &Field) -> Value {
    let mut schema = shape(field.shape);
    if field.nullable
        && let Some(Value::String(kind)) = schema.get("type").cloned()
    {
        schema["type"] = json!([kind, "null"]);
    }
    schema
}

/// A decimal without exponent.
const DECIMAL: &str = "^-?[0-9]+(\\.[0-9]+)?$";

fn shape(shape: Shape) -> Value {
    match shape {
        Shape::Id => json!({ "type": "string", "pattern": "^[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}$" }),
        Shape::Text => json!({ "type": "string" }),
        Shape::Word => json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]*$" }),
        Shape::Url => json!({ "type": "string", "format": "uri" }),
        Shape::Credits => json!({ "type": "string", "pattern": DECIMAL, "description": "Credits." }),
        Shape::Amount => {
            json!({ "type": "string", "pattern": DECIMAL, "description": "Money, in the unit of `currency`." })
        }
        Shape::Currency => json!({ "type": "string", "pattern": "^[A-Z]{3}$" }),
        Shape::Instant => json!({ "type": "string", "format": "date-time" }),
        Shape::Whole => json!({ "type": "integer" }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Period => json!({
            "type": "object",
            "properties": { "start": shape_of_instant(), "end": shape_of_instant() },
            "required": ["start", "end"],
        }),
        Shape::UsageSummary => usage_summary(),
        Shape::Blocks => blocks(),
    }
}

fn shape_of_instant() -> Value {
    shape(Shape::Instant)
}

fn blocks() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "block_id": shape(Shape::Id),
                "remaining": shape(Shape::Credits),
                "expires_at": shape_of_instant(),
            },
            "required": ["block_id", "remaining", "expires_at"],
        },
    })
}

fn usage_summary() -> Value {
    let credits = shape(Shape::Credits);
    json!({
        "type": "object",
        "properties": {
            "total_credits_consumed": credits,
            "net_balance_at_cycle_start": credits,
            "net_balance_at_cycle_end": credits,
            "by_billable_metric": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": { "units": { "type": "string", "pattern": DECIMAL }, "credits": credits },
                    "required": ["units", "credits"],
                },
            },
        },
        "required": [
            "total_credits_consumed", "net_balance_at_cycle_start", "net_balance_at_cycle_end", "by_billable_metric",
        ],
    })
}

/// What is wrong with the `data` of an event; `None`: nothing.
#[must_use]
pub fn mismatch(kind: EventType, data: &Map<String, Value>) -> Option<String> {
    let fields = kind.fields();
    let stranger = data
        .keys()
        .find(|name| fields.iter().all(|field| field.name != name.as_str()));
    if let Some(name) = stranger {
        return Some(format!("`{name}` is no field of it"));
    }
    fields.iter().find_map(|field| match data.get(field.name) {
        None => Some(format!("`{}` is missing", field.name)),
        Some(Value::Null) if field.nullable => None,
        Some(value) if holds(field.shape, value) => None,
        Some(value) => Some(format!("`{}` cannot be {value}", field.name)),
    })
}

/// Whether a value is of a shape.
fn holds(shape: Shape, value: &Value) -> bool {
    let text = |good: fn(&str) -> bool| value.as_str().is_some_and(good);
    match shape {
        Shape::Id => text(is_id),
        Shape::Text | Shape::Url => value.is_string(),
        Shape::Word => text(is_word),
        Shape::Credits | Shape::Amount => text(is_decimal),
        Shape::Currency => text(|it| it.len() == 3 && it.bytes().all(|byte| byte.is_ascii_uppercase())),
        Shape::Instant => text(|it| it.parse::<domain::time::Timestamp>().is_ok()),
        Shape::Whole => value.is_i64(),
        Shape::Flag => value.is_boolean(),
        Shape::Period => value.as_object().is_some_and(|it| {
            it.len() == 2
                && ["start", "end"]
                    .iter()
                    .all(|name| it.get(*name).is_some_and(is_instant))
        }),
        Shape::UsageSummary => value.get("by_billable_metric").is_some_and(Value::is_object),
        Shape::Blocks => value.as_array().is_some_and(|all| all.iter().all(is_block)),
    }
}

fn is_block(value: &Value) -> bool {
    let fields = [
        ("block_id", Shape::Id),
        ("remaining", Shape::Credits),
        ("expires_at", Shape::Instant),
    ];
    let has = |(name, shape): &(&str, Shape)| value.get(name).is_some_and(|it| holds(*shape, it));
    value.as_object().is_some_and(|it| it.len() == fields.len()) && fields.iter().all(has)
}

fn is_instant(value: &Value) -> bool {
    holds(Shape::Instant, value)
}

fn is_id(text: &str) -> bool {
    text.len() == 30 && text.as_bytes().get(3) == Some(&b'_')
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, part]
        .iter()
        .all(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_its_type_has_and_nothing_else() {
        let id = "whe_00000000000000000000000007";
        let good = json!({ "webhook_endpoint_id": id });
        let cases = [
            (good, None),
            (json!({}), Some("`webhook_endpoint_id` is missing")),
            (
                json!({ "webhook_endpoint_id": id, "more": 1 }),
                Some("`more` is no field of it"),
            ),
            (
                json!({ "webhook_endpoint_id": null }),
                Some("`webhook_endpoint_id` cannot be null"),
            ),
            (
                json!({ "webhook_endpoint_id": "x" }),
                Some("`webhook_endpoint_id` cannot be \"x\""),
            ),
        ];
        for (data, wanted) in cases {
            let Value::Object(data) = data else {
                panic!("{data}")
            };
            assert_eq!(mismatch(EventType::WebhookTest, &data).as_deref(), wanted);
        }
    }

    #[test]
    fn every_type_has_a_schema() {
        for &kind in EventType::ALL {
            let schema = json_schema(kind);
            let properties = schema["properties"].as_object().map(Map::len);
            assert_eq!(properties, Some(kind.fields().len()), "{kind}");
        }
    }
}
