//! What somebody wants of a subscription: renew, pause, resume, cancel, change the plan, extend the contract.

use domain::{
    id::{CustomerId, SubscriptionId, VariantId},
    plan::Offer,
    rejection::Rejection,
    subscription::{Books, ClosedCycle, Decision, Refused, Subscription, deal::Deal, pause},
    time::Timestamp,
};
use serde::Serialize;

use super::{
    held::{Held, block_ids},
    settled::{Begun, begin_settled},
    store,
    view::SubscriptionView,
    write::write,
};
use crate::{
    App,
    actor::{Actor, Scope},
    catalog,
    error::Result,
    idempotency::Once,
    op::Op,
};

/// What is wanted.
#[derive(Debug, Clone, Serialize)]
pub enum Wish {
    /// Prepaid: it has been paid.
    Renew,
    /// Prepaid: this cycle has been paid, and with this variant; nothing else is renewed by it.
    RenewFor {
        /// Number of the cycle.
        number: i64,
        /// The variant that was paid.
        variant: VariantId,
    },
    /// No cycle follows until it is resumed.
    Pause,
    /// It goes on, or a cancellation at the end is taken back.
    Resume,
    /// It ends.
    Cancel {
        /// At once, or with the running cycle.
        at_end: bool,
    },
    /// Another variant.
    ChangePlan {
        /// Which.
        to: VariantId,
        /// At once with proration, or with the next cycle.
        now: bool,
    },
    /// The contract ends later.
    ExtendContract {
        /// First instant after it.
        end: Timestamp,
    },
}

impl Wish {
    /// The name under which its idempotency keys are kept: that of the mutation.
    fn mutation(&self) -> &'static str {
        match self {
            Self::Renew | Self::RenewFor { .. } => "renewSubscription",
            Self::Pause => "pauseSubscription",
            Self::Resume => "resumeSubscription",
            Self::Cancel { .. } => "cancelSubscription",
            Self::ChangePlan { .. } => "changeSubscriptionPlan",
            Self::ExtendContract { .. } => "extendContract",
        }
    }
}

/// Does with a subscription what is wanted, now, after all that was due before.
///
/// # Errors
/// No such subscription or variant, or a state that does not allow it.
pub async fn change(
    app: &App,
    actor: &Actor,
    id: SubscriptionId,
    wish: Wish,
    key: &str,
) -> Result<Once<SubscriptionView>> {
    actor.require(Scope::SubscriptionWrite)?;
    let unknown = || Rejection::not_found("subscriptionId", "subscription");
    let row = store::find(app.db().reader(), actor.reach(), id)
        .await?
        .ok_or_else(unknown)?;
    let customer = CustomerId(row.customer_id);
    let begun = begin_settled(app, actor, customer, wish.mutation(), key, &(id, &wish)).await?;
    let (mut op, fresh, account) = match begun {
        Begun::Replay(known) => return Ok(known),
        Begun::Settled(settled) => settled.into_parts(),
    };
    let to = other_offer(&op, actor, &wish).await?;
    let prior = match wish {
        Wish::Renew | Wish::RenewFor { .. } => last_closed(&op, id).await?,
        _ => None,
    };
    let now = op.present();
    let (mut offers, one) = Held::read_with(&op, account, id).await?.only()?;
    // Also as what was agreed to, should it be the variant that the subscription has.
    offers.extend(to.iter().map(|offer| (offer.variant.id, offer.clone())));
    let mut session = one.session(&offers);
    session.sweep(now)?;
    let asked = Asked {
        wish: &wish,
        now,
        to: to.as_ref(),
        prior: prior.as_ref(),
    };
    let moved = session.portfolio.ask(
        id,
        now,
        |it, deal, books| asked.decide(it, deal, books),
        block_ids(&op),
    )?;
    let it = moved.decision.subscription.clone();
    session.moved.push(moved);
    let outcome = session.outcome()?;
    let view = SubscriptionView::new(&row, &it)?;
    write(&mut op, &mut [outcome]).await?;
    let done = fresh.settle(&op, view).await?;
    op.commit().await?;
    Ok(done)
}

/// The variant that is changed to.
async fn other_offer(op: &Op, actor: &Actor, wish: &Wish) -> Result<Option<Offer>> {
    let Wish::ChangePlan { to, .. } = wish else {
        return Ok(None);
    };
    let unknown = || Rejection::not_found("variantId", "plan variant");
    let offer = catalog::offer_of_tenant(op.tx(), actor.tenant, *to).await?;
    let offer = offer.ok_or_else(unknown)?;
    Ok(Some(match op.own_time() {
        Some(now) => offer.by_clock(now),
        None => offer,
    }))
}

async fn last_closed(op: &Op, id: SubscriptionId) -> Result<Option<ClosedCycle>> {
    let Some(row) = store::last_closed(op.tx(), id).await? else {
        return Ok(None);
    };
    let summary = row.final_summary()?;
    Ok(summary.map(|summary| ClosedCycle {
        cycle: row.noun(),
        summary,
    }))
}

/// A wish with what it needs to know.
struct Asked<'a> {
    wish: &'a Wish,
    now: Timestamp,
    to: Option<&'a Offer>,
    prior: Option<&'a ClosedCycle>,
}

impl Asked<'_> {
    fn decide(
        &self,
        it: &Subscription,
        deal: &Deal<'_>,
        books: &Books<'_>,
    ) -> std::result::Result<Decision, Refused> {
        let now = self.now;
        match (self.wish, self.to) {
            (Wish::RenewFor { number, variant }, _) if !it.awaits(*number, *variant) => {
                Err(Refused::OtherRenewal)
            }
            (Wish::Renew | Wish::RenewFor { .. }, _) => it.renew(now, deal, books, self.prior),
            (Wish::Pause, _) => it.pause(now, deal),
            (Wish::Resume, _) => it.resume(now, deal, books),
            (Wish::Cancel { at_end }, _) => {
                let when = if *at_end {
                    pause::When::AtEnd
                } else {
                    pause::When::Now
                };
                it.cancel(when, now, deal, books)
            }
            (Wish::ChangePlan { now: true, .. }, Some(to)) => it.change_now(now, deal, to, books),
            (Wish::ChangePlan { now: false, .. }, Some(to)) => it.change_at_next_cycle(now, deal, to),
            (Wish::ChangePlan { .. }, None) => Err(Refused::OtherBooks),
            (Wish::ExtendContract { end }, _) => it.extend_contract(*end, now, deal, books),
        }
    }
}
