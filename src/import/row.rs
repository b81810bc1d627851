//! From a row to events, or to the reason why not. A row is taken as a whole or not at all.

use app::{customer::CustomerRef, usage::NewEvent};
use csv::{ByteRecord, StringRecord};
use domain::{
    amount::Quantity,
    metering::rule::{Properties, validate_properties},
    time::Timestamp,
    usage::{
        event::{Refusal, is_key},
        limits::check_occurred_at,
    },
};
use serde_json::{Map, Value};

use super::{
    key::{Keys, RowKey},
    mapping::{self, Field, Mapping, Who},
};

/// Seconds in a day.
const DAY: i64 = 86_400;

/// Turns rows into events, one after the other.
pub(super) struct Reader {
    mapping: Mapping,
    keys: Keys,
    now: Timestamp,
    /// Oldest event that is accepted, in seconds before now; `None`: any.
    max_age: Option<i64>,
}

impl Reader {
    /// A reader for rows whose owner is `scope`, with a back-date limit in days unless history is welcome.
    pub(super) fn new(mapping: Mapping, scope: String, now: Timestamp, max_days: Option<i64>) -> Self {
        Self {
            mapping,
            keys: Keys::new(scope),
            now,
            max_age: max_days.map(|days| days * DAY),
        }
    }

    /// Events in every row.
    pub(super) fn events_per_row(&self) -> usize {
        self.mapping.metrics.len()
    }

    /// The events of the next row of the file.
    ///
    /// # Errors
    /// The reason why the row is bad.
    pub(super) fn read(&mut self, raw: &ByteRecord) -> Result<Vec<NewEvent>, String> {
        let row =
            StringRecord::from_byte_record(raw.clone()).map_err(|_| "the row is not in UTF-8".to_owned())?;
        if row.len() != self.mapping.width {
            let open = if row.iter().any(|field| field.contains('\n')) {
                "; it goes over several lines: is a quotation mark left open?"
            } else {
                ""
            };
            let (has, needs) = (row.len(), self.mapping.width);
            return Err(format!("the row has {has} fields and the header {needs}{open}"));
        }
        // Counted even if the row turns out bad, so that it does not matter whether it is bad the next time.
        let derived = self.keys.next(&row);
        let customer = self.customer(&row)?;
        let occurred_at = self.time(&row)?;
        let properties = self.properties(&row)?;
        let event = |metric: &Field| {
            Ok(NewEvent {
                customer: Some(customer.clone()),
                metric_key: metric.name.clone(),
                units: units(&row, metric)?,
                key: self.key(&row, metric, &derived)?,
                occurred_at,
                properties: properties.clone(),
            })
        };
        self.mapping.metrics.iter().map(event).collect()
    }

    fn customer(&self, row: &StringRecord) -> Result<CustomerRef, String> {
        match &self.mapping.who {
            Who::Everywhere(customer) => Ok(customer.clone()),
            Who::In(column) => match &row[column.place] {
                "" => Err(format!("`{}` is empty", column.column)),
                id => Ok(mapping::customer(id)),
            },
        }
    }

    fn time(&self, row: &StringRecord) -> Result<Option<Timestamp>, String> {
        let Some(column) = &self.mapping.time else {
            return Ok(None);
        };
        let text = row[column.place].trim();
        let time = parse_time(text).ok_or_else(|| {
            format!(
                "`{}` is `{text}`, which is neither RFC 3339 nor `YYYY-MM-DD HH:MM:SS` between 1970 and 9999",
                column.column
            )
        })?;
        match check_occurred_at(time, self.now, self.max_age) {
            Ok(()) => Ok(Some(time)),
            Err(Refusal::OccurredTooLongAgo) => Err(format!(
                "{time} is older than the back-date limit of {} days; --allow-history accepts it",
                self.max_age.unwrap_or(0) / DAY
            )),
            Err(refusal) => Err(format!("{time}: {refusal}")),
        }
    }

    fn properties(&self, row: &StringRecord) -> Result<Option<Value>, String> {
        let given = self.mapping.properties.iter();
        let named: Properties = given
            .map(|field| (field.name.clone(), row[field.place].to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        validate_properties(&named, "").map_err(|refusal| refusal.message)?;
        let json: Map<_, _> = named
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        Ok((!json.is_empty()).then_some(Value::Object(json)))
    }

    fn key(&self, row: &StringRecord, metric: &Field, derived: &RowKey) -> Result<String, String> {
        let Some(column) = &self.mapping.key else {
            return Ok(derived.of(&metric.name));
        };
        let own = &row[column.place];
        let key = match self.mapping.metrics.len() {
            _ if own.is_empty() => return Err(format!("`{}` is empty", column.column)),
            1 => own.to_owned(),
            _ => format!("{own}:{}", metric.name),
        };
        if is_key(&key) {
            Ok(key)
        } else {
            Err(format!("`{}`: {}", column.column, Refusal::InvalidKey))
        }
    }
}

fn units(row: &StringRecord, metric: &Field) -> Result<String, String> {
    let text = row[metric.place].trim();
    let refusal = match text.parse::<Quantity>() {
        _ if text.is_empty() => return Err(format!("`{}` is empty", metric.column)),
        Ok(units) if !units.is_negative() => return Ok(text.to_owned()),
        Ok(_) => "units must not be negative".to_owned(),
        Err(_) => Refusal::InvalidUnits.to_string(),
    };
    Err(format!("`{}` is `{text}`: {refusal}", metric.column))
}

/// RFC 3339, or a date and a time with a space between and up to nine decimals, in UTC. Finer than a microsecond is cut off.
fn parse_time(text: &str) -> Option<Timestamp> {
    let plain = text.is_ascii() && text.len() >= "2026-11-20 15:04:05".len() && text.as_bytes()[10] == b' ';
    if plain
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"-: .".contains(&byte))
    {
        let (date, time) = text.split_at(10);
        let (clock, fraction) = time[1..].split_once('.').unwrap_or((&time[1..], "0"));
        let fine = clock.len() == "15:04:05".len() && (1..=9).contains(&fraction.len());
        return fine
            .then(|| format!("{date}T{clock}.{fraction}Z").parse().ok())
            .flatten();
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 5] = ["at", "n", "m", "who", "zone"];

    fn reader(change: impl FnOnce(&mut Mapping), max_days: Option<i64>) -> Reader {
        let field = |name: &str, place: usize| Field {
            name: name.to_owned(),
            column: HEADER[place].to_owned(),
            place,
        };
        let mut mapping = Mapping {
            width: HEADER.len(),
            who: Who::In(field("who", 3)),
            metrics: vec![field("input", 1), field("output", 2)],
            properties: vec![field("region", 4)],
            time: Some(field("at", 0)),
            key: None,
        };
        change(&mut mapping);
        let now = "2026-11-20T00:00:00Z".parse().unwrap();
        Reader::new(mapping, String::new(), now, max_days)
    }

    fn row(fields: [&str; 5]) -> ByteRecord {
        ByteRecord::from(fields.to_vec())
    }

    #[test]
    fn times() {
        for (text, means) in [
            ("2023-11-16 18:17:03.9799600", Some("2023-11-16T18:17:03.97996Z")),
            (
                "2023-11-16 18:17:03.123456789",
                Some("2023-11-16T18:17:03.123456Z"),
            ),
            ("2023-11-16 18:17:03", Some("2023-11-16T18:17:03Z")),
            ("2023-11-16T18:17:03+01:00", Some("2023-11-16T17:17:03Z")),
            ("2023-11-16T18:17:03.5Z", Some("2023-11-16T18:17:03.5Z")),
            ("2023-11-16 18:17:03.1234567890", None),
            ("2023-11-16 18:17:03.", None),
            ("2023-11-16 18:17", None),
            ("2023-11-16 8:17:03", None),
            ("2023-11-16T18:17:03", None),
            ("2023-02-30 18:17:03", None),
            ("1969-12-31 23:59:59", None),
            ("16.11.2023 18:17:03", None),
            ("", None),
        ] {
            let time = parse_time(text).map(|time| time.to_string());
            assert_eq!(time.as_deref(), means, "{text}");
        }
    }

    #[test]
    fn a_row_yields_an_event_per_metric() {
        let mut reader = reader(|_| {}, None);
        let events = reader
            .read(&row(["2023-11-16 18:17:03", " 4808 ", "10.5", "acme", "eu"]))
            .unwrap();
        let seen: Vec<_> = events
            .iter()
            .map(|event| (event.metric_key.as_str(), event.units.as_str()))
            .collect();
        assert_eq!(seen, [("input", "4808"), ("output", "10.5")]);
        assert_eq!(events[0].customer, Some(CustomerRef::External("acme".to_owned())));
        assert_eq!(events[0].properties, Some(serde_json::json!({"region": "eu"})));
        assert_ne!(events[0].key, events[1].key);
        let plain = reader
            .read(&row(["2023-11-16 18:17:03", "1", "1", "acme", ""]))
            .unwrap();
        assert_eq!(plain[0].properties, None);
    }

    #[test]
    fn bad_rows_say_why() {
        let long = "x".repeat(300);
        for (fields, words) in [
            (["yesterday", "1", "1", "a", ""], "`at` is `yesterday`"),
            (["2026-11-19 00:00:00", "", "1", "a", ""], "`n` is empty"),
            (
                ["2026-11-19 00:00:00", "1", "-1", "a", ""],
                "`m` is `-1`: units must not be negative",
            ),
            (["2026-11-19 00:00:00", "1e3", "1", "a", ""], "`n` is `1e3`"),
            (["2026-11-19 00:00:00", "1", "1", "", ""], "`who` is empty"),
            (["2026-11-19 00:00:00", "1", "1", "a", long.as_str()], "more than"),
            (["2026-11-21 00:00:00", "1", "1", "a", ""], "future"),
            (["2026-01-01 00:00:00", "1", "1", "a", ""], "--allow-history"),
        ] {
            let reason = reader(|_| {}, Some(35)).read(&row(fields)).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
        let mut reader = reader(|_| {}, None);
        let short = reader.read(&ByteRecord::from(vec!["1", "2"])).unwrap_err();
        assert_eq!(short, "the row has 2 fields and the header 5");
        let torn = reader.read(&ByteRecord::from(vec!["1", "2\n3,4\n"])).unwrap_err();
        assert!(torn.contains("quotation mark"), "{torn}");
        let foreign = reader.read(&ByteRecord::from(vec![&b"\xff"[..]; 5])).unwrap_err();
        assert!(foreign.contains("UTF-8"), "{foreign}");
    }

    #[test]
    fn own_keys() {
        let own = |mapping: &mut Mapping| mapping.key = Some(mapping.properties[0].clone());
        let fields = ["2026-11-19 00:00:00", "1", "1", "a", "k1"];
        let keys = |mut reader: Reader, fields| {
            let events = reader.read(&row(fields))?;
            Ok::<_, String>(events.into_iter().map(|event| event.key).collect::<Vec<_>>())
        };
        assert_eq!(
            keys(reader(own, None), fields).unwrap(),
            ["k1:input", "k1:output"]
        );
        let single = |mapping: &mut Mapping| {
            own(mapping);
            mapping.metrics.truncate(1);
        };
        assert_eq!(keys(reader(single, None), fields).unwrap(), ["k1"]);
        for bad in ["", "two words", "ключ"] {
            let fields = ["2026-11-19 00:00:00", "1", "1", "a", bad];
            assert!(keys(reader(own, None), fields).is_err(), "{bad}");
        }
    }
}
