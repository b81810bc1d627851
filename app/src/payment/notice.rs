//! Notices of providers: kept once, before anything follows from them, and then only a question to the provider.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    id::{CustomerId, NoticeId, PaymentId},
    payment::notice::Notice,
};
use gateway::payment::{HeaderMap, Unbelieved};

use super::store::{self, Fate};
use crate::{App, error::Result, job, op::Op};

/// Notices that are followed up in one transaction.
const BATCH: u64 = 500;
/// How long a notice is kept after something has become of it, in seconds: longer than any provider repeats one.
const KEPT_SECONDS: i64 = 60 * 86_400;

/// How a notice was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It is kept, now or before.
    Kept,
    /// Nobody here takes notices under that name.
    NotTaken,
    /// It is not believed, or cannot be read; nothing has changed.
    Refused(String),
}

/// Takes a notice that somebody has sent, byte for byte. Two statements, whether it is new or was sent before.
///
/// # Errors
/// It could not be kept; whoever has sent it sends it again.
pub async fn receive(app: &App, key: &str, headers: &HeaderMap, body: &[u8]) -> Result<Received> {
    let Some(provider) = app.providers().get(key) else {
        return Ok(Received::NotTaken);
    };
    match provider.read_notice(headers, body, app.now()) {
        Ok(notice) => keep(app, key, &[notice]).await.map(|()| Received::Kept),
        Err(Unbelieved::NotTaken) => Ok(Received::NotTaken),
        Err(no) => Ok(Received::Refused(no.to_string())),
    }
}

/// Keeps notices, and wakes who follows them up.
pub(super) async fn keep(app: &App, provider: &str, notices: &[Notice]) -> Result<()> {
    if notices.is_empty() {
        return Ok(());
    }
    let mut op = Op::begin(app).await?;
    store::keep_notices(&op, provider, notices).await?;
    op.wake(job::notices::wakeup(provider));
    op.commit().await
}

/// Providers of whom notices wait.
pub(crate) async fn waiting(app: &App) -> Result<Vec<String>> {
    store::with_new_notices(app.db().reader()).await
}

/// Has the payments looked at that notices are about. Answers whether more notices wait. Six statements for any number of notices.
pub(crate) async fn follow_up(app: &App, provider: &str) -> Result<bool> {
    let mut op = Op::begin(app).await?;
    let notices = store::new_notices(op.tx(), provider, BATCH).await?;
    let (known, unknown, payments) = sorted(&op, provider, &notices).await?;
    let ids: Vec<PaymentId> = payments.keys().copied().collect();
    store::hasten(&op, &ids).await?;
    store::end_notices(&op, &known, Fate::Done).await?;
    store::end_notices(&op, &unknown, Fate::Unknown).await?;
    store::forget_notices(&op, op.now().plus_seconds(-KEPT_SECONDS)).await?;
    let customers: BTreeSet<CustomerId> = payments.into_values().collect();
    for customer in customers {
        op.wake(job::payments::wakeup(customer));
    }
    op.commit().await?;
    Ok(notices.len() as u64 == BATCH)
}

/// Which notices are about payments of ours, which are not, and the payments with their customers.
async fn sorted(
    op: &Op,
    provider: &str,
    notices: &[(NoticeId, Notice)],
) -> Result<(Vec<NoticeId>, Vec<NoticeId>, BTreeMap<PaymentId, CustomerId>)> {
    let ids: Vec<PaymentId> = notices.iter().filter_map(|(_, notice)| notice.payment).collect();
    let names: Vec<String> = notices
        .iter()
        .flat_map(|(_, notice)| notice.subjects.iter().cloned())
        .collect();
    let found = store::named(op.tx(), provider, &ids, &names).await?;
    let (mut known, mut unknown, mut payments) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (id, notice) in notices {
        let is_about = |(payment, name, _): &&(PaymentId, Option<String>, CustomerId)| {
            notice.payment == Some(*payment)
                || name.as_ref().is_some_and(|name| notice.subjects.contains(name))
        };
        let mut is_known = false;
        for (payment, _, customer) in found.iter().filter(is_about) {
            payments.insert(*payment, *customer);
            is_known = true;
        }
        if is_known {
            known.push(*id);
        } else {
            unknown.push(*id);
        }
    }
    Ok((known, unknown, payments))
}
