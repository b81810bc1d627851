//! The live balance of one customer: first the present state, then every change with its number.
//!
//! A change is a ledger entry, so numbers have no gaps and a client can tell that it has missed nothing, or resume after the
//! last number it saw. A reader that has fallen more than [`CATCH_UP`] entries behind is given the present state instead of
//! each of them. A change of terms moves no credits; it is sent with the number of the last entry.

use std::{collections::VecDeque, time::Duration};

use domain::{amount::Credits, customer::Terms, id::CustomerId, ledger::Account};
use futures::{Stream, stream};

use super::{store, view::LedgerLine};
use crate::{
    App,
    actor::{Actor, Reach, Scope},
    customer::{self, CustomerRef},
    error::{Error, Result},
    feed::Notices,
};

/// Entries that are sent one by one. A reader further behind wants to know where things stand, not how they got there.
const CATCH_UP: u64 = 1_000;

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
    /// Left to spend under the present terms; `None`: no limit.
    pub available: Option<Credits>,
    /// What no block could cover.
    pub overdraft: Credits,
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
        reach: actor.reach(),
        customer,
        sent: after,
        revision: None,
        ready: VecDeque::new(),
    };
    Ok(stream::unfold(watcher, |mut watcher| async move {
        let item = watcher.next().await;
        Some((item, watcher))
    }))
}

struct Watcher {
    app: App,
    reach: Reach,
    customer: CustomerId,
    notices: Notices,
    /// Number of the last entry the client has; `None` before the first.
    sent: Option<i64>,
    /// Revision of the account at the last read; `None` before the first.
    revision: Option<i64>,
    ready: VecDeque<BalanceUpdate>,
}

impl Watcher {
    async fn next(&mut self) -> Result<BalanceUpdate> {
        loop {
            if let Some(update) = self.ready.pop_front() {
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

    /// Reads what came after the last item. Two statements.
    async fn read(&mut self) -> Result<()> {
        let db = self.app.db().reader();
        let present = store::present(db, self.reach, self.customer).await?;
        let (account, terms, revision) =
            present.ok_or_else(|| Error::Internal(format!("{} has no account", self.customer)))?;
        let terms_changed = self.revision != Some(revision);
        self.revision = Some(revision);
        let behind = self.sent.map_or(0, |sent| account.sequence.saturating_sub(sent));
        // An unknown future number means another database: start afresh from the present.
        let known = self
            .sent
            .is_some_and(|sent| (0..=account.sequence).contains(&sent));
        if known && behind > 0 && behind.unsigned_abs() <= CATCH_UP {
            let after = account.sequence - behind;
            for line in store::entries_after(db, self.customer, after, behind.unsigned_abs()).await? {
                self.ready.push_back(self.after_entry(&line, &terms));
            }
        } else if behind != 0 || terms_changed {
            self.ready.push_back(self.at_present(&account, &terms));
        }
        self.sent = Some(account.sequence);
        Ok(())
    }

    fn at_present(&self, account: &Account, terms: &Terms) -> BalanceUpdate {
        BalanceUpdate {
            customer: self.customer,
            sequence: account.sequence,
            remaining: account.balance(),
            available: terms.available(account.balance(), Credits::ZERO),
            overdraft: account.overdraft,
        }
    }

    fn after_entry(&self, line: &LedgerLine, terms: &Terms) -> BalanceUpdate {
        BalanceUpdate {
            customer: self.customer,
            sequence: line.sequence,
            remaining: line.balance_after,
            available: terms.available(line.balance_after, Credits::ZERO),
            overdraft: line.overdraft_after,
        }
    }
}
