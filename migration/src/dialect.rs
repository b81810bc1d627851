//! The few words in which the two databases differ.

use sea_orm_migration::{
    DbErr, SchemaManager,
    sea_orm::{ConnectionTrait, DbBackend},
};

/// `(word, SQLite, PostgreSQL)`.
///
/// SQLite tables are `STRICT`: without it an integer that overflows silently becomes a floating-point number.
const WORDS: [(&str, &str, &str); 8] = [
    ("{id}", "BLOB", "uuid"),
    ("{big}", "INTEGER", "bigint"),
    ("{int}", "INTEGER", "integer"),
    ("{text}", "TEXT", "text"),
    ("{bytes}", "BLOB", "bytea"),
    (
        "{zero_hash}",
        "x'0000000000000000000000000000000000000000000000000000000000000000'",
        "'\\x0000000000000000000000000000000000000000000000000000000000000000'",
    ),
    ("{table}", "STRICT", ""),
    // Room on the page for the second version of a row that is written once and marked once.
    ("{roomy}", "STRICT", "WITH (fillfactor = 60)"),
];

/// Runs statements, one by one, in the words of the database at hand.
pub(crate) async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let postgres = connection.get_database_backend() == DbBackend::Postgres;
    for statement in statements {
        let sql = WORDS
            .iter()
            .fold((*statement).to_owned(), |sql, (word, sqlite, pg)| {
                sql.replace(word, if postgres { pg } else { sqlite })
            });
        connection.execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// Declares the step of a file from its `UP` and `DOWN` statements.
macro_rules! step {
    ($name:literal) => {
        /// The step.
        #[derive(Debug)]
        pub struct Migration;

        impl sea_orm_migration::MigrationName for Migration {
            fn name(&self) -> &str {
                $name
            }
        }

        #[sea_orm_migration::async_trait::async_trait]
        impl sea_orm_migration::MigrationTrait for Migration {
            async fn up(
                &self,
                manager: &sea_orm_migration::SchemaManager,
            ) -> Result<(), sea_orm_migration::DbErr> {
                crate::dialect::run(manager, UP).await
            }

            async fn down(
                &self,
                manager: &sea_orm_migration::SchemaManager,
            ) -> Result<(), sea_orm_migration::DbErr> {
                crate::dialect::run(manager, DOWN).await
            }
        }
    };
}
pub(crate) use step;
