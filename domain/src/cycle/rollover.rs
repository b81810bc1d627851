//! What rolls over. Nothing, unless the template says so.

use std::collections::BTreeMap;

use super::grants::{Grants, NewBlock, PlanBlock};
use crate::{
    amount::{Credits, Overflow},
    credit::block::{Billing, Source},
    id::TemplateId,
    plan::{self, Offers, template::GrantTemplate},
};

/// New blocks for what rolls over from blocks that end now.
///
/// Of what is left of a template's blocks (grants, bonuses and what rolled over before) its percentage goes on, into one block per
/// way of being billed, which ends with the new period. With `fresh`, what is granted for the same period, it never exceeds the
/// accumulation cap; free credits are kept first. `offers` has what was agreed when the ended blocks were granted, perhaps several
/// changes of plan ago: what a template granted rolls over as that template says.
///
/// # Errors
/// An amount outside the range of credits.
pub fn carry(
    into: &Grants<'_>,
    offers: &Offers,
    ended: &[PlanBlock],
    fresh: &[NewBlock],
) -> Result<Vec<NewBlock>, Overflow> {
    let mut left: BTreeMap<TemplateId, [Credits; 3]> = BTreeMap::new();
    for block in ended {
        let purse = &mut left.entry(block.template).or_default()[place(block.billing)];
        *purse = purse.plus(block.remaining)?;
    }
    let mut blocks = Vec::new();
    for (id, purses) in left {
        let Some(template) = plan::template_of(offers, id) else {
            continue;
        };
        let mut room = room(template, fresh)?;
        for (billing, left) in [Billing::Free, Billing::Prepaid, Billing::Budget]
            .into_iter()
            .zip(purses)
        {
            let credits = template.rollover.of(left)?.min(room);
            room = room.minus(credits)?;
            let ends = into.end_of_period(template);
            if credits.is_positive() && ends > into.at {
                blocks.push(NewBlock {
                    effect_key: format!("{}:{}", into.key("rollover", template), place(billing)),
                    template: id,
                    cycle: into.cycle.number,
                    ends_with_cycle: true,
                    source: Source::Rollover,
                    billing,
                    priority: template.priority,
                    credits,
                    granted_at: into.at,
                    expires_at: Some(ends),
                    metrics: template.metrics.clone(),
                });
            }
        }
    }
    Ok(blocks)
}

/// What the cap leaves beside the fresh grants.
fn room(template: &GrantTemplate, fresh: &[NewBlock]) -> Result<Credits, Overflow> {
    let Some(cap) = template.accumulation_cap else {
        return Ok(Credits::MAX);
    };
    let fresh = fresh.iter().filter(|block| block.template == template.id);
    let fresh = Credits::total(fresh.map(|block| block.credits))?;
    Ok(cap.minus(fresh)?.max(Credits::ZERO))
}

fn place(billing: Billing) -> usize {
    match billing {
        Billing::Free => 0,
        Billing::Prepaid => 1,
        Billing::Budget => 2,
    }
}
