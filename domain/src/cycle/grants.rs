//! The blocks that a cycle brings.
//!
//! Ids are chosen by the caller; what makes a grant happen once is its effect key.

use super::{Cycle, Share, schedule::Schedule};
use crate::{
    amount::{Credits, Overflow},
    credit::block::{Billing, Block, BlockState, Source},
    id::{BlockId, MetricId, SubscriptionId, TemplateId},
    plan::{
        Offer,
        template::{Expiry, GrantTemplate, Recurrence},
        variant::ShortCycle,
    },
    time::{Period, Timestamp},
};

/// A block to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBlock {
    /// Unique per customer: the database refuses a second one.
    pub effect_key: String,
    /// The template behind it.
    pub template: TemplateId,
    /// Number of the cycle.
    pub cycle: i64,
    /// Whether it ends with the cycle (or with the template's own period), may roll over, and is ended by a turn.
    pub ends_with_cycle: bool,
    /// Where the credits come from.
    pub source: Source,
    /// How their use is billed.
    pub billing: Billing,
    /// Higher burns first.
    pub priority: i32,
    /// More than zero.
    pub credits: Credits,
    /// First instant at which it may pay.
    pub granted_at: Timestamp,
    /// First instant at which it may pay no longer; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Metrics it may pay for; `None`: all.
    pub metrics: Option<Vec<MetricId>>,
}

impl NewBlock {
    /// The block under the name that the caller chose.
    #[must_use]
    pub fn into_block(self, id: BlockId) -> Block {
        Block {
            id,
            source: self.source,
            billing: self.billing,
            priority: self.priority,
            credits: self.credits,
            remaining: self.credits,
            granted_at: self.granted_at,
            expires_at: self.expires_at,
            metrics: self.metrics,
            state: BlockState::Active,
        }
    }
}

/// A block that a subscription granted and that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanBlock {
    /// Its name.
    pub id: BlockId,
    /// The template behind it.
    pub template: TemplateId,
    /// As in [`NewBlock`].
    pub ends_with_cycle: bool,
    /// Where the credits come from.
    pub source: Source,
    /// How their use is billed.
    pub billing: Billing,
    /// Credits granted.
    pub credits: Credits,
    /// Credits left.
    pub remaining: Credits,
    /// First instant at which it could pay.
    pub granted_at: Timestamp,
    /// First instant at which it may pay no longer; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Why grants are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The subscription begins (with a trial: when the trial ends): everything, also what is granted once.
    Activation,
    /// A cycle begins: what recurs.
    Opening,
    /// Within a cycle, a template's own period begins.
    Within,
    /// The plan was changed within a cycle: what recurs, for the time that is left.
    Change {
        /// The subscription's revision: a plan may be changed twice, even at one instant.
        revision: i64,
    },
}

/// What grants need to know.
#[derive(Debug, Clone, Copy)]
pub struct Grants<'a> {
    /// Whose.
    pub subscription: SubscriptionId,
    /// What was agreed.
    pub offer: &'a Offer,
    /// The boundaries.
    pub schedule: &'a Schedule,
    /// The cycle.
    pub cycle: &'a Cycle,
    /// When the blocks begin to pay.
    pub at: Timestamp,
}

impl Grants<'_> {
    /// The blocks of an occasion, in the order of the templates, each bonus after its grant.
    ///
    /// # Errors
    /// An amount outside the range of credits.
    pub fn blocks(&self, occasion: Occasion) -> Result<Vec<NewBlock>, Overflow> {
        self.blocks_of(self.offer.templates_at(self.at), occasion)
    }

    /// What the grants of the running periods are still worth: the part that the time left stands for, as one block per grant and
    /// bonus. It is what [`Occasion::Change`] would grant of the same templates. `blocks` are what the cycle has granted.
    ///
    /// # Errors
    /// An amount outside the range of credits.
    pub fn unearned(&self, blocks: &[PlanBlock]) -> Result<Vec<NewBlock>, Overflow> {
        let granted = self.offer.templates.iter();
        let granted = granted.filter(|template| self.has_granted(template, blocks));
        self.blocks_of(granted, Occasion::Change { revision: 0 })
    }

    /// Whether a template has granted for its running period: it has a block of it, or it was in force when the period began and what
    /// was used ahead of time ate all of the grant.
    fn has_granted(&self, template: &GrantTemplate, blocks: &[PlanBlock]) -> bool {
        let begun = self.period_of(template).start.max(self.cycle.granted_from);
        let mut of_period = blocks.iter().filter(|block| block.granted_at >= begun);
        of_period.any(|block| block.template == template.id) || template.is_in_force_at(begun)
    }

    fn blocks_of<'a>(
        &self,
        templates: impl Iterator<Item = &'a GrantTemplate>,
        occasion: Occasion,
    ) -> Result<Vec<NewBlock>, Overflow> {
        let mut blocks = Vec::new();
        for template in templates {
            if let Some(share) = self.share(template, occasion) {
                self.push(&mut blocks, template, share, occasion)?;
            }
        }
        Ok(blocks)
    }

    /// How much of a template is due; `None`: nothing.
    fn share(&self, template: &GrantTemplate, occasion: Occasion) -> Option<Share> {
        let cycle = self.cycle;
        if !template.is_for(cycle.trial) || cycle.period.end <= self.at {
            return None;
        }
        if cycle.trial {
            return Some(Share::WHOLE);
        }
        match (template.recurrence, occasion) {
            (Recurrence::Once, Occasion::Activation) => Some(Share::WHOLE),
            (Recurrence::Once, _) => None,
            (Recurrence::Recurring, Occasion::Change { .. }) => Some(self.left_of(template)),
            (Recurrence::Recurring, Occasion::Within) => {
                let begun = template.every.map(|_| self.period_of(template).start);
                begun
                    .filter(|begun| *begun > cycle.granted_through && template.is_in_force_at(*begun))
                    .map(|_| Share::WHOLE)
            }
            (Recurrence::Recurring, Occasion::Activation | Occasion::Opening) => Some(match template.every {
                None => cycle.worth(),
                Some(_) => self.prorated(Share::of(self.period_of(template), self.cell_of(template))),
            }),
        }
    }

    fn prorated(&self, share: Share) -> Share {
        match self.offer.variant.short_cycle {
            ShortCycle::Full => Share::WHOLE,
            ShortCycle::Prorated => share,
        }
    }

    /// What a change of plan leaves of the template's period, by the second.
    fn left_of(&self, template: &GrantTemplate) -> Share {
        match template.every {
            None => self.cycle.left(self.at),
            Some(_) => Share {
                part: self.period_of(template).end.seconds_since(self.at).max(0),
                whole: self.cell_of(template).seconds().max(1),
            },
        }
    }

    /// The period that a grant at this instant is for: the cycle, or the template's own period inside it.
    fn period_of(&self, template: &GrantTemplate) -> Period {
        let natural = Period {
            start: self.cycle.period.start,
            end: self.cycle.natural_end,
        };
        let Some(every) = template.every.filter(|_| !self.cycle.trial) else {
            return natural;
        };
        let finer = self.schedule.within(natural, every);
        let own = finer.period(finer.number_at(self.at).max(0));
        Period {
            start: own.start,
            end: own.end.min(natural.end),
        }
    }

    /// The full length that the template's amount stands for.
    fn cell_of(&self, template: &GrantTemplate) -> Period {
        match template.every {
            Some(every) => self
                .schedule
                .within(self.cycle.period, every)
                .cell_at(self.at.max(self.cycle.period.start)),
            None => self.period_of(template),
        }
    }

    /// When a template with an interval of its own grants next inside the cycle.
    #[must_use]
    pub fn next_within(&self) -> Option<Timestamp> {
        let cycle = self.cycle;
        if cycle.trial || !cycle.paid {
            return None;
        }
        let next = |template: &GrantTemplate| {
            // One written within the cycle begins with its next period.
            let written = Timestamp::from_micros(template.created_at.micros() - 1);
            let after = Grants {
                at: cycle.granted_through.max(written),
                ..*self
            };
            let next = after.period_of(template).end;
            template.is_in_force_at(next).then_some(next)
        };
        self.offer
            .templates
            .iter()
            .filter(|template| template.every.is_some() && template.recurrence == Recurrence::Recurring)
            .filter_map(next)
            .filter(|next| *next < cycle.period.end)
            .min()
    }

    /// When a block that ends with its period ends, in a cycle that ends when this one does.
    #[must_use]
    pub fn end_of_period(&self, template: &GrantTemplate) -> Timestamp {
        self.period_of(template).end.min(self.cycle.period.end)
    }

    /// What makes a grant unique: the cycle, and within it the period of a template that has its own.
    pub(super) fn key(&self, kind: &str, template: &GrantTemplate) -> String {
        let (subscription, number, id) = (self.subscription, self.cycle.number, template.id);
        match template.every.filter(|_| !self.cycle.trial) {
            None => format!("grant:{kind}:{subscription}:{number}:{id}"),
            Some(_) => format!(
                "grant:{kind}:{subscription}:{number}:{id}:{}",
                self.period_of(template).start.micros()
            ),
        }
    }

    fn push(
        &self,
        blocks: &mut Vec<NewBlock>,
        template: &GrantTemplate,
        share: Share,
        occasion: Occasion,
    ) -> Result<(), Overflow> {
        let expires_at = match template.expiry {
            Expiry::Never => None,
            Expiry::At { at } => Some(at),
            Expiry::After { seconds } => Some(self.at.plus_seconds(seconds)),
            Expiry::EndOfCycle => Some(self.end_of_period(template)),
        };
        if expires_at.is_some_and(|end| end <= self.at) {
            return Ok(());
        }
        let effect_key = match (template.recurrence, occasion) {
            (Recurrence::Once, _) => self.key("once", template),
            (_, Occasion::Change { revision }) => format!("{}:{revision}", self.key("change", template)),
            _ => self.key("cycle", template),
        };
        let billing = if self.cycle.trial {
            Billing::Free
        } else {
            template.billing(self.offer.variant.mode)
        };
        let grant = NewBlock {
            effect_key,
            template: template.id,
            cycle: self.cycle.number,
            ends_with_cycle: template.expiry == Expiry::EndOfCycle,
            source: template.source,
            billing,
            priority: template.priority,
            credits: share.of_credits(template.credits)?,
            granted_at: self.at,
            expires_at,
            metrics: template.metrics.clone(),
        };
        let bonus = NewBlock {
            effect_key: format!("{}:bonus", grant.effect_key),
            source: Source::Bonus,
            billing: Billing::Free,
            credits: template.bonus.of(grant.credits)?,
            ..grant.clone()
        };
        blocks.extend(
            [grant, bonus]
                .into_iter()
                .filter(|block| block.credits.is_positive()),
        );
        Ok(())
    }
}
