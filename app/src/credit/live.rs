//! The live balance of one customer: first the present state, then every change with its number.
//!
//! A change is a ledger entry, so numbers have no gaps and a client can tell that it has missed nothing, or resume after the
//! last number it saw. A reader that has fallen more than [`CATCH_UP`] entries behind is given the present state instead of
//! each of them. A change of terms or of what is held moves no credits; it is sent with the number of the last entry. A hold that
//! comes to its deadline is seen when a worker has freed it, and a budget that begins anew with the next change.

use std::{sync::Arc, time::Duration};

use domain::{
    amount::Credits,
    id::{CustomerId, TenantId},
};
use futures::{Stream, stream};

use super::desk::{self, Line, Reading};
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::Result,
    feed::Notices,
};

/// Entries that are sent one by one. A reader further behind wants to know where things stand, not how they got there.
pub(super) const CATCH_UP: u64 = 1_000;

/// Pause after a read that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The balance as it stood after one ledger entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceUpdate {
    /// Whose.
    pub customer: CustomerId,
    /// Number of the last ledger entry.
    pub sequence: i64,
    /// Blocks minus overdraft; may be negative.
    pub remaining: Credits,
    /// Left to spend under the present terms and budgets, and beside what is held now; `None`: no limit.
    pub available: Option<Credits>,
    /// What no block could cover.
    pub overdraft: Credits,
    /// What open holds have set aside at present.
    pub held: Credits,
}

/// Watches a customer's balance. The stream does not end by itself.
///
/// # Errors
/// The scope is missing, or no such customer. An item is an error when the database is out of reach; the stream goes on.
pub async fn watch(
    app: &App,
    actor: &Actor,
    who: &CustomerRef,
    after: Option<i64>,
) -> Result<impl Stream<Item = Result<BalanceUpdate>> + use<>> {
    actor.require(Scope::CreditRead)?;
    let customer = customer::resolve(app.db().reader(), actor.reach(), who).await?;
    let watcher = Watcher {
        // Before the first read, so that a change in between is noticed.
        notices: app.feed().watch(customer),
        app: app.clone(),
        tenant: actor.tenant,
        customer,
        sent: after,
        revision: None,
        reading: None,
    };
    Ok(stream::unfold(watcher, |mut watcher| async move {
        let item = watcher.next().await;
        Some((item, watcher))
    }))
}

struct Watcher {
    app: App,
    tenant: TenantId,
    customer: CustomerId,
    notices: Notices,
    /// Number of the last entry the client has; `None` before the first.
    sent: Option<i64>,
    /// Revision of the account at the last read; `None` before the first.
    revision: Option<i64>,
    /// What was read last, until all of it is told.
    reading: Option<Arc<Reading>>,
}

impl Watcher {
    async fn next(&mut self) -> Result<BalanceUpdate> {
        loop {
            if let Some(update) = self.take() {
                return Ok(update);
            }
            if self.revision.is_some() {
                self.notices.next().await;
            }
            if let Err(error) = self.read().await {
                // The notice is used up, so the next call must look again by itself, though not at once.
                tokio::time::sleep(RETRY_PAUSE).await;
                self.revision = None;
                return Err(error);
            }
        }
    }

    /// Reads what came after the last item, together with everybody who asks at the same time.
    async fn read(&mut self) -> Result<()> {
        let whose = (self.tenant, self.customer);
        let reading = self.app.desk().read(whose, self.sent).await?;
        self.reading = Some(reading);
        Ok(())
    }

    /// The next item of what was read.
    fn take(&mut self) -> Option<BalanceUpdate> {
        let reading = self.reading.clone()?;
        let last = reading.account.sequence;
        let news = self.revision != Some(reading.revision);
        self.revision = Some(reading.revision);
        if let Some(sent) = self.sent.filter(|sent| desk::can_catch_up(*sent, last))
            && let Some(line) = reading.after(sent).first()
        {
            self.sent = Some(line.sequence);
            if line.sequence == last {
                self.reading = None;
            }
            return Some(self.after_entry(line, &reading));
        }
        self.reading = None;
        let moved = self.sent != Some(last);
        self.sent = Some(last);
        (moved || news).then(|| self.at_present(&reading))
    }

    fn at_present(&self, reading: &Reading) -> BalanceUpdate {
        let account = &reading.account;
        BalanceUpdate {
            customer: self.customer,
            sequence: account.sequence,
            remaining: account.balance(),
            available: reading.bounds.available(account.balance()),
            overdraft: account.overdraft,
            held: reading.bounds.held,
        }
    }

    fn after_entry(&self, line: &Line, reading: &Reading) -> BalanceUpdate {
        BalanceUpdate {
            customer: self.customer,
            sequence: line.sequence,
            remaining: line.balance,
            available: reading.bounds.available(line.balance),
            overdraft: line.overdraft,
            held: reading.bounds.held,
        }
    }
}
