//! Something goes wrong between two steps of recording, debiting, cycles or payments: at every place, in every way.

mod abort;
mod cycles;
mod dying;
mod inside;
mod payments;

/// Places that only one database has: SQLite writes an event and its place in the queue with two statements.
fn exists(point: &str, backend: app::db::Backend) -> bool {
    point != "record.listed" || backend == app::db::Backend::Sqlite
}
