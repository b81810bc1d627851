//! Payments and ways to pay, both ways.

use domain::{
    amount::Credits,
    id::{BlockId, CustomerId, InvoiceId, PaymentId, PaymentMethodId, TenantId},
    money::Money,
    payment::{Payment, Progress, method::Method, sale::Sale},
    time::Timestamp,
};

use super::{Corrupt, from_json, from_text};
use crate::{payment, payment_method, payment_setting};

fn instant(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(Timestamp::from_micros)
}

impl TryFrom<&payment_setting::Model> for Sale {
    type Error = Corrupt;

    fn try_from(row: &payment_setting::Model) -> Result<Self, Corrupt> {
        from_json("payment_setting", &row.terms)
    }
}

impl TryFrom<payment_method::Model> for Method {
    type Error = Corrupt;

    fn try_from(row: payment_method::Model) -> Result<Self, Corrupt> {
        Ok(Self {
            id: PaymentMethodId(row.id),
            customer: CustomerId(row.customer_id),
            face: from_json("payment_method", &row.face)?,
            provider: row.provider,
            is_default: row.is_default != 0,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

impl TryFrom<payment::Model> for Payment {
    type Error = Corrupt;

    fn try_from(row: payment::Model) -> Result<Self, Corrupt> {
        let currency = row.currency.parse().map_err(|_| Corrupt {
            table: "payment",
            problem: format!("`{}` is no currency", row.currency),
        })?;
        let decline = row.decline.map(|text| from_text("payment", &text)).transpose()?;
        let progress = Progress {
            state: from_text("payment", &row.state)?,
            submitted_at: instant(row.submitted_at),
            due_at: instant(row.due_at),
            looks: row.looks,
            reference: row.reference,
            decline,
            action_url: row.action_url,
            block: row.block_id.map(BlockId),
            ended_at: instant(row.ended_at),
        };
        Ok(Self {
            id: PaymentId(row.id),
            tenant: TenantId(row.tenant_id),
            customer: CustomerId(row.customer_id),
            purpose: from_text("payment", &row.purpose)?,
            provider: row.provider,
            method: PaymentMethodId(row.method_id),
            amount: Money::of(row.amount, currency),
            credits: Credits::from_raw(row.credits),
            lasts_seconds: row.lasts_seconds,
            invoice: row.invoice_id.map(InvoiceId),
            created_at: Timestamp::from_micros(row.created_at),
            progress,
        })
    }
}
