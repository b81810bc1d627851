//! Plans, their variants, and the templates of what they grant.

use domain::{
    id::PlanId,
    plan::{Plan, template::GrantTemplate, variant::Variant},
    time::Timestamp,
};

use super::{Corrupt, from_json};
use crate::{grant_template, plan, plan_variant};

impl From<&plan::Model> for Plan {
    fn from(row: &plan::Model) -> Self {
        Self {
            id: PlanId(row.id),
            key: row.key.clone(),
            name: row.name.clone(),
            description: row.description.clone(),
            created_at: Timestamp::from_micros(row.created_at),
            archived_at: row.archived_at.map(Timestamp::from_micros),
        }
    }
}

impl TryFrom<&plan_variant::Model> for Variant {
    type Error = Corrupt;

    fn try_from(row: &plan_variant::Model) -> Result<Self, Corrupt> {
        Ok(Self {
            archived_at: row.archived_at.map(Timestamp::from_micros),
            ..from_json("plan_variant", &row.terms)?
        })
    }
}

impl TryFrom<&grant_template::Model> for GrantTemplate {
    type Error = Corrupt;

    fn try_from(row: &grant_template::Model) -> Result<Self, Corrupt> {
        Ok(Self {
            archived_at: row.archived_at.map(Timestamp::from_micros),
            ..from_json("grant_template", &row.terms)?
        })
    }
}
