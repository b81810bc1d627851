//! Auto-recharges.

use domain::{
    id::{CustomerId, PaymentId, TenantId},
    recharge::{Recharge, Spent},
    time::Timestamp,
};

use super::{Corrupt, from_json, from_text};
use crate::auto_recharge;

impl TryFrom<&auto_recharge::Model> for Recharge {
    type Error = Corrupt;

    fn try_from(row: &auto_recharge::Model) -> Result<Self, Corrupt> {
        let reason = row.reason.as_deref();
        Ok(Self {
            customer: CustomerId(row.customer_id),
            tenant: TenantId(row.tenant_id),
            rule: from_json("auto_recharge", &row.rule)?,
            state: from_text("auto_recharge", &row.state)?,
            reason: reason.map(|text| from_text("auto_recharge", text)).transpose()?,
            next_at: row.next_at.map(Timestamp::from_micros),
            failures: row.failures,
            payment: row.payment_id.map(PaymentId),
            spent: Spent {
                month: Timestamp::from_micros(row.spent_month),
                in_month: row.spent_in_month,
                day: Timestamp::from_micros(row.spent_day),
                on_day: row.spent_on_day,
                told: i64::from(row.spent_told),
            },
        })
    }
}
