//! Which column is what.

use std::collections::HashSet;

use app::customer::CustomerRef;
use csv::StringRecord;

use super::ImportArgs;
use crate::failure::{Failure, Outcome};

/// A metric or property and the name of its column, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) column: String,
}

/// Reads `NAME=COLUMN`.
pub(crate) fn pair(text: &str) -> Result<Column, String> {
    match text.split_once('=') {
        Some((name, column)) if !name.is_empty() && !column.is_empty() => Ok(Column {
            name: name.to_owned(),
            column: column.to_owned(),
        }),
        _ => Err("it must be NAME=COLUMN".to_owned()),
    }
}

/// A metric or property and the place of its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) column: String,
    pub(super) place: usize,
}

/// Whose usage a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    /// The same customer's in every row.
    Everywhere(CustomerRef),
    /// That of the customer in a column.
    In(Field),
}

/// Which column is what.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    /// Fields that a row must have.
    pub(super) width: usize,
    pub(super) who: Who,
    pub(super) metrics: Vec<Field>,
    pub(super) properties: Vec<Field>,
    pub(super) time: Option<Field>,
    pub(super) key: Option<Field>,
}

impl Mapping {
    /// Finds the columns in the header.
    ///
    /// # Errors
    /// A column that is not there, or there twice, or a metric or property that is mapped twice.
    pub(super) fn new(args: &ImportArgs, header: &StringRecord) -> Outcome<Self> {
        let field = |name: &str, column: &str| {
            Outcome::Ok(Field {
                name: name.to_owned(),
                column: column.to_owned(),
                place: place(header, column)?,
            })
        };
        let fields = |what: &str, columns: &[Column]| {
            let mut names = HashSet::new();
            let once = |column: &Column| {
                if names.insert(column.name.clone()) {
                    field(&column.name, &column.column)
                } else {
                    Err(Failure::new(format!(
                        "the {what} `{}` is mapped twice",
                        column.name
                    )))
                }
            };
            columns.iter().map(once).collect::<Outcome<Vec<_>>>()
        };
        let single =
            |column: &Option<String>| column.as_deref().map(|column| field(column, column)).transpose();
        let who = match (&args.customer, single(&args.customer_column)?) {
            (_, Some(column)) => Who::In(column),
            (Some(id), None) => Who::Everywhere(customer(id)),
            (None, None) => return Err(Failure::new("either --customer or --customer-column is needed")),
        };
        Ok(Self {
            width: header.len(),
            who,
            metrics: fields("metric", &args.metrics)?,
            properties: fields("property", &args.properties)?,
            time: single(&args.time_column)?,
            key: single(&args.key_column)?,
        })
    }
}

/// A customer by our id if it reads like one, otherwise by the vendor's own.
pub(super) fn customer(id: &str) -> CustomerRef {
    id.parse()
        .map_or_else(|_| CustomerRef::External(id.to_owned()), CustomerRef::Id)
}

fn place(header: &StringRecord, column: &str) -> Outcome<usize> {
    let mut places = header.iter().enumerate().filter(|(_, name)| *name == column);
    match (places.next(), places.next()) {
        (Some((place, _)), None) => Ok(place),
        (Some(_), Some(_)) => Err(Failure::new(format!(
            "the file has more than one column `{column}`"
        ))),
        (None, _) => {
            let all: Vec<_> = header.iter().map(|name| format!("`{name}`")).collect();
            Err(Failure::new(format!(
                "the file has no column `{column}`; its columns are {}",
                all.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ImportArgs {
        ImportArgs {
            customer: Some("acme".to_owned()),
            metrics: vec![pair("tokens=N").unwrap()],
            ..ImportArgs::default()
        }
    }

    fn header() -> StringRecord {
        StringRecord::from(vec!["T", "N", "N2", "Twice", "Twice"])
    }

    #[test]
    fn columns_are_found() {
        let args = ImportArgs {
            time_column: Some("T".to_owned()),
            metrics: vec![pair("tokens=N").unwrap(), pair("more=N2").unwrap()],
            ..args()
        };
        let mapping = Mapping::new(&args, &header()).unwrap();
        let places: Vec<_> = mapping.metrics.iter().map(|metric| metric.place).collect();
        assert_eq!(places, [1, 2]);
        assert_eq!(mapping.time.map(|time| time.place), Some(0));
        assert_eq!(
            mapping.who,
            Who::Everywhere(CustomerRef::External("acme".to_owned()))
        );
        assert_eq!(mapping.width, 5);
    }

    #[test]
    fn what_cannot_be_meant() {
        for (args, words) in [
            (
                ImportArgs {
                    time_column: Some("t".to_owned()),
                    ..args()
                },
                "no column `t`; its columns are `T`, `N`",
            ),
            (
                ImportArgs {
                    key_column: Some("Twice".to_owned()),
                    ..args()
                },
                "more than one column `Twice`",
            ),
            (
                ImportArgs {
                    metrics: vec![pair("a=N").unwrap(), pair("a=N2").unwrap()],
                    ..args()
                },
                "the metric `a` is mapped twice",
            ),
        ] {
            let complaint = Mapping::new(&args, &header()).unwrap_err().to_string();
            assert!(complaint.contains(words), "{complaint}");
        }
        for bad in ["tokens", "=N", "tokens=", ""] {
            assert!(pair(bad).is_err(), "{bad}");
        }
        assert_eq!(pair("a=b=c").unwrap().column, "b=c");
    }
}
