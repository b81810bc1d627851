//! Payments and ways to pay, both ways.

use domain::{
    amount::Credits,
    credit::grant::Life,
    id::{BlockId, CustomerId, InvoiceId, NoticeId, PaymentId, PaymentMethodId, ReturnId, TenantId},
    payment::{Payment, Progress, Way, method::Method, notice::Notice, returned::Return, sale::Sale},
    time::Timestamp,
};

use super::{Corrupt, from_json, from_text, money};
use crate::{payment, payment_method, payment_notice, payment_return, payment_setting};

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
        let way = match (row.method_id, &row.checkout) {
            (Some(method), None) => Way::Saved(PaymentMethodId(method)),
            (None, Some(checkout)) => Way::Page(from_json("payment", checkout)?),
            _ => {
                return Err(Corrupt {
                    table: "payment",
                    problem: "it is made with a saved way to pay, or on a page".to_owned(),
                });
            }
        };
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
            way,
            amount: money("payment", row.amount, &row.currency)?,
            credits: Credits::from_raw(row.credits),
            lasts_seconds: row.lasts_seconds,
            invoice: row.invoice_id.map(InvoiceId),
            created_at: Timestamp::from_micros(row.created_at),
            progress,
        })
    }
}

impl TryFrom<payment_return::Model> for Return {
    type Error = Corrupt;

    fn try_from(row: payment_return::Model) -> Result<Self, Corrupt> {
        Ok(Self {
            id: ReturnId(row.id),
            tenant: TenantId(row.tenant_id),
            customer: CustomerId(row.customer_id),
            payment: PaymentId(row.payment_id),
            kind: from_text("payment_return", &row.kind)?,
            amount: money("payment_return", row.amount, &row.currency)?,
            reason: row.reason,
            credits: Credits::from_raw(row.credits),
            life: row.life_seconds.map(|seconds| match seconds {
                0 => Life::Endless,
                seconds => Life::Seconds(seconds),
            }),
            state: from_text("payment_return", &row.state)?,
            reference: row.reference,
            created_at: Timestamp::from_micros(row.created_at),
            ended_at: instant(row.ended_at),
        })
    }
}

impl TryFrom<payment_notice::Model> for (NoticeId, Notice) {
    type Error = Corrupt;

    fn try_from(row: payment_notice::Model) -> Result<Self, Corrupt> {
        let notice = Notice {
            subjects: from_json("payment_notice", &row.subjects)?,
            reference: row.reference,
            kind: row.kind,
            payment: row.payment_id.map(PaymentId),
            occurred_at: Timestamp::from_micros(row.occurred_at),
        };
        Ok((NoticeId(row.id), notice))
    }
}
