//! What must hold, one check per promise. A finding is a row that breaks it.
//!
//! | file | promises about |
//! |---|---|
//! | [`ledger`] | the entries of one customer, one after the other |
//! | [`account`] | totals, blocks, and to whom rows belong |
//! | [`usage`] | what events came to, counts, and the debits for them |
//! | [`cycle`] | subscriptions: the order of cycles, what they granted and came to, what accounts know of them |
//! | [`house`] | what belongs to no single customer: prices, guards, credentials, what is late |

pub(super) mod account;
pub(super) mod cycle;
pub(super) mod house;
pub(super) mod ledger;
pub(super) mod usage;

use std::collections::HashMap;

use uuid::Uuid;

/// Findings of one check about one customer that are kept: the first tell what happened, the others would only fill tables.
const MAX_ALIKE: usize = 10;

/// How bad it is when a promise is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Money: the customer's grants, corrections and revocations are kept back until somebody has looked.
    S1,
    /// Something is late.
    S2,
}

impl Severity {
    /// The name used in rows and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S1 => "S1",
            Self::S2 => "S2",
        }
    }
}

macro_rules! checks {
    ($($variant:ident $id:literal $severity:ident $sentence:literal;)*) => {
        /// One promise that the audit proves.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check {
            $(#[doc = $sentence] $variant,)*
        }

        impl Check {
            /// Every check, in the order in which they are listed to people.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name; never changed.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// How bad a finding is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)*
                }
            }

            /// What it promises, in one sentence.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)*
                }
            }
        }
    };
}

checks! {
    LedgerSequence "ledger.sequence" S1 "Entries are numbered from 1 without gaps, and the account knows the last number.";
    LedgerBalance "ledger.balance" S1 "Balance and overdraft after an entry are those before it plus its changes, and the account has the last ones.";
    LedgerChain "ledger.chain" S1 "The hash of an entry covers its content and the hash before it, and the account has the last one.";
    AccountBound "account.bound" S1 "Where terms bound the overdraft, usage has not taken it beyond since they were agreed: more is owed only if it was owed then, or because money went back.";
    AccountBlocks "account.blocks" S1 "What an account says is in blocks is the sum of what its blocks hold.";
    BlockEntries "block.entries" S1 "A block holds the sum of its entries.";
    BlockBounds "block.bounds" S1 "A block holds no less than nothing and no more than was deposited, and nothing once it has ended.";
    BlockDeposit "block.deposit" S1 "The first entry of a block is its deposit, and of all that was deposited.";
    BlockEnded "block.ended" S1 "No entry touches a block after the one that ended it.";
    RowOwner "row.owner" S1 "Rows belong to the tenant of their customer, and name blocks and metrics of their owner only.";
    UsageOnce "usage.once" S1 "An accepted event is either waiting or rated exactly once; only one that was taken back can be neither.";
    UsageRows "usage.rows" S1 "Ratings are about events of their customer, metric, cycle and day, sum up those not taken back, and follow each other.";
    UsagePrice "usage.price" S1 "An event costs what the price version that was valid for it says at its place in the cycle.";
    UsagePaid "usage.paid" S1 "What an event cost was drawn in full, from blocks of its customer that were open to it.";
    UsageCounts "usage.counts" S1 "A count is the sum of its rated events, and costs what its price says and what was drawn for it.";
    UsageDebits "usage.debits" S1 "Debit entries move exactly what the events of their batch drew from each block and the overdraft.";
    UsageWrittenOff "usage.written_off" S1 "What the ledger has written off is what the counts say was written off of their usage.";
    CycleOrder "cycle.order" S1 "Cycles of a subscription are numbered without gaps, follow each other, and close in order; only the last may run.";
    CycleGrants "cycle.grants" S1 "A block of a plan was granted by a cycle of its customer's subscription, and has ended where it ends with that cycle.";
    CycleSummary "cycle.summary" S1 "What a closed cycle says it came to is the sum of its metrics, and of what was rated and counted in time.";
    AccountBarrier "account.barrier" S1 "What an account knows of its subscriptions is what they say: when usage has to wait, and whether checks pass.";
    HoldCounts "hold.counts" S1 "What an account says is held, and how many holds are open, is the sum and the count of its open holds.";
    HoldCaptured "hold.captured" S1 "A captured hold became one usage event of exactly what was used of it, for its customer and metric.";
    SpendCounts "spend.counts" S2 "What counts against a customer's limits is what usage of that day and month cost, and its account knows whether it counts.";
    RuleVersions "rule.versions" S1 "Price versions of one match follow each other without overlap and without gap.";
    AccessScopes "access.scopes" S1 "A customer's token can do nothing that the key which made it cannot.";
    PaymentGranted "payment.granted" S1 "A payment that succeeded became one block of exactly its credits for its customer, and no other payment did.";
    PaymentReturned "payment.returned" S1 "For money that went back of a payment its credits were taken in proportion, no more and no less, and the ledger says so.";
    InvoicePaid "invoice.paid" S1 "An invoice whose payment succeeded is not asked for any more, belongs to whom the payment is of, and is for no less than was left of it.";
    InvoiceNumbers "invoice.numbers" S1 "Numbers of invoices and credit notes are given from 1 on without gaps, and the count says the last one.";
    Guards "guards" S1 "The database's own guards are in place: final entries, one effect per key, rows that stay with their owner.";
    BlockSwept "block.swept" S2 "A block is ended within ten minutes after its expiry, unless a billing cycle ends it or a test clock.";
    HoldDue "hold.due" S2 "A hold is freed within ten minutes after its deadline; by a test clock, before it stands.";
    SubscriptionDue "subscription.due" S2 "What time makes due of a subscription is done within ten minutes; by a test clock, before it stands.";
    PaymentDue "payment.due" S2 "A payment is sent and asked about within ten minutes after that is due, and none waits for a person.";
    PaymentKnown "payment.known" S2 "No payment provider knows of a payment of ours that is not here.";
    RechargeWatched "recharge.watched" S2 "A balance is watched exactly while its customer's auto-recharge says so, and a charge under way is one of its customer's.";
    RechargeDue "recharge.due" S2 "An auto-recharge that waits is looked at again within ten minutes after its instant.";
    InvoiceDue "invoice.due" S2 "What is due of an invoice, and the bill of a cycle that has closed, is done within ten minutes.";
    EventSequence "event.sequence" S2 "Events of a customer are numbered without gaps, beyond those that were forgotten, and the account knows the last number.";
    UsageWaiting "usage.waiting" S2 "An accepted event is debited within five minutes, unless it waits for a test clock.";
    WorkParked "work.parked" S2 "No work waits for a person, and none is overdue by ten minutes.";
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// Which.
    pub(super) check: Check,
    /// Whose; `None`: nobody's in particular.
    pub(super) tenant: Option<Uuid>,
    /// Whose books.
    pub(super) customer: Option<Uuid>,
    /// What it is about; the same next time.
    pub(super) subject: String,
    /// What was found.
    pub(super) message: String,
}

/// Findings about one customer.
#[derive(Debug, Default)]
pub(super) struct Findings {
    tenant: Option<Uuid>,
    customer: Option<Uuid>,
    alike: HashMap<Check, usize>,
    pub(super) all: Vec<Finding>,
}

impl Findings {
    /// About one customer.
    pub(super) fn about(tenant: Uuid, customer: Uuid) -> Self {
        Self {
            tenant: Some(tenant),
            customer: Some(customer),
            ..Self::default()
        }
    }

    /// Adds one, unless there are many of its kind, or the same is known to be broken about this subject.
    pub(super) fn add(&mut self, check: Check, subject: impl ToString, message: impl Into<String>) {
        let subject = subject.to_string();
        if self
            .all
            .iter()
            .any(|it| it.check == check && it.subject == subject)
        {
            return;
        }
        let alike = self.alike.entry(check).or_default();
        *alike += 1;
        if *alike <= MAX_ALIKE {
            self.all.push(Finding {
                check,
                tenant: self.tenant,
                customer: self.customer,
                subject,
                message: message.into(),
            });
        }
    }

    /// Adds one when something does not hold. The message is only made then.
    pub(super) fn expect<M: Into<String>>(
        &mut self,
        holds: bool,
        check: Check,
        subject: impl ToString,
        message: impl FnOnce() -> M,
    ) {
        if !holds {
            self.add(check, subject, message());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn checks_have_names_of_their_own() {
        let names: HashSet<_> = Check::ALL.iter().map(|check| check.id()).collect();
        assert_eq!(names.len(), Check::ALL.len());
    }

    #[test]
    fn many_findings_of_a_kind_are_cut() {
        let mut findings = Findings::about(Uuid::nil(), Uuid::nil());
        for line in 0..100 {
            findings.add(Check::LedgerChain, line, "x");
        }
        findings.add(Check::LedgerBalance, 1, "y");
        assert_eq!(findings.all.len(), MAX_ALIKE + 1);
    }
}
