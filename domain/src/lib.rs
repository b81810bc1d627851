//! The rules of billing: pure and synchronous, without clock, randomness, database or floats.
//!
//! Read the modules in this order; each introduces the nouns that the next one uses.
//!
//! 1. [`amount`]: credits, quantities and rates are integers; overflow is a refusal.
//! 2. [`id`] and [`time`]: what things are called and when they happen.
//! 3. [`rejection`]: the closed list of reasons why Tallygate says no.
//! 4. [`metering`]: a *metering rule* turns units of a *metric* into credits. It prices a cumulative count, so that the
//!    cost of a cycle does not depend on how the usage was split.
//! 5. [`credit`]: a *block* is a deposit of credits with its own terms; blocks burn in one total order; what they cannot
//!    cover becomes *overdraft*, and beyond the bound that terms may promise it is *written off*.
//! 6. [`ledger`]: the append-only list of everything that moved credits.
//! 7. [`usage`]: from an accepted event to debits ([`usage::drain`]), and back again ([`usage::void`]).
//! 8. [`spend`], [`hold`] and [`gate`]: what a customer wants to spend in a day or a month; credits set aside for work that is running;
//!    and may this customer go on?
//! 9. [`money`] and [`zone`]: what things cost outside, and by whose calendar.
//! 10. [`plan`]: what a vendor offers: *variants*, and the *templates* of the credits that they bring.
//! 11. [`cycle`]: billing cycles: their boundaries, what they grant, what rolls over, where late usage counts, what they came to.
//! 12. [`subscription`]: a customer's agreement to a variant, its states, and what time makes due.
//! 13. [`payment`]: ways to pay, what credits are sold for, and what follows from what a provider says.
//! 14. [`recharge`]: buying credits when the balance runs low.
//! 15. [`tax`]: countries, tax numbers and rates, and which of them apply to a sale.
//! 16. [`invoice`]: what a customer is asked to pay, line by line; its numbers, its states, and *credit notes* that take it back.
//! 17. [`event`]: what vendors are told, and [`webhook`]: when a message is sent again, and when nobody is written to any more.
//!
//! Some rules name their *source*, one of five systems of this kind that are on sale and whose guides we have followed: P0 a postpaid
//! guide (usage in seconds, a billing day, itemised invoices), P1 a prepaid guide (expiry after a year, auto-recharge, a negative balance
//! taken from the next purchase), P2 a billing console, P3 a guide to plans with monthly credits and bonuses, P4 a postpaid metering API
//! (tiers, cycles, contracts, entitlement checks).

pub mod amount;
pub mod credit;
pub mod customer;
pub mod cycle;
pub mod event;
pub mod gate;
pub mod hold;
pub mod id;
pub mod invoice;
pub mod ledger;
pub mod metering;
pub mod money;
pub mod payment;
pub mod plan;
pub mod recharge;
pub mod rejection;
pub mod spend;
pub mod subscription;
pub mod tax;
mod text;
pub mod time;
pub mod usage;
pub mod webhook;
pub mod zone;
