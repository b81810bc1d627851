//! The promises of Tallygate, each on SQLite and on PostgreSQL: a case is written once and runs as `…::sqlite::…` and
//! `…::postgres::…`.
//!
//! Every case gets an empty database of its own, and after every case that has passed the [`harness::auditor`] recomputes
//! all totals from the rows. PostgreSQL is taken from `TALLYGATE_TEST_POSTGRES_URL`; without a server the cases fail rather
//! than skip.
//!
//! | module | what is promised |
//! |---|---|
//! | [`access`] | keys, scopes, tenants that do not exist for each other |
//! | [`access_tokens`] | tokens of single customers, new secrets for old keys |
//! | [`access_ending`] | open streams end with the credential they were opened with |
//! | [`authorisation`] | every field, by every kind of credential, about own and foreign things |
//! | [`catalog`] | metrics, versions of prices, previews |
//! | [`payment`] | how credits are sold, ways to pay, purchases whatever a provider does |
//! | [`invoice`] | what cycles cost, asked for once, collected once, put right by hand; taxes |
//! | [`money_once`] | money goes back once, to the card or to the credit balance, and what providers know is found |
//! | [`overshoot`] | usage beyond the bound that terms promise is written off, told and reported, and never a gift |
//! | [`recharge`] | credits bought when the balance is low: once, within the cap, and why not |
//! | [`plan`] | plans, variants, grant templates, previews in money |
//! | [`customer`] | customers and their terms |
//! | [`credit`] | grants, burn order, expiry, revocation, adjustments, the ledger |
//! | [`credit_notices`] | customers are told that few credits are left, and that credits will be gone, once each |
//! | [`cycles`] | billing cycles: what counts together, what comes late, what has to wait |
//! | [`gate`] | may this customer go on, from memory |
//! | [`hold`] | credits set aside for work that is running: never more than there is, debited once, free in the end |
//! | [`usage`] | recording, exact debits, voids, summaries |
//! | [`subscription`] | subscriptions, moved on by time alone, once and in order |
//! | [`subscription_changes`] | what is wanted of a subscription, asked for through the listener, and what it leaves behind |
//! | [`subscription_reading`] | lists page by page, clocks on their way, usage that comes late, as they are read |
//! | [`agreements`] | what was agreed to before, and catalogs that change meanwhile |
//! | [`test_clock`] | time that is set by hand does what time does |
//! | [`jobs`] | lost, doubled, reordered and poisonous work |
//! | [`live`] | balances as they change |
//! | [`planner`] | PostgreSQL reads no more rows than it is asked for |
//! | [`schema`] | migrations, forward and back |
//! | [`audit`] | the auditor itself finds damage |
//! | [`audit_checks`] | the audit of the product finds every planted fault, and no others |
//! | [`audit_guards`] | ledger entries are final and chained, rows stay with their owners |
//! | [`event_feed`] | what was told, in an order that stays, read and listened to |
//! | [`webhooks`] | who is told over HTTP, signed, whatever receivers do |
//! | [`foreign_events`] | types of events that only a newer version knows, while one replaces the other |
//! | [`gate_door`] | what gateways are answered |
//! | [`letters`] | who is written to about what, once |
//! | [`operations_letters`] | the same for the vendor's own people |
//! | [`door`] | how often, how many, how long |
//! | [`lane`] | the typed lane answers as the general way does |
//! | [`e2e`] | the real command over HTTP, WebSocket and server-sent events, killed and stopped |

// A table of cases is as long as the cases are many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    missing_docs
)]

/// Declares each case on both backends.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::harness::backend::on_sqlite(super::$case).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::harness::backend::on_postgres(super::$case).await;
            })*
        }
    };
}

mod access;
mod access_ending;
mod access_tokens;
mod agreements;
mod audit;
mod audit_checks;
mod audit_guards;
mod authorisation;
mod catalog;
mod credit;
mod credit_notices;
mod customer;
mod cycles;
mod dashboard;
mod door;
mod e2e;
mod event_feed;
mod foreign_events;
mod gate;
mod gate_door;
mod harness;
mod hold;
mod invoice;
mod invoice_pages;
mod jobs;
mod lane;
mod late_billing;
mod letters;
mod live;
mod money_once;
mod operations_letters;
mod overshoot;
mod paid_ahead;
mod payment;
mod plan;
mod planner;
mod provider;
mod recharge;
mod returns;
mod schema;
mod spend;
mod subscription;
mod subscription_changes;
mod subscription_reading;
mod tax_register;
mod test_clock;
mod trust;
mod usage;
mod webhooks;
