//! Names of things. An id is 16 bytes, ordered by the time it was made (UUID version 7), and is shown as a prefix that tells
//! what it names and 26 characters of Crockford's base 32: `cus_01jd…`. To a client it is opaque.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::{text::serde_by_text, time::Timestamp};

/// Crockford's alphabet in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters that 128 bits need at 5 bits each.
const BODY_LENGTH: usize = 26;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not an id of this kind")]
pub struct NotAnId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", Self::PREFIX, encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let body = text.strip_prefix(Self::PREFIX).and_then(|rest| rest.strip_prefix('_'));
                decode(body.ok_or(NotAnId)?).map(Self)
            }
        }

        serde_by_text!($name);
    )*};
}

ids! {
    /// A vendor in one environment.
    TenantId "ten";
    /// A credential of a tenant.
    ApiKeyId "key";
    /// A short-lived credential of one customer.
    CustomerTokenId "tok";
    /// A thing that is counted.
    MetricId "met";
    /// One immutable version of a metric's price.
    MeteringRuleId "rul";
    /// Who the vendor bills.
    CustomerId "cus";
    /// A deposit of credits.
    BlockId "blk";
    /// One accepted usage event.
    EventId "evt";
    /// Credits set aside for work that is still running.
    HoldId "hld";
    /// What a vendor offers, in one or more variants.
    PlanId "pln";
    /// One way to buy a plan.
    VariantId "pvr";
    /// Credits that a variant brings.
    TemplateId "gtp";
    /// A customer's agreement to a variant.
    SubscriptionId "sub";
    /// Something that vendors are told about.
    BillingEventId "bev";
    /// An address that events are sent to.
    WebhookEndpointId "whe";
    /// One event on its way to one endpoint.
    WebhookDeliveryId "whd";
    /// A letter to a customer.
    MailId "eml";
    /// A way to pay that a customer has left with us.
    PaymentMethodId "pmt";
    /// A page of a provider's on which a customer leaves a way to pay.
    PaymentSetupId "pst";
    /// Money asked from a customer.
    PaymentId "pay";
    /// Money of a payment that goes back.
    ReturnId "ret";
    /// What a payment provider has told.
    NoticeId "ntc";
    /// A bill, or the receipt of a purchase.
    InvoiceId "inv";
    /// What takes back a part of an invoice.
    CreditNoteId "crn";
    /// A tax number that a customer has given.
    TaxRegistrationId "txr";
    /// A clock of a test tenant that is set by hand.
    TestClockId "clk";
    /// A duty that needs attention.
    WorkId "wrk";
}

impl EventId {
    /// When it was made, to the millisecond; `None` for an id of another form.
    #[must_use]
    pub fn made_at(&self) -> Option<Timestamp> {
        let made = self.0.get_timestamp().filter(|_| self.0.get_version_num() == 7)?;
        let (seconds, nanos) = made.to_unix();
        let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
        Some(Timestamp::from_micros(
            micros.checked_add(i64::from(nanos / 1_000))?,
        ))
    }
}

/// One line of a customer's ledger: the customer and the number of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Whose ledger.
    pub customer: CustomerId,
    /// Number of the line, from 1.
    pub sequence: i64,
}

impl EntryId {
    /// What the text form begins with.
    pub const PREFIX: &'static str = "ent";
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}_{}_{}",
            Self::PREFIX,
            encode(self.customer.0),
            self.sequence
        )
    }
}

impl FromStr for EntryId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let rest = text.strip_prefix("ent_").ok_or(NotAnId)?;
        let (customer, sequence) = rest.split_once('_').ok_or(NotAnId)?;
        let sequence: i64 = sequence.parse().map_err(|_| NotAnId)?;
        let id = Self {
            customer: CustomerId(decode(customer)?),
            sequence,
        };
        // One spelling per id: `+7` or `007` are refused.
        if sequence < 1 || id.to_string() != text {
            Err(NotAnId)
        } else {
            Ok(id)
        }
    }
}

fn encode(id: Uuid) -> String {
    let bits = id.as_u128();
    (0..BODY_LENGTH)
        .rev()
        .map(|index| char::from(ALPHABET[((bits >> (index * 5)) & 31) as usize]))
        .collect()
}

fn decode(text: &str) -> Result<Uuid, NotAnId> {
    // The first character holds the three bits that are left over, so it is at most `7`.
    if text.len() != BODY_LENGTH || text.as_bytes()[0] > b'7' {
        return Err(NotAnId);
    }
    text.bytes()
        .try_fold(0_u128, |bits, byte| {
            let digit = ALPHABET
                .iter()
                .position(|&letter| letter == byte)
                .ok_or(NotAnId)?;
            Ok(bits << 5 | digit as u128)
        })
        .map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_survives_the_way_there_and_back() {
        for bits in [0, 1, 31, 32, u128::MAX, 0x0193_7a1e_0000_7000_8000_0000_0000_0001] {
            let id = CustomerId(Uuid::from_u128(bits));
            assert_eq!(id.to_string().parse(), Ok(id));
            let entry = EntryId {
                customer: id,
                sequence: 42,
            };
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
    }

    #[test]
    fn text_order_is_time_order() {
        let ids: Vec<String> = [1_u128, 2, 31, 32, 1 << 64, u128::MAX]
            .map(|n| EventId(Uuid::from_u128(n)).to_string())
            .into();
        assert!(ids.is_sorted());
    }

    #[test]
    fn an_event_knows_when_it_was_made() {
        let id = "0193f3b8-1c00-7000-8000-000000000001".parse().map(EventId);
        let made = id.ok().and_then(|id| id.made_at());
        assert_eq!(made.map(|at| at.micros()), Some(0x0193_f3b8_1c00 * 1_000));
        assert_eq!(EventId(Uuid::from_u128(7)).made_at(), None);
    }

    #[test]
    fn other_texts_are_refused() {
        let good = CustomerId(Uuid::from_u128(7)).to_string();
        for bad in [
            "",
            "cus",
            "cus_",
            "cus_01",
            &good.replace("cus", "met"),
            &good.to_uppercase(),
            &format!("{good}0"),
            "cus_80000000000000000000000000",
            "cus_0000000000000000000000000l",
        ] {
            assert_eq!(bad.parse::<CustomerId>(), Err(NotAnId), "{bad}");
        }
        let entry = format!("ent_{}", encode(Uuid::from_u128(7)));
        for bad in ["_0", "_-1", "_+1", "_01", "_", ""] {
            assert_eq!(format!("{entry}{bad}").parse::<EntryId>(), Err(NotAnId), "{bad}");
        }
    }
}
