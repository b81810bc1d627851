//! Ways to pay that customers have left with a provider.

use domain::{
    id::{CustomerId, PaymentMethodId, PaymentSetupId, TenantId},
    payment::method::{Face, Method},
    rejection::Rejection,
    time::Timestamp,
};
use gateway::payment::{Payer, SetupWish, Trouble};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{setting::needed, store, usable_in};
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::{Error, Result},
    idempotency::{Claim, Once, claim},
    invoice,
    op::Op,
    recharge,
};

/// Most ways to pay of one customer.
const MAX_METHODS: usize = 20;
/// Longest address, in bytes.
const MAX_URL: usize = 2_000;

/// A page of the provider's on which a customer leaves a way to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodSetup {
    /// Its id.
    pub id: PaymentSetupId,
    /// Whose.
    pub customer: CustomerId,
    /// Key of the provider.
    pub provider: String,
    /// The provider's own name for it.
    pub reference: String,
    /// Where it is; `None`: the provider has no page of its own.
    pub url: Option<String>,
    /// What was left there.
    pub method: Option<PaymentMethodId>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Who wants to leave a way to pay.
#[derive(Debug, Clone)]
pub struct StartSetup {
    /// Who.
    pub customer: CustomerRef,
    /// Where the customer is sent afterwards: an address of the vendor's, with `https://` or `http://`.
    pub return_url: Option<String>,
}

/// Opens a page of the provider's. What the customer does there is not seen by us.
///
/// # Errors
/// No such customer, a vendor that sells no credits, too many ways to pay, or a provider that does not answer.
pub async fn start_setup(
    app: &App,
    actor: &Actor,
    input: StartSetup,
    key: &str,
) -> Result<Once<MethodSetup>> {
    actor.require(Scope::PaymentWrite)?;
    if let Some(url) = &input.return_url {
        check_url(url)?;
    }
    let db = app.db().reader();
    let customer = customer::resolve(db, actor.reach(), &input.customer).await?;
    let setting = needed(db, actor).await?;
    if store::methods(db, actor.reach(), customer).await?.len() >= MAX_METHODS {
        let message = format!("a customer has at most {MAX_METHODS} ways to pay");
        return Err(Rejection::invalid("", message).into());
    }
    // Before the transaction, as all network is; the same key opens the same page, so that a repeated request opens no second one.
    let wish = SetupWish {
        key: setup_key(actor.tenant, customer, key),
        payer: enrolled(app, actor, customer, &setting.provider).await?,
        return_url: input.return_url.clone(),
    };
    let opened = provider(app, &setting.provider)?.begin_setup(&wish).await;
    let opened = opened.map_err(unanswered)?;
    let op = Op::begin(app).await?;
    let asked = (customer, &input.return_url);
    let fresh = match claim(&op, actor.tenant, "startPaymentMethodSetup", key, &asked).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let setup = MethodSetup {
        id: PaymentSetupId(op.new_id()),
        customer,
        provider: setting.provider.clone(),
        reference: opened.reference,
        url: opened.url,
        method: None,
        created_at: op.now(),
    };
    store::insert_setup(&op, actor.tenant, &setup).await?;
    let done = fresh.settle(&op, setup).await?;
    op.commit().await?;
    Ok(done)
}

/// The provider's name for a customer, who is made known to it first where there is need.
pub(super) async fn enrolled(app: &App, actor: &Actor, customer: CustomerId, key: &str) -> Result<String> {
    let db = app.db().reader();
    if let Some(known) = store::payer(db, customer, key).await? {
        return Ok(known);
    }
    let who = CustomerRef::Id(customer);
    let row = customer::find(db, actor.reach(), &who).await?;
    let row = row.ok_or_else(|| who.unknown())?;
    let payer = Payer {
        id: customer,
        name: row.name,
        email: row.billing_email,
    };
    let reference = provider(app, key)?.enrol(&payer).await.map_err(unanswered)?;
    let op = Op::begin(app).await?;
    let noted = store::note_payer(&op, actor.tenant, customer, key, reference).await?;
    op.commit().await?;
    Ok(noted)
}

/// The key under which a provider opens a page once.
fn setup_key(tenant: TenantId, customer: CustomerId, key: &str) -> String {
    hex::encode(Sha256::digest(format!("setup {tenant} {customer} {key}")))
}

/// What can be an address to send a browser to; whether anything is there is the vendor's affair.
pub(super) fn check_url(url: &str) -> Result<()> {
    let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    let fine = url.len() <= MAX_URL && url.chars().all(|it| it.is_ascii_graphic());
    if fine && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
        return Ok(());
    }
    let message = format!("an address that begins with https:// or http://, at most {MAX_URL} bytes");
    Err(Rejection::invalid("returnUrl", message).into())
}

/// A page by its id, with what has been left there since it was last looked at.
///
/// # Errors
/// The scope is missing, or the provider does not answer.
pub async fn setup(app: &App, actor: &Actor, id: PaymentSetupId) -> Result<Option<MethodSetup>> {
    actor.require(Scope::PaymentRead)?;
    let Some(setup) = store::setup(app.db().reader(), actor.reach(), id).await? else {
        return Ok(None);
    };
    if setup.method.is_some() {
        return Ok(Some(setup));
    }
    finish(app, actor.tenant, setup).await.map(Some)
}

/// Takes over what was left on a page. The first way to pay is the default.
pub(super) async fn finish(app: &App, tenant: TenantId, mut setup: MethodSetup) -> Result<MethodSetup> {
    let left = provider(app, &setup.provider)?.left(&setup.reference).await;
    let Some(face) = left.map_err(unanswered)? else {
        return Ok(setup);
    };
    let mut op = Op::begin(app).await?;
    op.lock_account(tenant, setup.customer).await?;
    setup.method = match store::method_of_setup(op.tx(), setup.id).await? {
        Some(known) => Some(known),
        None => Some(add(&mut op, tenant, &setup, face).await?),
    };
    op.commit().await?;
    Ok(setup)
}

async fn add(op: &mut Op, tenant: TenantId, setup: &MethodSetup, face: Face) -> Result<PaymentMethodId> {
    let others = store::default_in(op.tx(), setup.customer).await?;
    let method = Method {
        id: PaymentMethodId(op.new_id()),
        customer: setup.customer,
        provider: setup.provider.clone(),
        face,
        is_default: others.is_none(),
        created_at: op.now(),
    };
    let id = store::insert_method(op, tenant, &method).await?;
    store::end_setup(op, setup.id, id).await?;
    if method.is_default {
        recharge::look_again_in(op, method.customer).await?;
        invoice::hasten_in(op, method.customer).await?;
    }
    Ok(id)
}

/// A customer's ways to pay, oldest first; without those that were removed. One statement.
///
/// # Errors
/// The scope is missing.
pub async fn methods(app: &App, actor: &Actor, customer: CustomerId) -> Result<Vec<Method>> {
    actor.require(Scope::PaymentRead)?;
    store::methods(app.db().reader(), actor.reach(), customer).await
}

/// Uses a way to pay whenever none is named.
///
/// # Errors
/// No such way to pay.
pub async fn set_default_method(app: &App, actor: &Actor, id: PaymentMethodId) -> Result<Method> {
    change(app, actor, id, async |op, mut method| {
        method.is_default = true;
        store::set_default(op, &method).await?;
        Ok(method)
    })
    .await
}

/// Forgets a way to pay. Payments under way go on; when it was the default, there is none until another is chosen.
///
/// # Errors
/// No such way to pay.
pub async fn remove_method(app: &App, actor: &Actor, id: PaymentMethodId) -> Result<Method> {
    change(app, actor, id, async |op, mut method| {
        method.is_default = false;
        store::remove_method(op, method.id).await?;
        Ok(method)
    })
    .await
}

/// Changes a way to pay under the lock on its customer's account. Some seven statements, and what its invoices cost.
async fn change(
    app: &App,
    actor: &Actor,
    id: PaymentMethodId,
    write: impl AsyncFnOnce(&Op, Method) -> Result<Method>,
) -> Result<Method> {
    actor.require(Scope::PaymentWrite)?;
    let unknown = || Rejection::not_found("paymentMethodId", "payment method");
    let mut op = Op::begin(app).await?;
    let known = store::method(op.tx(), actor.reach(), id).await?;
    op.lock_account(actor.tenant, known.ok_or_else(unknown)?.customer)
        .await?;
    // Again, under the lock.
    let present = store::method(op.tx(), actor.reach(), id).await?;
    let present = present.ok_or_else(unknown)?;
    let before = usable_in(op.tx(), actor.tenant, present.customer).await?;
    let changed = write(&op, present).await?;
    if let Some(before) = before {
        invoice::default_was_in(&op, changed.customer, before.id).await?;
    }
    if changed.is_default {
        recharge::look_again_in(&mut op, changed.customer).await?;
        invoice::hasten_in(&mut op, changed.customer).await?;
    }
    op.commit().await?;
    Ok(changed)
}

/// The provider of a key, which was there when something was agreed with it.
pub(super) fn provider<'a>(app: &'a App, key: &str) -> Result<&'a dyn gateway::payment::Provider> {
    app.providers()
        .get(key)
        .ok_or_else(|| Error::Unavailable(format!("this process does not know the payment provider `{key}`")))
}

fn unanswered(trouble: Trouble) -> Error {
    Error::Unavailable(trouble.to_string())
}
