//! Charging a way to pay that a customer has left, without that person being there.
//!
//! Looking at a charge never changes it: what is asked of its owner is asked with the charge.
//!
//! Such a charge is refused when the bank wants to hear from the owner of the card. Confirmed once more, as if the owner were there, the
//! same charge gets a page of the bank's on which it can be done: that is the link to send.

use domain::payment::{Order, Seen};

use super::{
    CUSTOMER, INTENTS, Stripe,
    client::{Fields, No},
    is_plain,
    words::{Intent, PAYMENT},
};
use crate::payment::Trouble;

impl Stripe {
    /// Charges `number` of Stripe's units.
    pub(super) async fn charge_saved(
        &self,
        order: &Order,
        method: &str,
        number: i64,
    ) -> Result<Seen, Trouble> {
        let payment = format!("metadata[{PAYMENT}]");
        let yes = || "true".to_owned();
        let fields: Fields<'_> = vec![
            ("amount", number.to_string()),
            ("currency", order.amount.currency.code().to_ascii_lowercase()),
            ("customer", order.payer.clone()),
            ("payment_method", method.to_owned()),
            ("confirm", yes()),
            ("off_session", yes()),
            ("automatic_payment_methods[enabled]", yes()),
            // Stripe wants to know it, although nobody is there.
            ("return_url", self.return_url.clone()),
            (&payment, order.payment.to_string()),
            (CUSTOMER, order.customer.to_string()),
        ];
        match self.client.post(INTENTS, &order.key(), &fields).await {
            Ok(intent) => self.pursue(order, method, intent).await,
            // A bank that declines is an answer like another: the charge comes with it.
            Err(No::Complaint(mut complaint)) => match complaint.payment_intent.take() {
                Some(intent) => self.pursue(order, method, *intent).await,
                None => Err(complaint.trouble()),
            },
            Err(no) => Err(no.into()),
        }
    }

    /// What a charge has come to, and the page for its owner where the bank wants one. Without such a page the charge waits all the same.
    async fn pursue(&self, order: &Order, method: &str, intent: Intent) -> Result<Seen, Trouble> {
        self.check(&intent, order)?;
        if intent.wants_owner()
            && let Some(asked) = self.ask_owner(order, method, &intent.id).await
        {
            return self.seen(asked, order);
        }
        self.seen(intent, order)
    }

    /// Confirms the same charge with its owner present; `None`: there is no such page. However often it is asked, it is done
    /// once.
    async fn ask_owner(&self, order: &Order, method: &str, intent: &str) -> Option<Intent> {
        if !is_plain(intent) {
            return None;
        }
        let path = format!("{INTENTS}/{intent}/confirm");
        let key = format!("{}_owner", order.key());
        let fields: Fields<'_> = vec![
            ("payment_method", method.to_owned()),
            ("return_url", self.return_url.clone()),
        ];
        match self.client.post(&path, &key, &fields).await {
            Ok(intent) => Some(intent),
            Err(No::Complaint(mut complaint)) => complaint.payment_intent.take().map(|intent| *intent),
            Err(No::Silence(_)) => None,
        }
    }
}
