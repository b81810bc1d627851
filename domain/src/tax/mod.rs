//! Tax: what is added to a sale, and why.
//!
//! A vendor lists the rates that it has to charge ([`rate::TaxRate`]); customers give the tax numbers that they have
//! ([`registration::TaxRegistration`]). [`decide::decide`] says which rates apply to a sale and what has to be written on the invoice,
//! [`levy::levy`] what they come to. The rules are those for services that are supplied over a network. They cover what sellers
//! of API access meet; they do not replace advice.

pub mod country;
pub mod decide;
pub mod levy;
pub mod number;
pub mod rate;
pub mod registration;
