//! Credits: deposits with their own terms, the order in which they burn, and what happens when there are none left.

pub mod block;
pub mod burn;
pub mod draws;
pub mod expiring;
pub mod grant;
pub mod low_balance;
