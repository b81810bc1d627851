//! What customers agree to, and what the vendor stops.

use domain::{
    plan::variant::Variant,
    recharge::{
        Recharge,
        rule::{Rule, Size},
    },
    rejection::{Rejection, RejectionCode},
};

use super::{decide::decide_in, store};
use crate::{
    App,
    actor::{Actor, Scope},
    credit::check_not_frozen,
    customer::{self, CustomerRef},
    error::Result,
    op::Op,
    payment::{self, Setting},
    subscription,
};

/// What is to become of a customer's auto-recharge.
#[derive(Debug, Clone)]
pub struct UpdateRecharge {
    /// Whose.
    pub customer: CustomerRef,
    /// The rule that it is switched on with; `None`: it is switched off and keeps its rule.
    pub rule: Option<Rule>,
}

/// Switches a customer's auto-recharge on with a rule, or off. When it is switched on and the balance is low, the charge is decided at
/// once. Some nine statements, and what an evaluation costs.
///
/// # Errors
/// No such customer, a rule that cannot be or that the vendor's terms never allow, a vendor that sells no credits, or books that do not add
/// up. Switching off what was never on.
pub async fn update(app: &App, actor: &Actor, input: UpdateRecharge) -> Result<Recharge> {
    actor.require(Scope::PaymentWrite)?;
    let mut op = Op::begin(app).await?;
    let customer = customer::resolve(op.tx(), actor.reach(), &input.customer).await?;
    let account = op.lock_account(actor.tenant, customer).await?;
    let account = account.ok_or_else(|| input.customer.unknown())?;
    let known = store::found(op.tx(), &[customer]).await?.pop();
    let known = known.map(|found| found.recharge);
    let recharge = match (input.rule, known) {
        (None, None) => {
            let message = "the customer has no auto-recharge";
            return Err(Rejection::new(RejectionCode::NotFound, "", message).into());
        }
        (None, Some(mut recharge)) => {
            recharge.switch_off();
            recharge
        }
        (Some(rule), known) => {
            check_not_frozen(&account)?;
            let setting = payment::needed_by(&op, actor, customer).await?;
            let plans = subscription::variants_in(op.tx(), customer).await?;
            check(&rule, &setting, &plans).map_err(|error| error.under("rule"))?;
            match known {
                Some(mut recharge) => {
                    recharge.agree(rule);
                    recharge
                }
                None => Recharge::begin(actor.tenant, customer, rule, op.present()),
            }
        }
    };
    store::put(&op, &[&recharge]).await?;
    let balance = account.blocks.saturating_sub(account.overdraft);
    if recharge
        .watches()
        .is_some_and(|threshold| balance <= threshold.raw())
    {
        decide_in(&mut op, &[customer]).await?;
    }
    let found = store::found(op.tx(), &[customer]).await?.pop();
    op.commit().await?;
    Ok(found.map_or(recharge, |found| found.recharge))
}

/// Refuses a rule that could never charge, naming the field.
fn check(rule: &Rule, setting: &Setting, plans: &[Variant]) -> Result<()> {
    rule.validate()?;
    let plans: Vec<&Variant> = plans.iter().collect();
    let Some(offer) = setting.sale.offer(&plans) else {
        let message = "no credits are sold with the customer's plan";
        return Err(Rejection::new(RejectionCode::InvalidInput, "", message).into());
    };
    if let Size::Fixed(amount) = rule.size {
        setting
            .sale
            .buy(&plans, amount)
            .map_err(|no| renamed(no, "amount.fixed"))?;
    }
    let cap = rule.monthly_cap;
    if cap.currency != offer.price.currency {
        let message = format!("credits are sold in {}", offer.price.currency);
        return Err(Rejection::invalid("monthlyCap.currency", message).into());
    }
    if let Some(least) = offer.minimum.filter(|least| cap.minor < least.minor) {
        let message = format!("it must allow one purchase, which is {least} at least");
        return Err(Rejection::invalid("monthlyCap.amount", message).into());
    }
    Ok(())
}

/// A refusal of a purchase, in the words of a rule.
fn renamed(no: Rejection, field: &str) -> Rejection {
    let mut path: Vec<String> = field.split('.').map(str::to_owned).collect();
    path.extend(no.path.into_iter().skip(1));
    Rejection { path, ..no }
}

/// Stops the auto-recharges of all customers of the vendor, or lets them go on. What has been sent to a provider is not called back;
/// what has been decided and not sent is not sent. Those that were held back are looked at again when it is lifted.
///
/// # Errors
/// A vendor that sells no credits.
pub async fn stop_all(app: &App, actor: &Actor, stopped: bool) -> Result<Setting> {
    actor.require_for_all(Scope::PaymentWrite)?;
    let op = Op::begin(app).await?;
    payment::needed(op.tx(), actor).await?;
    payment::set_stopped_in(&op, actor.tenant, stopped).await?;
    if !stopped {
        store::hasten_stopped(&op, actor.tenant).await?;
    }
    let setting = payment::needed(op.tx(), actor).await?;
    op.commit().await?;
    Ok(setting)
}
