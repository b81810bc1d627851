//! The job that moves test clocks. Its subjects are their ids.

use domain::id::TestClockId;

use super::{Kind, Lane, Wakeup};
use crate::{
    error::{Error, Result},
    test_clock,
};

pub(crate) const KIND: Kind = Kind {
    name: "clock.advance",
    lane: Lane::Cycles,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            let mut more = false;
            for subject in subjects {
                let id = subject
                    .parse()
                    .map_err(|_| Error::Internal(format!("`{subject}` is no clock")))?;
                more |= test_clock::advance(app, id).await?;
            }
            Ok(more)
        })
    },
    due: |app| Box::pin(async move { due(app).await }),
};

async fn due(app: &crate::App) -> Result<Vec<String>> {
    let clocks = test_clock::due(app).await?;
    Ok(clocks.iter().map(TestClockId::to_string).collect())
}

/// The wake-up of a clock that was sent on its way.
pub(crate) fn wakeup(id: TestClockId) -> Wakeup {
    KIND.wakeup(&[id.to_string()])
}
