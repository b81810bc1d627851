//! Customer tokens: short-lived credentials for a dashboard, which see one account and can do no more than the key that made
//! them.
//!
//! A token is not renewed and not revoked by itself: it ends soon, and at once when its key is revoked. Its secret is shown
//! once; who has lost the answer makes another token, and the lost one ends unused.

use domain::{
    id::{ApiKeyId, CustomerTokenId},
    rejection::Rejection,
    time::Timestamp,
};
use serde::Serialize;

use super::{
    secret, store,
    view::{CustomerToken, NewCustomerToken},
};
use crate::{
    App,
    actor::{Actor, Credential, Scope},
    customer::{self, CustomerRef},
    error::Result,
    idempotency::{Claim, Once, claim},
    op::Op,
};

/// What tokens begin with.
const PREFIX: &str = "tg_token_";
/// Life of a token unless asked for otherwise, in seconds: a dashboard asks its server for the next one.
pub const DEFAULT_LIFETIME: i64 = 15 * 60;
/// Longest life of a token, in seconds: it may lie in a browser.
pub const MAX_LIFETIME: i64 = 60 * 60;

/// A token to make.
#[derive(Debug, Clone, Serialize)]
pub struct CreateCustomerToken {
    /// Whose account it opens.
    #[serde(skip)]
    pub customer: CustomerRef,
    /// What it may do; `None`: all reads that its maker may delegate.
    pub scopes: Option<Vec<String>>,
    /// How long it lives, 1 to [`MAX_LIFETIME`]; `None`: [`DEFAULT_LIFETIME`].
    pub lifetime_seconds: Option<i64>,
}

/// Makes a token for one customer. It ends with the credential that makes it, if that is sooner. A replay answers without the
/// secret, and only to the same key. Six statements.
///
/// # Errors
/// No such customer, a scope that cannot be delegated or that the maker lacks, or a lifetime out of range. Only a key can make
/// a token.
pub async fn create_token(
    app: &App,
    actor: &Actor,
    input: CreateCustomerToken,
    key: &str,
) -> Result<Once<NewCustomerToken>> {
    actor.require_for_all(Scope::TokenCreate)?;
    let maker: ApiKeyId = actor
        .key
        .ok_or_else(|| Rejection::invalid("", "only an API key can make customer tokens"))?;
    let scopes = delegated(&actor.scopes, input.scopes.as_deref())?;
    let lifetime = check_lifetime(input.lifetime_seconds)?;
    let op = Op::begin(app).await?;
    let customer = customer::resolve(op.tx(), actor.reach(), &input.customer).await?;
    let fresh = match claim(
        &op,
        actor.tenant,
        "createCustomerToken",
        key,
        &(maker, customer, &input),
    )
    .await?
    {
        Claim::Replay(known) => {
            return Ok(Once {
                value: NewCustomerToken {
                    secret: None,
                    token: known.value,
                },
                replay: true,
            });
        }
        Claim::Fresh(fresh) => fresh,
    };
    let secret = secret(PREFIX);
    let token = CustomerToken {
        id: CustomerTokenId(op.new_id()),
        customer,
        scopes,
        created_at: op.now(),
        expires_at: end(op.now(), lifetime, actor.expires_at)?,
    };
    store::insert_token(&op, actor.tenant, maker, &token, &Credential::of(&secret)).await?;
    store::drop_old_tokens(&op).await?;
    let made = fresh.settle(&op, token).await?;
    op.commit().await?;
    Ok(Once {
        value: NewCustomerToken {
            secret: Some(secret),
            token: made.value,
        },
        replay: false,
    })
}

fn check_lifetime(wanted: Option<i64>) -> Result<i64> {
    let seconds = wanted.unwrap_or(DEFAULT_LIFETIME);
    if !(1..=MAX_LIFETIME).contains(&seconds) {
        let message = format!("a token lives 1 to {MAX_LIFETIME} seconds");
        return Err(Rejection::invalid("lifetimeSeconds", message).into());
    }
    Ok(seconds)
}

fn end(now: Timestamp, lifetime: i64, maker_ends: Option<Timestamp>) -> Result<Timestamp> {
    let wanted = now.plus_seconds(lifetime);
    let end = maker_ends.map_or(wanted, |end| end.min(wanted));
    if end <= now {
        return Err(Rejection::invalid("", "your own credential has just expired").into());
    }
    Ok(end)
}

/// The scopes of a token by its maker's: those wished for, or all that can be delegated.
fn delegated(of_maker: &[Scope], wished: Option<&[String]>) -> Result<Vec<Scope>> {
    let scopes = match wished {
        None => within(Scope::DELEGABLE, of_maker),
        Some(names) => {
            let mut scopes = names
                .iter()
                .map(|name| delegable(of_maker, name))
                .collect::<Result<Vec<_>>>()?;
            scopes.sort_unstable();
            scopes.dedup();
            scopes
        }
    };
    if scopes.is_empty() {
        return Err(Rejection::invalid("scopes", "a token needs at least one scope").into());
    }
    Ok(scopes)
}

fn delegable(of_maker: &[Scope], name: &str) -> Result<Scope> {
    let no = |why: String| Rejection::invalid("scopes", why);
    let scope: Scope = name.parse().map_err(no)?;
    if !Scope::DELEGABLE.contains(&scope) {
        let all: Vec<_> = Scope::DELEGABLE.iter().map(|scope| scope.as_str()).collect();
        let why = format!(
            "`{scope}` cannot be given to a customer token; possible are {}",
            all.join(", ")
        );
        return Err(no(why).into());
    }
    if !of_maker.contains(&scope) {
        return Err(no(format!("you lack the scope `{scope}` yourself")).into());
    }
    Ok(scope)
}

/// What a token with these scopes can do under a key: reads of its own account only, and nothing that the key cannot do.
/// Asked again whenever a token is used, so that a row cannot give more than the rules of today allow.
pub(super) fn within(wanted: &[Scope], of_key: &[Scope]) -> Vec<Scope> {
    let fine = |scope: &Scope| Scope::DELEGABLE.contains(scope) && of_key.contains(scope);
    wanted.iter().copied().filter(fine).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn scopes() -> impl Strategy<Value = Vec<Scope>> {
        vec(select(Scope::ALL), 0..12)
    }

    fn is_subset(few: &[Scope], of: &[Scope]) -> bool {
        few.iter().all(|scope| of.contains(scope))
    }

    proptest! {
        /// Whatever is wished for, and whatever a row says: never more than the parent has, never more than reads.
        #[test]
        fn derived_scopes_are_a_subset_of_the_parents(parent in scopes(), wished in scopes(), named in any::<bool>()) {
            let names: Vec<String> = wished.iter().map(ToString::to_string).collect();
            if let Ok(derived) = delegated(&parent, named.then_some(&names[..])) {
                prop_assert!(!derived.is_empty() && derived.is_sorted());
                prop_assert!(is_subset(&derived, &parent) && is_subset(&derived, Scope::DELEGABLE));
                prop_assert!(!named || is_subset(&derived, &wished) && is_subset(&wished, &derived));
            } else {
                let fine = is_subset(&wished, &parent) && is_subset(&wished, Scope::DELEGABLE);
                prop_assert!(!named || wished.is_empty() || !fine, "{wished:?} of {parent:?} was refused");
            }
            let used = within(&wished, &parent);
            prop_assert!(is_subset(&used, &parent) && is_subset(&used, &wished) && is_subset(&used, Scope::DELEGABLE));
        }

        #[test]
        fn a_token_ends_no_later_than_its_maker(now in 0_i64..1 << 50, lifetime in 1..=MAX_LIFETIME, more in -10_i64..1 << 40) {
            let now = Timestamp::from_micros(now);
            let maker = Timestamp::from_micros(now.micros() + more);
            match end(now, lifetime, Some(maker)) {
                Ok(end) => prop_assert!(end > now && end <= maker && end <= now.plus_seconds(lifetime)),
                Err(_) => prop_assert!(maker <= now),
            }
        }
    }

    #[test]
    fn nothing_that_writes_or_makes_credentials_can_be_delegated() {
        for scope in Scope::DELEGABLE {
            assert!(scope.as_str().ends_with(":read"), "{scope}");
            assert!(
                !["operations:read", "access:read"].contains(&scope.as_str()),
                "{scope}"
            );
        }
    }

    #[test]
    fn lifetimes() {
        for (wanted, lives) in [
            (None, Some(900)),
            (Some(1), Some(1)),
            (Some(3_600), Some(3_600)),
            (Some(0), None),
            (Some(3_601), None),
            (Some(i64::MIN), None),
        ] {
            assert_eq!(check_lifetime(wanted).ok(), lives, "{wanted:?}");
        }
    }
}
