//! Auto-recharge: rules, where they stand, and what comes next.

use app::{
    error::Result,
    payment::Setting,
    recharge::{self, UpdateRecharge},
};
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, OneofObject, SimpleObject};
use domain::{
    id::CustomerId,
    recharge::{
        Reason, Recharge, State,
        rehearsal::{Rehearsal, Rehearsed},
        rule::{Rule, Size},
    },
    rejection::Rejection,
};

use super::{
    caller,
    customer::customer_ref,
    error::top_level,
    money::{Money, MoneyInput},
    payload::{payload, plain},
    payment::PaymentSettings,
    scalar::{DateTime, Decimal},
};

/// Most evaluations that are listed.
const MAX_EVALUATIONS: i32 = 100;

/// Where an auto-recharge stands. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum AutoRechargeState {
    /// Switched off by somebody.
    Off,
    /// The balance is watched.
    Watching,
    /// A charge is under way: nobody decides another one.
    Charging,
    /// The balance was low and nothing was charged, or a charge has just ended: it is looked at again at `nextAttemptAt`.
    Waiting,
    /// The customer has to confirm a charge with the bank: see `actionUrl` of the payment.
    Paused,
    /// Switched off because charging failed. Only `updateAutoRecharge` switches it on again.
    Disabled,
}

/// Why nothing is charged. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Reason")]
pub enum AutoRechargeReason {
    /// The vendor has stopped all auto-recharges.
    Stopped,
    /// The audit found that the customer's books do not add up.
    Frozen,
    /// The vendor sells no credits, or not such an amount to this customer, or not in the rule's currency.
    NotSold,
    /// The customer has no default payment method with the vendor's provider.
    NoPaymentMethod,
    /// What is left of the month's cap does not suffice.
    CapReached,
    /// As many charges as a day may have: five.
    DailyLimit,
    /// A charge has just ended well.
    JustCharged,
    /// The bank declined a charge that can be tried again.
    Declined,
    /// The bank wants the customer to confirm.
    AuthenticationRequired,
    /// The customer did not confirm in time.
    NotConfirmed,
    /// A charge was declined again and again.
    RetriesFailed,
    /// The bank or the provider will never allow it with this payment method.
    MethodRefused,
    /// The provider spoke of another amount than was asked for: somebody has to look.
    Quarantined,
    /// Money of the customer's went back: it is not taken again unasked.
    MoneyWentBack,
}

/// How much is bought; exactly one of the two.
#[derive(OneofObject)]
pub enum RechargeAmountInput {
    /// This amount, or as often of it, in one charge, as brings the balance above the threshold.
    Fixed(MoneyInput),
    /// What restores the balance to so many credits.
    Target(Decimal),
}

/// When credits are bought, how much, and how much at most.
#[derive(InputObject)]
pub struct RechargeRuleInput {
    /// Something is bought when the balance is at this many credits or below; zero or more.
    pub threshold: Decimal,
    /// How much is bought.
    pub amount: RechargeAmountInput,
    /// Most that is charged in a calendar month of UTC.
    pub monthly_cap: MoneyInput,
}

impl RechargeRuleInput {
    fn rule(self) -> Result<Rule> {
        Ok(Rule {
            threshold: self.threshold.credits("threshold")?,
            size: match self.amount {
                RechargeAmountInput::Fixed(money) => Size::Fixed(money.money("amount.fixed")?),
                RechargeAmountInput::Target(credits) => Size::Target(credits.credits("amount.target")?),
            },
            monthly_cap: self.monthly_cap.money("monthlyCap")?,
        })
    }
}

/// What an auto-recharge came to when the balance was low.
#[derive(SimpleObject)]
pub struct RechargeEvaluation {
    /// Why nothing was charged; null: something was.
    pub reason: Option<AutoRechargeReason>,
    /// The balance that it looked at, in credits.
    pub balance: Decimal,
    /// The threshold of the rule then, in credits.
    pub threshold: Decimal,
    /// Global id of the payment that was decided; null: none was.
    pub payment_id: Option<ID>,
    /// How often in a row it came to the same.
    pub times: i32,
    /// When first.
    pub first_at: DateTime,
    /// When last.
    pub last_at: DateTime,
}

/// What comes if the customer goes on using credits as in the last seven days.
#[derive(SimpleObject)]
pub struct RechargeForecast {
    /// Credits used in a day.
    pub credits_per_day: Decimal,
    /// When the balance is at zero without a recharge; null: not within ten years.
    pub empty_at: Option<DateTime>,
    /// When the next charge is decided; null: the rule would not charge.
    pub charge_at: Option<DateTime>,
    /// How much is charged then.
    pub charge: Option<Money>,
}

/// A customer's auto-recharge.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct AutoRecharge {
    #[graphql(skip)]
    customer: CustomerId,
    /// Whether it is switched on. One that charging has switched off is not.
    pub enabled: bool,
    /// Where it stands.
    pub state: AutoRechargeState,
    /// Why it does not charge; null: it would.
    pub reason: Option<AutoRechargeReason>,
    /// When it is looked at again; null: when the balance is low, or never.
    pub next_attempt_at: Option<DateTime>,
    /// Charges in a row that the bank declined.
    pub failures: i32,
    /// Global id of the payment that is under way; null: none is.
    pub payment_id: Option<ID>,
    /// Something is bought when the balance is at this many credits or below.
    pub threshold: Decimal,
    /// How much is bought at a time; null: what restores `target`.
    pub fixed_amount: Option<Money>,
    /// To how many credits the balance is restored; null: `fixedAmount` is bought.
    pub target: Option<Decimal>,
    /// Most that is charged in a calendar month of UTC.
    pub monthly_cap: Money,
    /// What was charged in the month in which it last charged, open charges included.
    pub charged_in_month: Money,
    /// First day of that month.
    pub month: DateTime,
}

impl From<Recharge> for AutoRecharge {
    fn from(it: Recharge) -> Self {
        let cap = it.rule.monthly_cap;
        let (fixed_amount, target) = match it.rule.size {
            Size::Fixed(amount) => (Some(amount.into()), None),
            Size::Target(credits) => (None, Some(credits.into())),
        };
        Self {
            customer: it.customer,
            enabled: !matches!(it.state, State::Off | State::Disabled),
            state: it.state.into(),
            reason: it.reason.map(AutoRechargeReason::from),
            next_attempt_at: it.next_at.map(DateTime),
            failures: it.failures,
            payment_id: it.payment.map(|id| id.to_string().into()),
            threshold: it.rule.threshold.into(),
            fixed_amount,
            target,
            monthly_cap: cap.into(),
            charged_in_month: domain::money::Money::of(it.spent.in_month, cap.currency).into(),
            month: it.spent.month.into(),
        }
    }
}

#[ComplexObject]
impl AutoRecharge {
    /// What it came to when the balance was low, newest first: every charge, and every reason not to charge.
    async fn evaluations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many: 1 to 100.", default = 10)] first: i32,
    ) -> async_graphql::Result<Vec<RechargeEvaluation>> {
        let (app, actor) = caller(ctx)?;
        if !(1..=MAX_EVALUATIONS).contains(&first) {
            let no = Rejection::invalid("first", format!("1 to {MAX_EVALUATIONS}"));
            return Err(top_level(app::Error::from(no)));
        }
        let found = recharge::evaluations(app, actor, self.customer, first.unsigned_abs().into()).await;
        let shown = found
            .map_err(top_level)?
            .into_iter()
            .map(|it| RechargeEvaluation {
                reason: it.reason.map(AutoRechargeReason::from),
                balance: it.balance.into(),
                threshold: it.threshold.into(),
                payment_id: it.payment.map(|id| id.to_string().into()),
                times: it.times,
                first_at: it.first_at.into(),
                last_at: it.last_at.into(),
            });
        Ok(shown.collect())
    }

    /// What comes if the customer goes on using credits as in the last seven days of the clock on the wall.
    async fn forecast(&self, ctx: &Context<'_>) -> async_graphql::Result<RechargeForecast> {
        let (app, actor) = caller(ctx)?;
        let seen = recharge::forecast(app, actor, self.customer)
            .await
            .map_err(top_level)?;
        Ok(RechargeForecast {
            credits_per_day: seen.per_day.into(),
            empty_at: seen.empty_at.map(DateTime),
            charge_at: seen.charge_at.map(DateTime),
            charge: seen.charge.map(Money::from),
        })
    }
}

/// A charge that a rule would have made.
#[derive(SimpleObject)]
pub struct RehearsedCharge {
    /// When, to the hour.
    pub at: DateTime,
    /// The balance before it, in credits.
    pub balance: Decimal,
    /// How much.
    pub amount: Money,
    /// The credits that it would have bought.
    pub credits: Decimal,
}

impl From<Rehearsed> for RehearsedCharge {
    fn from(it: Rehearsed) -> Self {
        Self {
            at: it.at.into(),
            balance: it.balance.into(),
            amount: it.amount.into(),
            credits: it.credits.into(),
        }
    }
}

/// A time at which the balance would have been low and nothing charged.
#[derive(SimpleObject)]
pub struct RehearsedHold {
    /// When, to the hour.
    pub at: DateTime,
    /// Why.
    pub reason: AutoRechargeReason,
}

/// What a rule would have done in the last 30 days.
#[derive(SimpleObject)]
pub struct RechargeDryRun {
    /// The charges, if each had succeeded.
    pub charges: Vec<RehearsedCharge>,
    /// Times at which the balance was low and nothing was charged.
    pub holds: Vec<RehearsedHold>,
    /// What the charges come to.
    pub total: Money,
    /// The lowest balance at the end of an hour, before a charge, in credits.
    pub lowest_balance: Decimal,
    /// The balance that there would be now, in credits.
    pub closing_balance: Decimal,
}

impl From<Rehearsal> for RechargeDryRun {
    fn from(it: Rehearsal) -> Self {
        let holds = it.holds.into_iter().map(|(at, reason)| RehearsedHold {
            at: at.into(),
            reason: reason.into(),
        });
        Self {
            charges: it.charges.into_iter().map(RehearsedCharge::from).collect(),
            holds: holds.collect(),
            total: it.total.into(),
            lowest_balance: it.lowest.into(),
            closing_balance: it.closing.into(),
        }
    }
}

/// A customer's auto-recharge; none when there never was one.
pub(super) async fn auto_recharge(
    ctx: &Context<'_>,
    customer: CustomerId,
) -> async_graphql::Result<Option<AutoRecharge>> {
    let (app, actor) = caller(ctx)?;
    let found = recharge::recharge(app, actor, customer)
        .await
        .map_err(top_level)?;
    Ok(found.map(AutoRecharge::from))
}

/// What a rule would have done.
pub(super) async fn dry_run(
    ctx: &Context<'_>,
    customer: CustomerId,
    rule: RechargeRuleInput,
) -> async_graphql::Result<RechargeDryRun> {
    let (app, actor) = caller(ctx)?;
    let outcome = match rule.rule() {
        Ok(rule) => recharge::dry_run(app, actor, customer, rule).await,
        Err(error) => Err(error.under("rule")),
    };
    Ok(outcome.map_err(top_level)?.into())
}

/// What is to become of a customer's auto-recharge.
#[derive(InputObject)]
pub struct UpdateAutoRechargeInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// The rule that it is switched on with; null or left out: it is switched off, and keeps the rule that it has.
    pub rule: Option<RechargeRuleInput>,
}

payload! {
    /// Result of `updateAutoRecharge`.
    UpdateAutoRechargePayload {
        /// How it is from now on; null when it was refused.
        auto_recharge: AutoRecharge
    }
}

/// Whether auto-recharges are stopped.
#[derive(InputObject)]
pub struct StopAllAutoRechargeInput {
    /// True: none of the vendor's customers is charged by its rule. False: they go on.
    #[graphql(default = true)]
    pub stopped: bool,
}

payload! {
    /// Result of `stopAllAutoRecharge`.
    StopAllAutoRechargePayload {
        /// How the vendor sells credits from now on; null when it was refused.
        payment_settings: PaymentSettings
    }
}

/// Writes of auto-recharges.
#[derive(Default)]
pub struct RechargeMutation;

#[Object]
impl RechargeMutation {
    /// Switches a customer's auto-recharge on with a rule, or off. When the balance is low already, the charge is decided at once. Needs
    /// `payment:write`.
    async fn update_auto_recharge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose, and what it is to be.")] input: UpdateAutoRechargeInput,
    ) -> async_graphql::Result<UpdateAutoRechargePayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match command(input) {
            Ok(command) => recharge::update(app, actor, command).await,
            Err(error) => Err(error),
        };
        UpdateAutoRechargePayload::from_outcome(plain(outcome), AutoRecharge::from)
    }

    /// Stops the auto-recharges of all customers, or lets them go on. What was decided and not sent to the provider yet is not sent. Needs
    /// `payment:write`.
    async fn stop_all_auto_recharge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Stop, or go on.")] input: StopAllAutoRechargeInput,
    ) -> async_graphql::Result<StopAllAutoRechargePayload> {
        let (app, actor) = caller(ctx)?;
        let outcome: Result<Setting> = recharge::stop_all(app, actor, input.stopped).await;
        StopAllAutoRechargePayload::from_outcome(plain(outcome), PaymentSettings::from)
    }
}

fn command(input: UpdateAutoRechargeInput) -> Result<UpdateRecharge> {
    let rule = input.rule.map(RechargeRuleInput::rule).transpose();
    Ok(UpdateRecharge {
        customer: customer_ref(input.customer_id, input.external_customer_id)?,
        rule: rule.map_err(|error| error.under("rule"))?,
    })
}
