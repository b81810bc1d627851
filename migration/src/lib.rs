//! Schema steps for SQLite and PostgreSQL.
