//! The program as its users meet it: the real command in processes of its own, reached over HTTP, WebSocket and server-sent
//! events only, killed and restarted as operators do.
//!
//! Every case has its own folder and its own database, on SQLite or PostgreSQL. Processes die with the case; when a case
//! fails, what they wrote is shown. After a case that has passed, the auditor recomputes the books.
//!
//! | module | what is promised |
//! |---|---|
//! | [`first_path`] | the first path of the documentation, as written, then the same customer under load |
//! | [`live`] | balances as they change, over both protocols and across processes |
//! | [`lane`] | the typed lane of live balances tells what the general way tells |
//! | [`socket`] | how sockets are opened, bounded and closed |
//! | [`payments`] | credits bought with cards that work, that do not, and that keep silent |
//! | [`stripe`] | the same through Stripe's stand-in |
//! | [`invoices`] | a month of source P4 in money, paid, printed and taken back |
//! | [`plans`] | a plan, entered and read |
//! | [`changes`] | a subscription changed, paused, renewed, cancelled, and read page by page |
//! | [`subscriptions`] | source P4 with a contract and a test clock |
//! | [`import`] | a usage trace to the last micro-credit, while workers are killed |
//! | [`manners`] | how HTTP requests are refused |
//! | [`hostile`] | requests that mean harm |
//! | [`scopes`] | what a key may not do |
//! | [`strangers`] | other tenants do not exist |
//! | [`command`] | greetings, complaints, exit codes |
//! | [`connections`] | what a worker takes of a server's connections |
//! | [`crash`] | SIGTERM and SIGKILL under load |
//! | [`seeing`] | figures, readiness, logs and traces, and what must not be in them |

mod changes;
mod client;
mod collector;
mod command;
mod connections;
pub mod contract;
mod crash;
#[path = "../../gateway/tests/fake/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the provider's own tests use all of it")]
mod fake;
mod first_path;
mod hostile;
mod import;
mod invoices;
mod lane;
mod listener;
mod live;
mod manners;
mod payments;
mod plans;
pub mod process;
mod proxy;
mod ready;
mod scopes;
mod seeing;
mod socket;
mod stage;
mod strangers;
mod stripe;
mod stripe_notices;
mod subscriptions;
mod trace;
