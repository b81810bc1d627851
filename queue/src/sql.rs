//! One statement in two dialects.
//!
//! Both dialects take the same parameters in the same order: `$1` on PostgreSQL is `?1` on SQLite.

use app::db::{Backend, Db};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

/// The same statement for both databases.
pub(crate) struct Sql {
    /// The text for PostgreSQL, with `$1` for the first parameter.
    pub(crate) postgres: &'static str,
    /// The text for SQLite, with `?1` for the first parameter.
    pub(crate) sqlite: &'static str,
}

impl Sql {
    /// Runs the statement and answers how many rows it changed.
    pub(crate) async fn run(
        &self,
        on: &impl ConnectionTrait,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, DbErr> {
        let statement = self.statement(Backend::of(on), values);
        Ok(on.execute_raw(statement).await?.rows_affected())
    }

    /// Runs the statement and answers its rows.
    pub(crate) async fn rows(
        &self,
        on: &impl ConnectionTrait,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        on.query_all_raw(self.statement(Backend::of(on), values)).await
    }

    fn statement(&self, backend: Backend, values: impl IntoIterator<Item = Value>) -> Statement {
        let (dialect, text) = match backend {
            Backend::Postgres => (DbBackend::Postgres, self.postgres),
            Backend::Sqlite => (DbBackend::Sqlite, self.sqlite),
        };
        Statement::from_sql_and_values(dialect, text, values)
    }
}

/// A list of texts as one parameter: an array for `= ANY($n)` or `unnest`, a JSON array for `json_each(?n)`.
pub(crate) fn list(db: &Db, texts: Vec<String>) -> Value {
    match db.backend() {
        Backend::Postgres => texts.into(),
        Backend::Sqlite => serde_json::Value::from(texts).to_string().into(),
    }
}
