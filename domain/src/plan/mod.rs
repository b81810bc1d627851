//! Plans: what a vendor offers, described once.
//!
//! A *plan* has *variants* (monthly or yearly, paid before or after), and a variant has *grant templates*: the credits that it
//! brings. What was offered never changes: a variant or template is written once, and archived when it is to be offered no
//! longer. Nothing that is in use is deleted, so a subscription can always say what it agreed to.

pub mod interval;
pub mod money_price;
pub mod preview;
pub mod template;
pub mod variant;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::{
    template::{Expiry, GrantTemplate, MAX_TEMPLATES},
    variant::Variant,
};
use crate::{
    id::{PlanId, TemplateId, VariantId},
    rejection::Rejection,
    time::Timestamp,
};

/// What a vendor offers, such as "Pro".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name in rows.
    pub id: PlanId,
    /// The vendor's own name for it, unique per tenant.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// More words for people.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is no longer offered.
    pub archived_at: Option<Timestamp>,
}

/// A variant with all its templates, archived ones included: what a subscription has agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The variant.
    pub variant: Variant,
    /// Its templates, oldest first.
    pub templates: Vec<GrantTemplate>,
}

/// What was agreed to, by variant.
pub type Offers = BTreeMap<VariantId, Offer>;

/// A template of any of some offers.
#[must_use]
pub fn template_of(offers: &Offers, id: TemplateId) -> Option<&GrantTemplate> {
    offers.values().find_map(|offer| offer.template(id))
}

impl Offer {
    /// The templates that are in force at an instant.
    pub fn templates_at(&self, instant: Timestamp) -> impl Iterator<Item = &GrantTemplate> {
        self.templates
            .iter()
            .filter(move |template| template.is_in_force_at(instant))
    }

    /// Checks a template that is to be added now.
    ///
    /// # Errors
    /// Which part cannot be, too many templates in force, or credits that are over already.
    pub fn check_new(&self, template: &GrantTemplate, now: Timestamp) -> Result<(), Rejection> {
        if self.templates_at(now).count() >= MAX_TEMPLATES {
            return Err(Rejection::invalid(
                "variantId",
                format!("a variant has at most {MAX_TEMPLATES} templates"),
            ));
        }
        if matches!(template.expiry, Expiry::At { at } if at <= now) {
            return Err(Rejection::invalid("expiresAt", "it must be in the future"));
        }
        template.validate(&self.variant)
    }

    /// The offer as a customer sees it whose test clock shows `now`: what was written or archived before now, by the clock on the wall,
    /// is so at the clock's present, however early that is.
    #[must_use]
    pub fn by_clock(mut self, now: Timestamp) -> Self {
        for template in &mut self.templates {
            template.created_at = template.created_at.min(now);
            template.archived_at = template.archived_at.map(|at| at.min(now));
        }
        self
    }

    /// A template, in force or not.
    #[must_use]
    pub fn template(&self, id: TemplateId) -> Option<&GrantTemplate> {
        self.templates.iter().find(|template| template.id == id)
    }
}
