//! The outside: whoever is not the database. Nothing here knows rows or transactions, and nothing here decides: what a provider says is
//! turned into the words of `domain`, and what follows from it is decided there.

pub mod payment;
