//! What a subscription has agreed to.

use super::{Refused, Subscription};
use crate::{
    id::TemplateId,
    plan::{self, Offer, Offers, template::GrantTemplate},
};

/// What a subscription has agreed to, as far as its rules have to know.
#[derive(Debug, Clone, Copy)]
pub struct Deal<'a> {
    /// What it has.
    pub present: &'a Offer,
    /// What its next cycle is to have: the same, unless a change of plan is agreed.
    pub next: &'a Offer,
    /// Everything at hand, also what it had when its blocks were granted.
    pub offers: &'a Offers,
}

impl<'a> Deal<'a> {
    /// The deal of a subscription.
    ///
    /// # Errors
    /// What it has, or is to have, is not among the offers.
    pub fn of(subscription: &Subscription, offers: &'a Offers) -> Result<Self, Refused> {
        let offer = |id| offers.get(id).ok_or(Refused::OtherBooks);
        let present = offer(&subscription.variant)?;
        Ok(Self {
            present,
            next: subscription.next_variant.as_ref().map_or(Ok(present), offer)?,
            offers,
        })
    }

    /// The template behind one of its blocks.
    pub(super) fn template(&self, id: TemplateId) -> Option<&'a GrantTemplate> {
        plan::template_of(self.offers, id)
    }

    /// Whether these are the terms of a subscription.
    pub(super) fn is_of(&self, it: &Subscription) -> bool {
        let next = it.next_variant.unwrap_or(it.variant);
        self.present.variant.id == it.variant && self.next.variant.id == next
    }
}
