//! The job that writes letters and sends them. It has one subject: all that are due.

use super::{Kind, Lane, Wakeup, all_if};
use crate::notify;

pub(crate) const KIND: Kind = Kind {
    name: "mail.send",
    lane: Lane::Retries,
    together: |_| 1,
    run: |app, _, _| Box::pin(notify::send_due(app)),
    due: |app| Box::pin(async move { Ok(all_if(notify::is_due(app).await?)) }),
};

/// What wakes whoever sends letters.
pub(crate) fn wakeup() -> Wakeup {
    KIND.wakeup(&["all".to_owned()])
}
