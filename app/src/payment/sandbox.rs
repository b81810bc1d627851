//! Where the sandbox keeps what it knows, and what its customers would do on its pages.
//!
//! Its rows are apart from our own books and each change of them is a transaction by itself, as with a provider that is somewhere else:
//! a charge that it has made stays made when our own transaction is taken back.

use std::sync::Arc;

use domain::{
    id::{PaymentId, PaymentSetupId, ReturnId},
    payment::{
        Order, Payment, State, Way,
        returned::{self, Back, Refund},
    },
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};
use entity::{from_text, money, sandbox_charge, sandbox_return, sandbox_setup, to_text};
use gateway::payment::sandbox::{Book, Card, Charge, KEY, Wait};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, OnConflict},
};

use super::{MethodSetup, collect, method, store};
use crate::{
    App,
    actor::{Actor, Scope},
    clock::Clock,
    db::Db,
    error::Result,
    op::Op,
};

/// A charge whose owner has not been heard of.
const OPEN: i32 = 0;
/// A charge that its owner has confirmed.
const CONFIRMED: i32 = 1;
/// A charge that was given up before.
const CANCELLED: i32 = 2;

/// The sandbox's book, in tables of its own.
pub(crate) struct Rows {
    db: Db,
    clock: Arc<dyn Clock>,
}

impl Rows {
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    async fn charge_of(&self, condition: sea_orm::Condition) -> Result<Option<Charge>> {
        let row = sandbox_charge::Entity::find()
            .filter(condition)
            .one(self.db.writer())
            .await?;
        row.map(charge).transpose()
    }
}

fn charge(row: sandbox_charge::Model) -> Result<Charge> {
    let card = row.card.map(|card| from_text("sandbox_charge", &card));
    Ok(Charge {
        card: card.transpose()?,
        on_page: row.on_page != 0,
        amount: money("sandbox_charge", row.amount, &row.currency)?,
        reference: row.reference,
        payment: PaymentId(row.payment_id),
        asked_at: Timestamp::from_micros(row.asked_at),
        asked: row.asked,
        wait: match row.confirmed {
            OPEN => Wait::Open,
            CANCELLED => Wait::Cancelled,
            _ => Wait::Confirmed,
        },
    })
}

fn back(row: sandbox_return::Model) -> Result<Back> {
    Ok(Back {
        ours: row.return_id.map(ReturnId),
        kind: from_text("sandbox_return", &row.kind)?,
        amount: money("sandbox_return", row.amount, &row.currency)?,
        state: from_text("sandbox_return", &row.state)?,
        reason: None,
        reference: row.reference,
    })
}

/// As a provider that is away would say it.
fn away(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[async_trait::async_trait]
impl Book for Rows {
    async fn open(&self, key: &str) -> std::result::Result<String, String> {
        let reference = format!("sbx_setup_{}", &key[..key.len().min(32)]);
        let row = sandbox_setup::ActiveModel {
            reference: Set(reference.clone()),
            key: Set(key.to_owned()),
            card_reference: Set(None),
            card: Set(None),
        };
        sandbox_setup::Entity::insert(row)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(self.db.writer())
            .await
            .map_err(away)?;
        Ok(reference)
    }

    async fn card_left(&self, setup: &str) -> std::result::Result<Option<(String, Card)>, String> {
        let row = sandbox_setup::Entity::find_by_id(setup.to_owned())
            .one(self.db.writer())
            .await
            .map_err(away)?;
        match row.and_then(|row| row.card_reference.zip(row.card)) {
            Some((reference, card)) => Ok(Some((
                reference,
                from_text("sandbox_setup", &card).map_err(away)?,
            ))),
            None => Ok(None),
        }
    }

    async fn card(&self, reference: &str) -> std::result::Result<Option<Card>, String> {
        let row = sandbox_setup::Entity::find()
            .filter(sandbox_setup::Column::CardReference.eq(reference))
            .one(self.db.writer())
            .await
            .map_err(away)?;
        let card = row.and_then(|row| row.card);
        card.map(|card| from_text("sandbox_setup", &card))
            .transpose()
            .map_err(away)
    }

    async fn ask(
        &self,
        order: &Order,
        card: Option<Card>,
        now: Timestamp,
    ) -> std::result::Result<Charge, String> {
        let key = order.key();
        let row = sandbox_charge::ActiveModel {
            reference: Set(format!("sbx_{key}")),
            key: Set(key.clone()),
            payment_id: Set(order.payment.0),
            card: Set(card.map(to_text)),
            on_page: Set(i32::from(matches!(order.way, Way::Page(_)))),
            amount: Set(order.amount.minor),
            currency: Set(order.amount.currency.code().to_owned()),
            asked_at: Set(now.micros()),
            asked: Set(1),
            confirmed: Set(OPEN),
        };
        let once_more = OnConflict::column(sandbox_charge::Column::Key)
            .value(
                sandbox_charge::Column::Asked,
                Expr::col((sandbox_charge::Entity, sandbox_charge::Column::Asked)).add(1),
            )
            .to_owned();
        sandbox_charge::Entity::insert(row)
            .on_conflict(once_more)
            .exec_without_returning(self.db.writer())
            .await
            .map_err(away)?;
        let asked = self.charge_of(sandbox_charge::Column::Key.eq(key).into()).await;
        asked.map_err(away)?.ok_or_else(|| "it was lost".to_owned())
    }

    async fn find(&self, payment: PaymentId) -> std::result::Result<Option<Charge>, String> {
        let of = sandbox_charge::Column::PaymentId.eq(payment.0);
        self.charge_of(of.into()).await.map_err(away)
    }

    async fn cancel(&self, payment: PaymentId) -> std::result::Result<(), String> {
        end_wait(&self.db, payment, CANCELLED).await.map_err(away)
    }

    async fn give_back(
        &self,
        payment: PaymentId,
        refund: &Refund,
        state: returned::State,
    ) -> std::result::Result<Back, String> {
        let row = sandbox_return::ActiveModel {
            reference: Set(format!("sbx_{}", refund.key())),
            payment_id: Set(payment.0),
            return_id: Set(Some(refund.id.0)),
            kind: Set(to_text(returned::Kind::Refund)),
            amount: Set(refund.amount.minor),
            currency: Set(refund.amount.currency.code().to_owned()),
            state: Set(to_text(state)),
        };
        sandbox_return::Entity::insert(row)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(self.db.writer())
            .await
            .map_err(away)?;
        let backs = self.backs(payment).await?;
        let ours = backs.into_iter().find(|back| back.ours == Some(refund.id));
        ours.ok_or_else(|| "it was lost".to_owned())
    }

    async fn backs(&self, payment: PaymentId) -> std::result::Result<Vec<Back>, String> {
        let rows = sandbox_return::Entity::find()
            .filter(sandbox_return::Column::PaymentId.eq(payment.0))
            .order_by_asc(sandbox_return::Column::Reference)
            .all(self.db.writer())
            .await
            .map_err(away)?;
        rows.into_iter().map(|row| back(row).map_err(away)).collect()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Ends the wait of a charge for its owner, if it still waits.
async fn end_wait(db: &Db, payment: PaymentId, how: i32) -> Result<()> {
    sandbox_charge::Entity::update_many()
        .col_expr(sandbox_charge::Column::Confirmed, Expr::value(how))
        .filter(sandbox_charge::Column::PaymentId.eq(payment.0))
        .filter(sandbox_charge::Column::Confirmed.eq(OPEN))
        .exec(db.writer())
        .await?;
    Ok(())
}

/// Does what a customer would do on the sandbox's page: leaves a card.
///
/// # Errors
/// No such page, one that is not the sandbox's, or one on which a card was left before.
pub async fn complete_setup(app: &App, actor: &Actor, id: PaymentSetupId, card: Card) -> Result<MethodSetup> {
    actor.require(Scope::PaymentWrite)?;
    let found = store::setup(app.db().reader(), actor.reach(), id).await?;
    let setup = found
        .filter(|setup| setup.provider == KEY)
        .ok_or_else(|| Rejection::not_found("paymentSetupId", "page of the sandbox"))?;
    let op = Op::begin(app).await?;
    let left = sandbox_setup::Entity::update_many()
        .col_expr(sandbox_setup::Column::Card, Expr::value(to_text(card)))
        .col_expr(
            sandbox_setup::Column::CardReference,
            Expr::value(format!("sbx_card_{}", op.new_id().simple())),
        )
        .filter(sandbox_setup::Column::Reference.eq(setup.reference.as_str()))
        .filter(sandbox_setup::Column::Card.is_null())
        .exec(op.tx())
        .await?;
    op.commit().await?;
    if left.rows_affected == 0 {
        let message = "a card was left on this page before";
        return Err(Rejection::new(RejectionCode::AlreadyExists, "paymentSetupId", message).into());
    }
    method::finish(app, actor.tenant, setup).await
}

/// Does what a customer would do at the bank: confirms a payment with a card of the sandbox that wants it.
///
/// # Errors
/// No such payment, or one that waits for nothing of the kind.
pub async fn confirm_payment(app: &App, actor: &Actor, id: PaymentId) -> Result<Payment> {
    let no = "it does not wait for its customer to confirm it at the sandbox";
    let waits = |it: &Payment| it.progress.state == State::RequiresAction && matches!(it.way, Way::Saved(_));
    let payment = at_sandbox(app, actor, id, waits, no).await?;
    end_wait(app.db(), id, CONFIRMED).await?;
    looked_at(app, actor, payment).await
}

/// Does what a customer would do on the page of a checkout: pays with a card. One that is declined leaves the page open for another.
///
/// # Errors
/// No such payment, or one that does not wait for its customer to pay on a page of the sandbox.
pub async fn complete_checkout(app: &App, actor: &Actor, id: PaymentId, card: Card) -> Result<Payment> {
    let no = "it does not wait for its customer to pay on a page of the sandbox";
    let waits = |it: &Payment| it.progress.state == State::RequiresAction && matches!(it.way, Way::Page(_));
    let payment = at_sandbox(app, actor, id, waits, no).await?;
    let now = app.now().micros();
    sandbox_charge::Entity::update_many()
        .col_expr(sandbox_charge::Column::Card, Expr::value(to_text(card)))
        .col_expr(sandbox_charge::Column::AskedAt, Expr::value(now))
        .filter(sandbox_charge::Column::PaymentId.eq(id.0))
        .filter(sandbox_charge::Column::Confirmed.eq(OPEN))
        .exec(app.db().writer())
        .await?;
    looked_at(app, actor, payment).await
}

/// What the bank of a customer does about a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bank {
    /// It asks what the payment was for; no money moves.
    Asks,
    /// It takes the money back, and decides later.
    Disputes,
    /// It decides for the customer.
    Decides,
    /// It decides for the vendor.
    Dismisses,
}

/// Does what the bank of a customer would do about a payment: takes the money back, or gives it again. There is one dispute of a payment.
///
/// # Errors
/// No such payment, or one whose money was not taken by the sandbox.
pub async fn dispute_payment(app: &App, actor: &Actor, id: PaymentId, bank: Bank) -> Result<Payment> {
    let no = "no money was taken by the sandbox that could be disputed";
    let payment = at_sandbox(app, actor, id, |it| it.progress.state == State::Succeeded, no).await?;
    let state = match bank {
        Bank::Asks => returned::State::Pending,
        Bank::Disputes => returned::State::Contested,
        Bank::Decides => returned::State::Returned,
        Bank::Dismisses => returned::State::Undone,
    };
    let row = sandbox_return::ActiveModel {
        reference: Set(format!("sbx_dispute_{id}")),
        payment_id: Set(id.0),
        return_id: Set(None),
        kind: Set(to_text(returned::Kind::Dispute)),
        amount: Set(payment.amount.minor),
        currency: Set(payment.amount.currency.code().to_owned()),
        state: Set(to_text(state)),
    };
    let further = OnConflict::column(sandbox_return::Column::Reference)
        .update_column(sandbox_return::Column::State)
        .to_owned();
    sandbox_return::Entity::insert(row)
        .on_conflict(further)
        .exec_without_returning(app.db().writer())
        .await?;
    looked_at(app, actor, payment).await
}

/// A payment of the sandbox of which something can be done.
async fn at_sandbox(
    app: &App,
    actor: &Actor,
    id: PaymentId,
    can: impl Fn(&Payment) -> bool,
    otherwise: &str,
) -> Result<Payment> {
    actor.require(Scope::PaymentWrite)?;
    let found = store::payment(app.db().reader(), actor.reach(), id).await?;
    let payment = found.ok_or_else(|| Rejection::not_found("paymentId", "payment"))?;
    if payment.provider != KEY || !can(&payment) {
        return Err(Rejection::new(RejectionCode::PaymentState, "paymentId", otherwise).into());
    }
    Ok(payment)
}

/// The same payment after it was looked at, as when a provider that is somewhere else has sent a notice.
async fn looked_at(app: &App, actor: &Actor, payment: Payment) -> Result<Payment> {
    collect::look_now(app, &payment).await?;
    let after = store::payment(app.db().reader(), actor.reach(), payment.id).await?;
    Ok(after.unwrap_or(payment))
}
