//! The outside: whoever is not the database, and the papers, letters and messages that go there. Nothing here knows rows or transactions,
//! and nothing here decides: what a provider or a register says is turned into the words of `domain`, and what follows from it is decided
//! there; what stands on an invoice is handed over as words, and is only set; a letter or a message is tried once.

pub mod document;
mod http;
pub mod mail;
pub mod payment;
pub mod public;
pub mod tax;
pub mod webhook;
