//! Auto-recharge: buying credits when the balance runs low.
//!
//! Whatever moves a customer's credits decides in its own transaction ([`decide`]): the account says at which balance. The charge is a
//! payment like any other; where it comes to is heard in the transaction that concludes it. What had to be left is looked at again when its
//! instant has come. The rules are in [`domain::recharge`].

mod decide;
mod event;
mod setting;
mod store;
mod view;

pub(crate) use self::decide::{
    decide_in, due, evaluate, evaluate_of, heard_in, look_again_in, money_went_back_in, next_due,
};
pub use self::{
    setting::{UpdateRecharge, stop_all, update},
    view::{Evaluation, dry_run, evaluations, forecast, recharge},
};
