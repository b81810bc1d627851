//! Webhooks: what is told to the servers of others, as [Standard Webhooks](https://www.standardwebhooks.com) 1.0 has it.
//!
//! Whoever may write down an address could have us call machines that only we can reach. So an [`AddressPolicy`] says which addresses
//! may be called, and it is asked where they are dialled, not only where they are written down. A delivery is bounded in time and in
//! what is read of the answer, whatever the other side does; it is one attempt, and whether there is another is decided elsewhere.

mod address;
mod attempt;
mod client;
mod resolve;
mod retry_after;
mod secret;
mod signature;

pub use address::{AddressPolicy, BadNetwork, BadUrl, LONGEST_URL};
pub use attempt::{Attempt, Failure, Message, Outcome, Response};
pub use client::{Limits, NoTrust, Webhooks};
pub use resolve::{Lookup, System};
pub use secret::{BadSecret, Secret};
pub use signature::sign;
