//! Many rows in one statement, in the words of both databases.
//!
//! Each column travels as one parameter whatever the number of rows: arrays on PostgreSQL, one JSON text on SQLite. A
//! statement names the rows as `{rows}`:
//!
//! ```text
//! UPDATE block SET remaining = v.remaining FROM {rows} AS v WHERE block.id = v.id
//! ```

use std::fmt::Write as _;

use domain::{id::CustomerId, time::Timestamp};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExecResult, ExprTrait, QueryResult,
    Statement, Value,
    sea_query::{Expr, extension::postgres::PgFunc},
};
use uuid::Uuid;

use crate::db::Backend;

/// Whether a text can be in the database at all. PostgreSQL refuses a zero byte even in a comparison, with an error that
/// would spoil the whole request.
pub(crate) fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// None, in JSON.
const NULL: &str = "null";
/// Stands for "none" inside an array, which cannot hold one.
const NO_INT: i64 = i64::MIN;

/// Whether a column is one of some ids. However many there are, the statement is the same, so that it is read and planned once for each
/// connection; `IN` with a parameter for each would be another statement for each number of them.
pub(crate) fn among(
    db: &impl ConnectionTrait,
    column: impl ColumnTrait,
    ids: impl IntoIterator<Item = Uuid>,
) -> Expr {
    one_of(Backend::of(db), column, Column::Id(ids.into_iter().collect()))
}

/// The same for texts.
pub(crate) fn among_texts<T: AsRef<str>>(
    db: &impl ConnectionTrait,
    column: impl ColumnTrait,
    texts: impl IntoIterator<Item = T>,
) -> Expr {
    let texts = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
    one_of(Backend::of(db), column, Column::Text(texts))
}

fn one_of(backend: Backend, column: impl ColumnTrait, values: Column) -> Expr {
    let column = Expr::col(column.as_column_ref());
    match backend {
        Backend::Postgres => column.eq(PgFunc::any(Expr::val(values.array().1))),
        Backend::Sqlite => {
            let mut text = "[".to_owned();
            for line in 0..values.len() {
                text.push_str(if line == 0 { "" } else { "," });
                values.write(line, &mut text);
            }
            text.push(']');
            let wanted = match values {
                Column::Id(_) => "? IN (SELECT unhex(value) FROM json_each(?))",
                _ => "? IN (SELECT value FROM json_each(?))",
            };
            Expr::cust_with_exprs(wanted, [column, Expr::val(text)])
        }
    }
}

/// A column of the rows.
#[derive(Debug, Clone)]
enum Column {
    Int(Vec<i64>),
    OptInt(Vec<Option<i64>>),
    Text(Vec<String>),
    /// An empty text counts as none.
    OptText(Vec<Option<String>>),
    Id(Vec<Uuid>),
    Bytes(Vec<Vec<u8>>),
    /// The id of all zeros counts as none.
    OptId(Vec<Option<Uuid>>),
}

/// Rows on their way into a statement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    columns: Vec<(&'static str, Column)>,
}

macro_rules! column {
    ($method:ident, $variant:ident, $item:ty) => {
        /// Adds a column; every column must have the same number of values.
        pub(crate) fn $method(mut self, name: &'static str, values: impl IntoIterator<Item = $item>) -> Self {
            self.columns
                .push((name, Column::$variant(values.into_iter().collect())));
            self
        }
    };
}

impl Rows {
    column!(int, Int, i64);
    column!(opt_int, OptInt, Option<i64>);
    column!(text, Text, String);
    column!(opt_text, OptText, Option<String>);
    column!(id, Id, Uuid);
    column!(bytes, Bytes, Vec<u8>);
    column!(opt_id, OptId, Option<Uuid>);

    /// A row for each of some customers, with its `id`.
    pub(crate) fn of(customers: &[CustomerId]) -> Self {
        Self::default().id("id", customers.iter().map(|customer| customer.0))
    }

    /// Completes a statement that names the rows as `{rows}` and further values as `$1`, `$2`, ….
    fn statement(self, backend: DbBackend, sql: &str, mut values: Vec<Value>) -> Statement {
        let first = values.len() + 1;
        let source = if backend == DbBackend::Postgres {
            self.postgres(first, &mut values)
        } else {
            self.sqlite(first, &mut values)
        };
        Statement::from_sql_and_values(backend, sql.replace("{rows}", &source), values)
    }

    /// Runs a statement over the rows.
    pub(crate) async fn execute(
        self,
        db: &impl ConnectionTrait,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<ExecResult, DbErr> {
        db.execute_raw(self.statement(db.get_database_backend(), sql, values))
            .await
    }

    /// Runs a statement over the rows that answers with rows.
    pub(crate) async fn query(
        self,
        db: &impl ConnectionTrait,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        db.query_all_raw(self.statement(db.get_database_backend(), sql, values))
            .await
    }

    /// Reads whole rows of a table by a statement over the rows.
    pub(crate) async fn select<E: EntityTrait>(
        self,
        db: &impl ConnectionTrait,
        sql: &str,
    ) -> Result<Vec<E::Model>, DbErr> {
        self.select_with::<E>(db, sql, Vec::new()).await
    }

    /// The same with further values.
    pub(crate) async fn select_with<E: EntityTrait>(
        self,
        db: &impl ConnectionTrait,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<Vec<E::Model>, DbErr> {
        let statement = self.statement(db.get_database_backend(), sql, values);
        E::find().from_raw_sql(statement).all(db).await
    }

    // Each array is selected, so that the planner does not see how long it is. It would read a whole table that has some ten times as many
    // rows, also those that others look at at the same time; by the index it is faster, and stays so while the table grows.
    fn postgres(self, first: usize, values: &mut Vec<Value>) -> String {
        let mut select = Vec::new();
        let mut arrays = Vec::new();
        let mut names = Vec::new();
        for (index, (name, column)) in self.columns.into_iter().enumerate() {
            let shown = match column {
                Column::OptInt(_) => format!("NULLIF({name}, {NO_INT}) AS {name}"),
                Column::OptText(_) => format!("NULLIF({name}, '') AS {name}"),
                Column::OptId(_) => format!("NULLIF({name}, '{}'::uuid) AS {name}", Uuid::nil()),
                _ => name.to_owned(),
            };
            let (cast, value) = column.array();
            select.push(shown);
            arrays.push(format!("(SELECT ${}::{cast})", first + index));
            names.push(name);
            values.push(value);
        }
        let (select, arrays, names) = (select.join(", "), arrays.join(", "), names.join(", "));
        format!("(SELECT {select} FROM unnest({arrays}) AS u({names}))")
    }

    /// One JSON text, written without a tree of values in between: it is long, and written for every batch.
    fn sqlite(self, first: usize, values: &mut Vec<Value>) -> String {
        let lines = self.columns.first().map_or(0, |(_, column)| column.len());
        let mut text = String::with_capacity(lines * self.columns.len() * 16);
        for line in 0..lines {
            text.push_str(if line == 0 { "[[" } else { ",[" });
            for (index, (_, column)) in self.columns.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                column.write(line, &mut text);
            }
            text.push(']');
        }
        text.push_str(if lines == 0 { "[]" } else { "]" });
        values.push(Value::from(text));
        let select = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (name, column))| match column {
                Column::Id(_) | Column::OptId(_) | Column::Bytes(_) => {
                    format!("unhex(value ->> {index}) AS {name}")
                }
                _ => format!("value ->> {index} AS {name}"),
            });
        let select = select.collect::<Vec<_>>().join(", ");
        format!("(SELECT {select} FROM json_each(${first}))")
    }
}

impl Column {
    /// The type and the value of all as an array of PostgreSQL, in which something else stands for none.
    fn array(self) -> (&'static str, Value) {
        match self {
            Self::Int(all) => ("bigint[]", Value::from(all)),
            Self::OptInt(all) => {
                let all: Vec<i64> = all.into_iter().map(|value| value.unwrap_or(NO_INT)).collect();
                ("bigint[]", Value::from(all))
            }
            Self::Text(all) => ("text[]", Value::from(all)),
            Self::OptText(all) => {
                let all: Vec<String> = all.into_iter().map(Option::unwrap_or_default).collect();
                ("text[]", Value::from(all))
            }
            Self::Id(all) => ("uuid[]", Value::from(all)),
            Self::OptId(all) => {
                let all: Vec<Uuid> = all.into_iter().map(Option::unwrap_or_default).collect();
                ("uuid[]", Value::from(all))
            }
            Self::Bytes(all) => ("bytea[]", Value::from(all)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Int(all) => all.len(),
            Self::OptInt(all) => all.len(),
            Self::Text(all) => all.len(),
            Self::OptText(all) => all.len(),
            Self::Id(all) => all.len(),
            Self::OptId(all) => all.len(),
            Self::Bytes(all) => all.len(),
        }
    }

    /// Appends one value as JSON.
    fn write(&self, line: usize, text: &mut String) {
        let number = |number: i64, text: &mut String| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{number}");
        };
        let id = |id: &Uuid, text: &mut String| {
            text.push('"');
            text.push_str(id.simple().encode_lower(&mut Uuid::encode_buffer()));
            text.push('"');
        };
        match self {
            Self::Int(all) => number(all[line], text),
            Self::OptInt(all) => match all[line] {
                Some(value) => number(value, text),
                None => text.push_str(NULL),
            },
            Self::Text(all) => push_text(&all[line], text),
            Self::OptText(all) => match &all[line] {
                Some(value) if !value.is_empty() => push_text(value, text),
                _ => text.push_str(NULL),
            },
            Self::Id(all) => id(&all[line], text),
            Self::OptId(all) => match &all[line] {
                Some(value) if !value.is_nil() => id(value, text),
                _ => text.push_str(NULL),
            },
            Self::Bytes(all) => {
                text.push('"');
                text.push_str(&hex::encode(&all[line]));
                text.push('"');
            }
        }
    }
}

/// Appends a text as JSON.
fn push_text(value: &str, text: &mut String) {
    if value
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
    {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&serde_json::Value::from(value).to_string());
    }
}

/// A statement with values, in the words of the connection's database. `$1` works on both.
pub(crate) fn statement(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), sql, values)
}

/// The instant in a column of the only row; `None`: there is none.
pub(crate) fn first_instant(rows: &[QueryResult], column: &str) -> Result<Option<Timestamp>, DbErr> {
    let found = rows.first().map(|row| row.try_get::<Option<i64>>("", column));
    Ok(found.transpose()?.flatten().map(Timestamp::from_micros))
}

/// The customers in the first column of rows.
pub(crate) fn customers(rows: &[QueryResult]) -> Result<Vec<CustomerId>, DbErr> {
    rows.iter()
        .map(|row| Ok(CustomerId(row.try_get_by_index(0)?)))
        .collect()
}

/// What locks the rows that a table has in a query, on PostgreSQL; on SQLite, whoever writes has locked everything.
pub(crate) fn for_update(db: &impl ConnectionTrait, table: &str) -> String {
    match Backend::of(db) {
        Backend::Postgres => format!(" FOR UPDATE OF {table}"),
        Backend::Sqlite => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_as_json() {
        let id = Uuid::from_u128(7);
        let rows = || {
            Rows::default()
                .int("a", [1, i64::MIN])
                .opt_int("b", [None, Some(2)])
                .text("c", ["x\"\\\n\u{1}ü".to_owned(), String::new()])
                .opt_text("d", [Some(String::new()), Some("y".to_owned())])
                .id("e", [id, Uuid::nil()])
                .opt_id("f", [Some(Uuid::nil()), Some(id)])
        };
        let mut values = Vec::new();
        let sql = rows().sqlite(3, &mut values);
        assert!(
            sql.contains("unhex(value ->> 4) AS e") && sql.ends_with("FROM json_each($3))"),
            "{sql}"
        );
        let Some(Value::String(Some(text))) = values.pop() else {
            panic!("{values:?}")
        };
        let hex = id.simple().to_string();
        let nil = Uuid::nil().simple().to_string();
        let wanted = serde_json::json!([
            [1, null, "x\"\\\n\u{1}ü", null, hex, null],
            [i64::MIN, 2, "", "y", nil, hex]
        ]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), wanted);
        let mut values = Vec::new();
        Rows::default().int("a", []).sqlite(1, &mut values);
        assert_eq!(values, [Value::from("[]")]);
    }

    #[test]
    fn a_statement_is_the_same_for_any_number_of_values() {
        use entity::customer::{Column as Of, Entity};
        use sea_orm::{QueryFilter, QueryTrait};

        for (backend, db) in [
            (Backend::Postgres, DbBackend::Postgres),
            (Backend::Sqlite, DbBackend::Sqlite),
        ] {
            let asked = |many: usize| {
                let ids = one_of(backend, Of::Id, Column::Id(vec![Uuid::nil(); many]));
                let texts = one_of(
                    backend,
                    Of::ExternalId,
                    Column::Text(vec!["a\"b".to_owned(); many]),
                );
                Entity::find().filter(ids.or(texts)).build(db)
            };
            assert_eq!(asked(0).sql, asked(3).sql);
            assert_eq!(
                asked(3).values.map_or(0, |values| values.0.len()),
                2,
                "{}",
                asked(3).sql
            );
        }
    }
}
