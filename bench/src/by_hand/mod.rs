//! The same work written by hand: what someone would write who knows this one machine, this one price and this one database,
//! and nothing else.

pub mod drain;
pub mod insert;
pub mod queue;
pub mod server;
pub mod turn;

use std::{collections::HashMap, str::FromStr};

use sqlx::{
    Executor, PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use uuid::Uuid;

use crate::{
    Outcome,
    place::{Backend, Place},
};

/// Connections to a database, without anything between.
#[derive(Debug, Clone)]
pub enum Hand {
    /// As durable as the product: write-ahead log, `synchronous = FULL`.
    Sqlite(SqlitePool),
    /// As the server is configured.
    Postgres(PgPool),
}

impl Hand {
    /// Opens a database. SQLite gets one connection: it has one writer.
    ///
    /// # Errors
    /// It is out of reach.
    pub async fn connect(place: &Place, connections: u32) -> Outcome<Self> {
        match place.backend {
            Backend::Sqlite => {
                let options = SqliteConnectOptions::from_str(&place.url)?
                    .foreign_keys(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(std::time::Duration::from_secs(15));
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options);
                Ok(Self::Sqlite(pool.await?))
            }
            Backend::Postgres => {
                // A table in the cache is not read faster by reading all of it.
                let options = PgConnectOptions::from_str(&place.url)?
                    .options([("random_page_cost", "1.1"), ("jit", "off")]);
                let pool = PgPoolOptions::new()
                    .max_connections(connections)
                    .connect_with(options);
                Ok(Self::Postgres(pool.await?))
            }
        }
    }

    /// Runs a statement without values.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn run(&self, sql: &'static str) -> Outcome<()> {
        match self {
            Self::Sqlite(pool) => {
                pool.execute(sql).await?;
            }
            Self::Postgres(pool) => {
                pool.execute(sql).await?;
            }
        }
        Ok(())
    }

    /// One number.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn number(&self, sql: &'static str) -> Outcome<i64> {
        Ok(match self {
            Self::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await?,
            Self::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await?,
        })
    }

    /// When each customer's account last changed, in microseconds.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn changed_at(&self) -> Outcome<HashMap<Uuid, i64>> {
        const SQL: &str = "SELECT customer_id, updated_at FROM account";
        let rows: Vec<(Uuid, i64)> = match self {
            Self::Sqlite(pool) => sqlx::query_as(SQL).fetch_all(pool).await?,
            Self::Postgres(pool) => sqlx::query_as(SQL).fetch_all(pool).await?,
        };
        Ok(rows.into_iter().collect())
    }

    /// Closes the connections.
    pub async fn close(self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}
