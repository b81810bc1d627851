//! Many rows in one statement, in the words of both databases.
//!
//! Each column travels as one parameter whatever the number of rows: arrays on PostgreSQL, one JSON text on SQLite. A
//! statement names the rows as `{rows}`:
//!
//! ```text
//! UPDATE block SET remaining = v.remaining FROM {rows} AS v WHERE block.id = v.id
//! ```

use sea_orm::{ConnectionTrait, DbBackend, DbErr, EntityTrait, ExecResult, QueryResult, Statement, Value};
use uuid::Uuid;

/// Whether a text can be in the database at all. PostgreSQL refuses a zero byte even in a comparison, with an error that
/// would spoil the whole request.
pub(crate) fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// Stands for "none" inside an array, which cannot hold one.
const NO_INT: i64 = i64::MIN;

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
        let statement = self.statement(db.get_database_backend(), sql, Vec::new());
        E::find().from_raw_sql(statement).all(db).await
    }

    fn postgres(self, first: usize, values: &mut Vec<Value>) -> String {
        let mut select = Vec::new();
        let mut arrays = Vec::new();
        let mut names = Vec::new();
        for (index, (name, column)) in self.columns.into_iter().enumerate() {
            let (cast, shown, value) = match column {
                Column::Int(all) => ("bigint[]", name.to_owned(), Value::from(all)),
                Column::Text(all) => ("text[]", name.to_owned(), Value::from(all)),
                Column::Id(all) => ("uuid[]", name.to_owned(), Value::from(all)),
                Column::Bytes(all) => ("bytea[]", name.to_owned(), Value::from(all)),
                Column::OptInt(all) => {
                    let all: Vec<i64> = all.into_iter().map(|value| value.unwrap_or(NO_INT)).collect();
                    (
                        "bigint[]",
                        format!("NULLIF({name}, {NO_INT}) AS {name}"),
                        Value::from(all),
                    )
                }
                Column::OptText(all) => {
                    let all: Vec<String> = all.into_iter().map(Option::unwrap_or_default).collect();
                    (
                        "text[]",
                        format!("NULLIF({name}, '') AS {name}"),
                        Value::from(all),
                    )
                }
                Column::OptId(all) => {
                    let all: Vec<Uuid> = all.into_iter().map(Option::unwrap_or_default).collect();
                    (
                        "uuid[]",
                        format!("NULLIF({name}, '{}'::uuid) AS {name}", Uuid::nil()),
                        Value::from(all),
                    )
                }
            };
            select.push(shown);
            arrays.push(format!("${}::{cast}", first + index));
            names.push(name);
            values.push(value);
        }
        let (select, arrays, names) = (select.join(", "), arrays.join(", "), names.join(", "));
        format!("(SELECT {select} FROM unnest({arrays}) AS u({names}))")
    }

    fn sqlite(self, first: usize, values: &mut Vec<Value>) -> String {
        use serde_json::Value as Json;
        let of_id = |id: &Uuid| Json::from(id.simple().to_string());
        let mut select = Vec::new();
        let mut lines: Vec<Vec<Json>> = Vec::new();
        for (index, (name, column)) in self.columns.into_iter().enumerate() {
            let is_hex = matches!(column, Column::Id(_) | Column::OptId(_) | Column::Bytes(_));
            let cells: Vec<Json> = match column {
                Column::Int(all) => all.into_iter().map(Json::from).collect(),
                Column::OptInt(all) => all.into_iter().map(Json::from).collect(),
                Column::Text(all) => all.into_iter().map(Json::from).collect(),
                Column::OptText(all) => all
                    .into_iter()
                    .map(|text| Json::from(text.filter(|text| !text.is_empty())))
                    .collect(),
                Column::Id(all) => all.iter().map(of_id).collect(),
                Column::Bytes(all) => all.iter().map(|bytes| Json::from(hex::encode(bytes))).collect(),
                Column::OptId(all) => all
                    .iter()
                    .map(|id| id.as_ref().filter(|id| !id.is_nil()).map_or(Json::Null, of_id))
                    .collect(),
            };
            lines.resize_with(cells.len().max(lines.len()), Vec::new);
            for (line, cell) in lines.iter_mut().zip(cells) {
                line.push(cell);
            }
            select.push(if is_hex {
                format!("unhex(value ->> {index}) AS {name}")
            } else {
                format!("value ->> {index} AS {name}")
            });
        }
        values.push(Value::from(Json::from_iter(lines).to_string()));
        format!("(SELECT {} FROM json_each(${first}))", select.join(", "))
    }
}

/// A statement with values, in the words of the connection's database. `$1` works on both.
pub(crate) fn statement(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), sql, values)
}
