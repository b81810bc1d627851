//! Spend management: how much customers want to spend in a day and in a month, and what they have spent (source P2).
//!
//! What is spent is kept per customer and period, only while the customer has it switched on (`account.spend_managed`), and moved in the
//! transaction that debits usage or takes it back, under the lock on the account. So it is exact, a limit is told once however many workers
//! drain, and customers without limits cost nothing. [`domain::spend`] says what is told; the gate and holds decide by it as well.

mod count;
mod event;
mod forget;
mod setting;
mod standing;
mod store;
mod view;

pub(crate) use self::{
    count::{Spent, count_in},
    forget::{are_old, forget_old},
    standing::{left_in, spendings_in},
    store::is_own_in,
};
pub use self::{
    setting::{UpdateSpend, Updated, send_test, update},
    view::{MOST_RATINGS, Spend, SpentIn, spend},
};
