//! The connections of the lanes themselves, which fetch jobs and acknowledge them.
//!
//! Nobody else waits for these. apalis stops driving a fetch while jobs run at its end, and the fetch keeps its connection: were it one
//! that jobs need, on SQLite the only writing one, they would wait for it until they give up. So there is one for the fetch of each lane
//! and one for everything else. All lanes of a process share them, because fetches that stand still are rare and a PostgreSQL server
//! has few connections to give: most of the time two or three are open.

use app::db::{Backend, Db, sqlite_pool};
use sqlx::{PgPool, SqlitePool};

/// A pool for all lanes of a process, opened when it is needed.
#[derive(Debug, Clone)]
pub(crate) enum Own {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Own {
    /// Connections for so many lanes to the same database.
    pub(crate) fn open(db: &Db, lanes: usize) -> Self {
        let most = u32::try_from(lanes).unwrap_or(u32::MAX).saturating_add(1);
        match db.backend() {
            Backend::Postgres => Self::Postgres(db.passing_postgres(most)),
            Backend::Sqlite => {
                let shared = db.writer().get_sqlite_connection_pool();
                let options = shared.connect_options().as_ref().clone();
                Self::Sqlite(sqlite_pool().max_connections(most).connect_lazy_with(options))
            }
        }
    }
}
