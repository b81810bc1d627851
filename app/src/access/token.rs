//! Customer tokens: short-lived credentials for a dashboard, which see one account and can do no more than the key that made
//! them.

use crate::actor::Scope;

/// What a token with these scopes can do under a key: reads of its own account only, and nothing that the key cannot do.
/// Asked again whenever a token is used, so that a row cannot give more than the rules of today allow.
pub(super) fn within(wanted: &[Scope], of_key: &[Scope]) -> Vec<Scope> {
    let fine = |scope: &Scope| Scope::DELEGABLE.contains(scope) && of_key.contains(scope);
    wanted.iter().copied().filter(fine).collect()
}
