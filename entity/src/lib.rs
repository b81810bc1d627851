//! Rows: one SeaORM model per table.
