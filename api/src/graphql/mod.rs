//! The schema: what can be asked, in the words of the product. One file per room.

mod access;
mod audit;
mod catalog;
mod checkout;
pub(crate) mod credit;
mod customer;
pub(crate) mod error;
mod event;
pub(crate) mod gate;
mod hold;
pub(crate) mod invoice;
mod job;
mod loader;
mod mail;
mod money;
mod node;
mod overshoot;
mod page;
mod payload;
mod payment;
mod plan;
mod recharge;
mod refund;
pub(crate) mod scalar;
mod spend;
mod subscription;
mod test_clock;
mod token;
mod trust;
pub(crate) mod usage;
mod webhook;

use std::time::Duration;

use app::{Actor, App};
use async_graphql::{
    Context, Data, MergedObject, MergedSubscription, Request, SDLExportOptions, Schema, SchemaBuilder,
    dataloader::DataLoader,
};

use self::loader::{Balances, Returns, WrittenOff};

/// Deepest selection: the standard introspection query needs 15.
const MAX_SELECTION_DEPTH: usize = 16;
/// Most fields of a query, counted with the sizes of the pages asked for.
const MAX_COMPLEXITY: usize = 10_000;
/// Most directives on one field.
const MAX_DIRECTIVES: usize = 5;

/// Root of reads.
#[derive(MergedObject, Default)]
pub struct Query(
    access::AccessQuery,
    catalog::CatalogQuery,
    plan::PlanQuery,
    customer::CustomerQuery,
    credit::CreditQuery,
    overshoot::OvershootQuery,
    usage::UsageQuery,
    subscription::SubscriptionQuery,
    payment::PaymentQuery,
    invoice::InvoiceQuery,
    gate::GateQuery,
    event::EventQuery,
    webhook::WebhookQuery,
    mail::MailQuery,
    job::JobQuery,
    test_clock::TestClockQuery,
    audit::AuditQuery,
    node::NodeQuery,
);

/// Root of writes. Every mutation takes one `input` and returns its own payload.
#[derive(MergedObject, Default)]
pub struct Mutation(
    access::AccessMutation,
    token::TokenMutation,
    catalog::CatalogMutation,
    plan::PlanMutation,
    customer::CustomerMutation,
    credit::CreditMutation,
    usage::UsageMutation,
    hold::HoldMutation,
    spend::SpendMutation,
    subscription::SubscriptionMutation,
    payment::PaymentMutation,
    checkout::CheckoutMutation,
    refund::RefundMutation,
    trust::TrustMutation,
    recharge::RechargeMutation,
    invoice::InvoiceMutation,
    invoice::SettingMutation,
    invoice::TaxMutation,
    webhook::WebhookMutation,
    mail::MailMutation,
    overshoot::OvershootMutation,
    job::JobMutation,
    test_clock::TestClockMutation,
    audit::AuditMutation,
);

/// Root of live updates.
#[derive(MergedSubscription, Default)]
pub struct Subscription(credit::CreditSubscription, event::EventSubscription);

/// The whole schema.
pub(crate) type TallygateSchema = Schema<Query, Mutation, Subscription>;

/// The schema as it is served. Outside development it does not describe itself: `schema.graphql` does.
pub(crate) fn schema(introspection: bool) -> TallygateSchema {
    let builder = builder()
        .limit_depth(MAX_SELECTION_DEPTH)
        .limit_complexity(MAX_COMPLEXITY)
        .limit_directives(MAX_DIRECTIVES);
    if introspection {
        builder.finish()
    } else {
        builder.disable_introspection().disable_suggestions().finish()
    }
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
}

/// The schema in GraphQL's schema language: the contract, kept in `schema.graphql`.
#[must_use]
pub fn schema_text() -> String {
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by();
    builder().finish().sdl_with_options(options)
}

/// Who asks, and the application that answers.
pub(crate) struct Caller {
    pub(crate) app: App,
    pub(crate) actor: Actor,
}

/// A request on behalf of a caller. Loaders live as long as the request, so nothing crosses callers.
pub(crate) fn with_caller(request: Request, app: &App, actor: Actor) -> Request {
    let balances = Balances::new(app.clone(), actor.clone());
    let balances = DataLoader::new(balances, tokio::spawn).delay(Duration::ZERO);
    let returns = Returns::new(app.clone(), actor.clone());
    let returns = DataLoader::new(returns, tokio::spawn).delay(Duration::ZERO);
    let written_off = WrittenOff::new(app.clone(), actor.clone());
    let written_off = DataLoader::new(written_off, tokio::spawn).delay(Duration::ZERO);
    request
        .data(Caller {
            app: app.clone(),
            actor,
        })
        .data(balances)
        .data(returns)
        .data(written_off)
}

/// The data of a WebSocket on behalf of a caller.
pub(crate) fn caller_data(app: &App, actor: Actor) -> Data {
    let mut data = Data::default();
    data.insert(Caller {
        app: app.clone(),
        actor,
    });
    data
}

/// The application and who asks.
fn caller<'a>(ctx: &Context<'a>) -> async_graphql::Result<(&'a App, &'a Actor)> {
    let caller = ctx.data::<Caller>()?;
    Ok((&caller.app, &caller.actor))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the contract is kept.
    const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema.graphql");

    /// `TALLYGATE_BLESS=1 cargo test -p api` writes the contract anew.
    #[test]
    fn contract_is_up_to_date() {
        let printed = schema_text();
        if std::env::var_os("TALLYGATE_BLESS").is_some() {
            std::fs::write(CONTRACT, &printed).unwrap_or_else(|error| panic!("{CONTRACT}: {error}"));
        }
        let kept = std::fs::read_to_string(CONTRACT).unwrap_or_default();
        assert!(
            printed == kept,
            "schema.graphql is out of date; run `TALLYGATE_BLESS=1 cargo test -p api`"
        );
    }

    /// Every type, field, argument and value is described.
    #[test]
    fn everything_is_described() {
        let text = schema_text();
        let mut missing = Vec::new();
        let (mut described, mut inside) = (false, false);
        for line in text.lines().map(str::trim) {
            match line {
                "\"\"\"" => (described, inside) = (inside, !inside),
                _ if inside || line.is_empty() || line.starts_with(['}', ')']) => {}
                // What follows belongs to the language.
                _ if line.starts_with("directive ") || line.starts_with("schema ") => break,
                _ if described => described = false,
                _ => missing.push(line),
            }
        }
        assert!(missing.is_empty(), "without a description: {missing:#?}");
    }
}
