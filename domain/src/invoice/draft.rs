//! Putting an invoice together.

use super::{Invoice, Kind, Totals, line::Line, party::Party, state::State};
use crate::{
    cycle::CycleRef,
    id::{CustomerId, InvoiceId, TenantId},
    money::{Currency, Money, MoneyError},
    rejection::Rejection,
    tax::{
        decide::Treatment,
        levy::{Prices, levy},
    },
    time::{Period, Timestamp},
};

/// Most lines of an invoice.
pub const MAX_LINES: usize = 1_000;

/// What an invoice is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its name in rows.
    pub id: InvoiceId,
    /// Who sells.
    pub tenant: TenantId,
    /// Who pays.
    pub customer: CustomerId,
    /// Of which cycle; `None`: of none.
    pub cycle: Option<CycleRef>,
    /// What it is for.
    pub kind: Kind,
    /// All amounts must be in it.
    pub currency: Currency,
    /// The time that it is about; `None`: a moment.
    pub period: Option<Period>,
    /// Who sells.
    pub seller: Party,
    /// Who pays.
    pub buyer: Party,
    /// What is billed. Lines of zero are kept: they show usage that was covered.
    pub lines: Vec<Line>,
    /// Whether the amounts of the lines contain the taxes. Those of a purchase do, whatever is said here: the money was taken.
    pub prices: Prices,
    /// The customer's credit balance, zero or more: what earlier invoices below zero and credit notes have left. It pays as far as it
    /// goes, but not for a purchase, which is paid already.
    pub balance: Money,
    /// When it is drafted.
    pub now: Timestamp,
}

/// Puts an invoice together. It is a draft: without a number and not asked for. What it takes from the customer's credit balance is
/// [`Totals::applied`], what it adds to it [`Totals::carried`]; the caller books both when the invoice is finalised.
///
/// # Errors
/// No lines or too many, an amount in another currency, a balance below zero, or a sum outside its range.
pub fn draft(draft: Draft, treatment: &Treatment) -> Result<Invoice, Rejection> {
    let currency = draft.currency;
    if draft.lines.is_empty() || draft.lines.len() > MAX_LINES {
        return Err(Rejection::invalid(
            "lines",
            format!("there must be 1 to {MAX_LINES} lines"),
        ));
    }
    let mut sum = Money::of(0, currency);
    for (index, line) in draft.lines.iter().enumerate() {
        sum = sum
            .plus(line.amount)
            .map_err(|no| refused(&format!("lines.{index}"), no))?;
    }
    if draft.balance.currency != currency {
        let no = MoneyError::Currencies(currency, draft.balance.currency);
        return Err(refused("balance", no));
    }
    if draft.balance.minor < 0 {
        return Err(Rejection::invalid("balance", "a credit balance is not negative"));
    }
    let prices = match draft.kind {
        Kind::Purchase => Prices::WithTax,
        Kind::Cycle | Kind::Fee => draft.prices,
    };
    let levy = levy(&treatment.rates, sum, prices).map_err(|no| refused("lines", no))?;
    let back = levy.total.minor.min(0).checked_neg();
    let nothing = Money::of(0, currency);
    let mut totals = Totals {
        subtotal: levy.net,
        tax: levy.tax,
        total: levy.total,
        applied: nothing,
        due: nothing,
        carried: Money::of(back.ok_or_else(|| Rejection::too_large("lines"))?, currency),
    };
    totals.apply(draft.kind, draft.balance);
    Ok(Invoice {
        id: draft.id,
        tenant: draft.tenant,
        customer: draft.customer,
        cycle: draft.cycle,
        kind: draft.kind,
        currency,
        period: draft.period,
        seller: draft.seller,
        buyer: draft.buyer,
        lines: draft.lines,
        prices,
        taxes: levy.taxes,
        totals,
        notes: treatment.note.iter().cloned().collect(),
        number: None,
        state: State::Draft,
        created_at: draft.now,
        issued_at: None,
        due_at: None,
        paid_at: None,
    })
}

impl Invoice {
    /// A draft with what the customer's credit balance pays when it is issued: it may have been spent, or grown, since the draft was made. An
    /// invoice that is no draft stays as it is.
    #[must_use]
    pub fn with_balance(&self, balance: Money) -> Self {
        let mut invoice = self.clone();
        if invoice.state == State::Draft && balance.currency == invoice.currency {
            invoice.totals.apply(invoice.kind, balance);
        }
        invoice
    }
}

impl Totals {
    /// Has a credit balance in the same currency pay as far as it goes. It does not pay for a purchase, which is paid already.
    fn apply(&mut self, kind: Kind, balance: Money) {
        let asked = self.total.minor.max(0);
        let most = if kind == Kind::Purchase { 0 } else { asked };
        self.applied.minor = balance.minor.clamp(0, most);
        self.due.minor = asked - self.applied.minor;
    }
}

fn refused(field: &str, no: MoneyError) -> Rejection {
    match no {
        MoneyError::TooLarge(_) => Rejection::too_large(field),
        MoneyError::Currencies(..) => Rejection::invalid(
            &format!("{field}.currency"),
            format!("an invoice has one currency: {no}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::samples::{fees, taxed},
        *,
    };

    /// What, kind, amounts of the lines, percent, credit balance; then subtotal, tax, applied, due and carried.
    type Row = (&'static str, Kind, &'static [i64], &'static str, i64, [i64; 5]);

    #[rustfmt::skip]
    const TOTALS: &[Row] = &[
        ("plain", Kind::Cycle, &[10_000, 2_000], "", 0, [12_000, 0, 0, 12_000, 0]),
        ("taxed once, not by line", Kind::Cycle, &[10, 10, 10], "5", 0, [30, 2, 0, 32, 0]),
        ("what goes back", Kind::Fee, &[3_000, -1_000], "19", 0, [2_000, 380, 0, 2_380, 0]),
        ("more goes back", Kind::Fee, &[1_000, -3_000], "19", 0, [-2_000, -380, 0, 0, 2_380]),
        ("balance pays a part", Kind::Cycle, &[10_000], "", 4_000, [10_000, 0, 4_000, 6_000, 0]),
        ("balance pays all", Kind::Cycle, &[10_000], "19", 20_000, [10_000, 1_900, 11_900, 0, 0]),
        ("balance is not touched", Kind::Cycle, &[-500], "", 300, [-500, 0, 0, 0, 500]),
        ("nothing", Kind::Cycle, &[0], "19", 300, [0, 0, 0, 0, 0]),
        ("a purchase contains its tax", Kind::Purchase, &[1_190], "19", 500, [1_000, 190, 0, 1_190, 0]),
    ];

    #[test]
    fn totals() {
        for (what, kind, amounts, percent, balance, wanted) in TOTALS {
            let mut made = fees(*kind, amounts);
            made.balance.minor = *balance;
            let totals = draft(made, &taxed(percent)).unwrap().totals;
            let found = [
                totals.subtotal,
                totals.tax,
                totals.applied,
                totals.due,
                totals.carried,
            ];
            assert_eq!(found.map(|money| money.minor), *wanted, "{what}");
        }
    }

    #[test]
    fn what_cannot_be_drafted() {
        let good = || fees(Kind::Cycle, &[100, 200]);
        let mut mixed = good();
        mixed.lines[1].amount.currency = Currency::USD;
        let mut foreign = good();
        foreign.balance.currency = Currency::USD;
        let mut negative = good();
        negative.balance.minor = -1;
        let mut huge = good();
        huge.lines[0].amount.minor = i64::MAX;
        for (made, field) in [
            (mixed, "lines.1.currency"),
            (foreign, "balance.currency"),
            (negative, "balance"),
            (huge, "lines.1"),
            (fees(Kind::Cycle, &[]), "lines"),
            (fees(Kind::Cycle, &[i64::MAX]), "lines"),
            (fees(Kind::Cycle, &[i64::MIN]), "lines"),
        ] {
            let no = draft(made, &taxed("19")).unwrap_err();
            assert_eq!(no.path.join("."), field, "{no}");
        }
        let no = draft(fees(Kind::Cycle, &[i64::MIN]), &taxed("")).unwrap_err();
        assert_eq!(no.path, ["lines"]);
    }

    #[test]
    fn it_is_kept_as_json() {
        let made = draft(fees(Kind::Cycle, &[100, -7]), &taxed("19")).unwrap();
        let json = serde_json::to_string(&made).unwrap();
        assert!(
            json.contains(r#""state":"DRAFT""#) && json.contains(r#""prices":"WITHOUT_TAX""#),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Invoice>(&json).unwrap(), made);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(amounts in prop::collection::vec(-1_000_000..1_000_000_i64, 1..20), balance in 0..1_000_000_i64, percent in 0..30_u8) {
            let mut made = fees(Kind::Cycle, &amounts);
            made.balance.minor = balance;
            let totals = draft(made, &taxed(&percent.to_string())).unwrap().totals;
            prop_assert_eq!(totals.subtotal.minor, amounts.iter().sum::<i64>());
            prop_assert_eq!(totals.subtotal.minor + totals.tax.minor, totals.total.minor);
            prop_assert_eq!(totals.due.minor + totals.applied.minor - totals.carried.minor, totals.total.minor);
            prop_assert!(totals.due.minor >= 0 && totals.applied.minor >= 0 && totals.carried.minor >= 0);
            prop_assert!(totals.applied.minor <= balance);
            prop_assert!(totals.carried.minor == 0 || totals.due.minor == 0);
        }
    }
}
