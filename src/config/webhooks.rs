//! Whom webhooks may be sent to, and what they are signed with.

use app::webhook::Root;
use gateway::webhook::AddressPolicy;

use super::layer::Given;
use crate::failure::{Failure, Outcome};

/// Shortest root of the secrets of endpoints, in characters: as many as carry 128 random bits in base 16.
const MIN_ROOT: usize = 32;
/// Networks that `dev` may send webhooks to: this machine.
pub(super) const HERE: &str = "127.0.0.0/8,::1";

/// Whom webhooks may be sent to; `None`: nobody has said.
pub(super) fn policy(allow: Option<&Given>, plain: Option<&Given>) -> Outcome<Option<AddressPolicy>> {
    let plain_http = match plain.map(|given| (given, given.value.as_str())) {
        None | Some((_, "refuse")) => false,
        Some((_, "allow")) => true,
        Some((given, other)) => {
            let problem = format!("`{other}` is neither `allow` nor `refuse`");
            return Err(Failure::of(&given.source, problem));
        }
    };
    let Some(given) = allow.or(plain) else {
        return Ok(None);
    };
    let networks = allow.map_or("", |allow| allow.value.as_str());
    let policy = AddressPolicy::parse(networks, plain_http);
    let policy = policy.map_err(|problem| Failure::of(&given.source, problem.to_string()))?;
    Ok(Some(policy))
}

/// What the secrets of endpoints are derived from. A complaint does not show it.
pub(super) fn root(given: Option<&Given>) -> Outcome<Option<Root>> {
    let Some(given) = given else {
        return Ok(None);
    };
    if given.value.len() < MIN_ROOT {
        let problem = format!("it must have {MIN_ROOT} or more characters that nobody can guess");
        return Err(Failure::of(&given.source, problem));
    }
    Ok(Some(Root::new(given.value.as_bytes())))
}
