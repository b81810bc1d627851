//! Who may run beside whom. Failpoints are the whole process's, so cases that run use-cases in this process take turns; those
//! that only start other processes need not.

use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// Waits for the turn of a case that runs use-cases in this process.
pub async fn alone() -> MutexGuard<'static, ()> {
    TURN.lock().await
}
