//! Money that goes back, in Stripe's words, and what it means in ours: refunds, whoever asked for them, and disputes.

use std::collections::HashMap;

use domain::{
    id::ReturnId,
    payment::{
        Order, Way,
        decline::Decline,
        returned::{Back, Kind, Refund, State},
    },
};
use serde::Deserialize;

use super::{
    PARTS, Stripe,
    amounts::to_stripe,
    checkout::{Reference, amount},
    client::Fields,
    lists::{List, Listed},
    words::{PAYMENT, no_answer},
};
use crate::payment::Trouble;

/// Where refunds are.
const REFUNDS: &str = "/v1/refunds";
/// Where disputes are.
const DISPUTES: &str = "/v1/disputes";
/// Under this name our own id of a return is kept beside Stripe's.
const RETURN: &str = "tallygate_return";

/// Money that is given back. Stripe does not say in which world: its charge is in the same.
#[derive(Debug, Deserialize)]
struct GivenBack {
    id: String,
    #[serde(default)]
    metadata: HashMap<String, String>,
    payment_intent: Option<String>,
    amount: i64,
    currency: String,
    status: Option<String>,
    reason: Option<String>,
    failure_reason: Option<String>,
}

/// Money that a bank asks back.
#[derive(Debug, Deserialize)]
struct Dispute {
    id: String,
    livemode: bool,
    payment_intent: Option<String>,
    amount: i64,
    currency: String,
    status: String,
    reason: Option<String>,
}

impl Listed for GivenBack {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Listed for Dispute {
    fn id(&self) -> &str {
        &self.id
    }
}

impl GivenBack {
    /// Our name, if we have asked for it, and for this payment.
    fn ours(&self, payment: &str) -> Option<ReturnId> {
        let of = self.metadata.get(PAYMENT).filter(|of| *of == payment);
        of.and_then(|_| self.metadata.get(RETURN)?.parse().ok())
    }

    fn state(&self) -> Option<State> {
        match self.status.as_deref()? {
            "pending" | "requires_action" => Some(State::Pending),
            "succeeded" => Some(State::Returned),
            "failed" | "canceled" => Some(State::Undone),
            _ => None,
        }
    }

    /// What it means, if it is of this charge.
    fn back(self, charge: &str, payment: &str) -> Result<Back, Trouble> {
        check_charge(&self.id, self.payment_intent.as_deref(), charge)?;
        let ours = self.ours(payment);
        let state = self
            .state()
            .ok_or_else(|| unknown(&self.id, self.status.as_deref()))?;
        Ok(Back {
            ours,
            kind: Kind::Refund,
            amount: amount(self.amount, &self.currency, &self.id)?,
            reason: self.failure_reason.or(self.reason),
            state,
            reference: self.id,
        })
    }
}

impl Dispute {
    fn state(&self) -> Option<State> {
        match self.status.as_str() {
            "warning_needs_response" | "warning_under_review" => Some(State::Pending),
            "needs_response" | "under_review" => Some(State::Contested),
            "lost" => Some(State::Returned),
            "won" | "warning_closed" | "prevented" => Some(State::Undone),
            _ => None,
        }
    }

    /// What it means, if it is about this charge.
    fn back(self, charge: &str) -> Result<Back, Trouble> {
        check_charge(&self.id, self.payment_intent.as_deref(), charge)?;
        let state = self
            .state()
            .ok_or_else(|| unknown(&self.id, Some(&self.status)))?;
        Ok(Back {
            ours: None,
            kind: Kind::Dispute,
            amount: amount(self.amount, &self.currency, &self.id)?,
            reason: self.reason,
            state,
            reference: self.id,
        })
    }
}

/// What is of another charge is no answer.
fn check_charge(name: &str, of: Option<&str>, charge: &str) -> Result<(), Trouble> {
    if of == Some(charge) {
        return Ok(());
    }
    Err(no_answer(format!("{name} is not of {charge}")))
}

/// A word that we do not know means nothing.
fn unknown(name: &str, status: Option<&str>) -> Trouble {
    no_answer(format!("{name} is {:?}", status.unwrap_or_default()))
}

impl Stripe {
    /// Stripe's name for the charge of an order; `None`: there is none.
    async fn charge_of(&self, order: &Order) -> Result<Option<String>, Trouble> {
        match order.reference.as_deref().and_then(Reference::read) {
            Some(Reference::Charge(name)) => return Ok(Some(name.to_owned())),
            Some(Reference::Page(name)) => {
                let charge = self.page(order, name).await?.payment_intent;
                return Ok(charge.map(|intent| intent.id));
            }
            None => {}
        }
        let name = match order.way {
            Way::Saved(_) => self.find(order).await?.map(|intent| intent.id),
            Way::Page(_) => self.look_at_page(order).await?.map(|seen| seen.reference),
        };
        // A page that is still open is no charge.
        Ok(name.filter(|name| matches!(Reference::read(name), Some(Reference::Charge(_)))))
    }

    /// Gives money back.
    pub(super) async fn give_back(&self, order: &Order, refund: &Refund) -> Result<Back, Trouble> {
        let refused = || Trouble::Refused(Decline::Refused);
        // Stripe takes the number in the currency of the charge, whatever was meant.
        let same = refund.amount.currency == order.amount.currency;
        let number = to_stripe(refund.amount).filter(|number| *number > 0 && same);
        let number = number.ok_or_else(refused)?;
        let charge = self.charge_of(order).await?.ok_or_else(refused)?;
        let (id, payment) = (refund.id, order.payment.to_string());
        let (ours, of) = (format!("metadata[{RETURN}]"), format!("metadata[{PAYMENT}]"));
        let fields: Fields<'_> = vec![
            ("payment_intent", charge.clone()),
            ("amount", number.to_string()),
            (&ours, id.to_string()),
            (&of, payment.clone()),
        ];
        let given = self
            .client
            .post::<GivenBack>(REFUNDS, &refund.key(), &fields)
            .await;
        let given = given.map_err(|no| match Trouble::from(no) {
            // No card is gone here, and nobody declines: that was all Stripe's no.
            Trouble::Refused(_) => refused(),
            silence @ Trouble::NoAnswer(_) => silence,
        })?;
        let back = given.back(&charge, &payment)?;
        if back.ours != Some(id) {
            return Err(no_answer(format!("{} is not {id}", back.reference)));
        }
        Ok(back)
    }

    /// All that has gone back.
    pub(super) async fn gone_back(&self, order: &Order) -> Result<Vec<Back>, Trouble> {
        let Some(charge) = self.charge_of(order).await? else {
            return Ok(Vec::new());
        };
        let payment = order.payment.to_string();
        let of_charge = || vec![("payment_intent", charge.clone())];
        let mut backs = Vec::new();
        for given in List::<GivenBack>::new(&self.client, REFUNDS, of_charge(), PARTS)
            .all()
            .await?
        {
            backs.push(given.back(&charge, &payment)?);
        }
        for dispute in List::<Dispute>::new(&self.client, DISPUTES, of_charge(), PARTS)
            .all()
            .await?
        {
            self.check_mode(dispute.livemode)?;
            backs.push(dispute.back(&charge)?);
        }
        Ok(backs)
    }
}
