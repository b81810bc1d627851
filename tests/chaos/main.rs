//! Chaos: everything that may break breaks, in an order that a seed decides, and afterwards the books are those of a world in
//! which nothing did. What was acknowledged is there, and debited once; what was not can be sent again.
//!
//! A target of its own, because failpoints are the whole process's: nothing else may run beside a case that has set one (see
//! [`alone`]).
//!
//! | module | what is promised |
//! |---|---|
//! | [`simulation`] | virtual months against a model in memory, the same on both databases |
//! | [`failpoints`] | errors, panics and sudden death between any two steps |
//! | [`crossing`] | many balances that reach their thresholds at once, in several processes |
//! | [`kill`] | processes killed at random under load |
//! | [`restart`] | PostgreSQL stopped and crashed under load |
//! | [`room`] | no room left on the disk |
//! | [`pool`] | every connection held by somebody else |
//!
//! `docs/chaos.md` tells how to run it long, and how to repeat a run that failed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    missing_docs
)]

mod agreed;
mod alone;
mod crossing;
mod failpoints;
#[path = "../suite/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the suite uses all of it")]
mod harness;
mod kill;
mod load;
mod pool;
mod postgres;
mod restart;
mod room;
mod seed;
mod simulation;
mod wire;
