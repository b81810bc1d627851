//! Tokens of single customers, and new secrets for old keys.

use app::{
    Actor, App, Error, Scope,
    access::{self, CreateApiKey, CreateCustomerToken, Ended, NewCustomerToken, NewKey, RotateApiKey},
    credit::{self, Adjust},
    customer::{self, CustomerRef, UpdateCustomer},
    page::Page,
    usage::{self, Age, Outcome, SummaryRequest, VoidUsage},
};
use domain::{
    id::{ApiKeyId, CustomerId, EntryId},
    rejection::RejectionCode::{IdempotencyConflict, InvalidInput, NotFound},
    time::Timestamp,
    usage::event::Refusal,
};
use entity::customer_token;
use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait};

use crate::harness::{World, credits, per_unit, refusal};

on_both!(
    a_token_opens_one_account_for_a_while,
    a_token_is_made_within_limits,
    a_token_ends_with_its_key,
    a_token_row_gives_no_more_than_the_rules,
    whatever_its_scopes_a_token_reaches_one_account,
    old_tokens_are_removed,
    a_rotated_key_has_two_secrets_for_a_while,
    a_key_has_at_most_two_secrets,
    who_may_rotate_a_key,
    an_old_secret_makes_nothing_that_outlives_it,
    a_bootstrap_key_that_was_rotated_away_does_not_come_back,
);

const MINTER: &[&str] = &[
    "token:create",
    "credit:read",
    "usage:read",
    "usage:write",
    "customer:read",
];

async fn key(
    app: &App,
    maker: &Actor,
    scopes: &[&str],
    expires_at: Option<Timestamp>,
    once: String,
) -> NewKey {
    let input = CreateApiKey {
        name: "server".to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        expires_at,
    };
    access::create_key(app, maker, input, &once).await.unwrap().value
}

async fn who(app: &App, secret: &Option<String>) -> Option<Actor> {
    access::authenticate(app, secret.as_ref().unwrap()).await.unwrap()
}

/// Somebody with a key of these scopes.
async fn holder(world: &World, scopes: &[&str], expires_at: Option<Timestamp>) -> (ApiKeyId, Actor) {
    let made = key(&world.app, &world.actor, scopes, expires_at, world.key()).await;
    (made.key.id, who(&world.app, &made.secret).await.unwrap())
}

fn token_of(customer: CustomerId, scopes: Option<&[&str]>) -> CreateCustomerToken {
    CreateCustomerToken {
        customer: CustomerRef::Id(customer),
        scopes: scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        lifetime_seconds: None,
    }
}

async fn mint(world: &World, minter: &Actor, customer: CustomerId) -> NewCustomerToken {
    let made = access::create_token(&world.app, minter, token_of(customer, None), &world.key()).await;
    made.unwrap().value
}

async fn a_token_opens_one_account_for_a_while(world: World) {
    let id = world.customer("a").await;
    let (key_id, minter) = holder(&world, MINTER, None).await;
    let made = access::create_token(&world.app, &minter, token_of(id, None), "t1")
        .await
        .unwrap()
        .value;
    let secret = made.secret.clone().unwrap();
    assert!(secret.starts_with("tg_token_") && secret.len() == 41, "{secret}");
    let row = customer_token::Entity::find()
        .one(world.app.db().reader())
        .await
        .unwrap()
        .unwrap();
    assert!(!format!("{row:?}").contains(&secret[9..]), "{row:?}");
    let end = world.now().plus_seconds(900);
    let actor = who(&world.app, &made.secret).await.unwrap();
    let all = vec![Scope::UsageRead, Scope::CustomerRead, Scope::CreditRead];
    assert_eq!(
        (
            actor.tenant,
            actor.customer,
            actor.key,
            &actor.scopes,
            actor.expires_at
        ),
        (world.tenant(), Some(id), Some(key_id), &all, Some(end))
    );
    let viewer = access::viewer(&world.app, &actor).await.unwrap();
    assert_eq!(
        (viewer.key, viewer.customer, viewer.expires_at),
        (None, Some(id), Some(end))
    );
    // A repeated request tells of the token, but not its secret; another key is told nothing.
    let again = access::create_token(&world.app, &minter, token_of(id, None), "t1")
        .await
        .unwrap();
    assert!(again.replay && again.value.secret.is_none());
    assert_eq!(again.value.token, made.token);
    let (_, other) = holder(&world, MINTER, None).await;
    let stolen = access::create_token(&world.app, &other, token_of(id, None), "t1").await;
    assert_eq!(
        refusal(stolen),
        (IdempotencyConflict, "idempotencyKey".to_owned())
    );
    // To the microsecond, known or not.
    let elsewhere = world.another().await;
    world.move_to(end);
    world.advance_micros(-1);
    assert!(
        who(&world.app, &made.secret).await.is_some() && who(&elsewhere.app, &made.secret).await.is_some()
    );
    world.advance_micros(1);
    assert!(
        who(&world.app, &made.secret).await.is_none() && who(&elsewhere.app, &made.secret).await.is_none()
    );
}

async fn a_token_is_made_within_limits(world: World) {
    let id = world.customer("a").await;
    let (_, minter) = holder(&world, MINTER, None).await;
    let try_mint = async |actor: &Actor, input: CreateCustomerToken| {
        access::create_token(&world.app, actor, input, &world.key()).await
    };
    for (scopes, fine) in [
        (&["credit:read"][..], true),
        (&["credit:read", "usage:read", "credit:read"], true),
        (&["usage:write"], false),
        (&["token:create"], false),
        (&["credit:read", "entitlement:read"], false),
        (&["credit"], false),
        (&[], false),
    ] {
        let made = try_mint(&minter, token_of(id, Some(scopes))).await;
        if fine {
            let token = made.unwrap().value.token;
            assert!(
                token.scopes.iter().all(|scope| minter.scopes.contains(scope)) && token.scopes.len() <= 2
            );
        } else {
            assert_eq!(refusal(made), (InvalidInput, "scopes".to_owned()), "{scopes:?}");
        }
    }
    for seconds in [0, -1, 3_601] {
        let input = CreateCustomerToken {
            lifetime_seconds: Some(seconds),
            ..token_of(id, None)
        };
        assert_eq!(
            refusal(try_mint(&minter, input).await),
            (InvalidInput, "lifetimeSeconds".to_owned())
        );
    }
    let them = world.stranger().await;
    let foreign = them.customer("theirs").await;
    assert_eq!(
        refusal(try_mint(&minter, token_of(foreign, None)).await),
        (NotFound, "customerId".to_owned())
    );
    assert_eq!(
        refusal(try_mint(&world.actor, token_of(id, None)).await).0,
        InvalidInput,
        "no key, no token"
    );
    // A token makes nothing, whatever it claims.
    let made = mint(&world, &minter, id).await;
    let token = who(&world.app, &made.secret).await.unwrap();
    assert!(matches!(
        try_mint(&token, token_of(id, None)).await,
        Err(Error::Denied(Scope::TokenCreate))
    ));
    let forged = Actor {
        scopes: Scope::ALL.to_vec(),
        ..token
    };
    assert!(matches!(
        try_mint(&forged, token_of(id, None)).await,
        Err(Error::OwnAccountOnly)
    ));
    // The database itself knows no token for another tenant's customer.
    let sql =
        "UPDATE customer_token SET customer_id = (SELECT id FROM customer WHERE external_id = 'theirs')";
    assert!(world.app.db().writer().execute_unprepared(sql).await.is_err());
}

async fn a_token_ends_with_its_key(world: World) {
    let id = world.customer("a").await;
    let soon = world.now().plus_seconds(60);
    let (_, short) = holder(&world, MINTER, Some(soon)).await;
    assert_eq!(
        mint(&world, &short, id).await.token.expires_at,
        soon,
        "with the key that made it"
    );
    let (key_id, minter) = holder(&world, MINTER, None).await;
    let made = mint(&world, &minter, id).await;
    let rotation = RotateApiKey {
        id: key_id,
        overlap_seconds: Some(0),
    };
    access::rotate_key(&world.app, &world.actor, rotation, &world.key())
        .await
        .unwrap();
    let actor = who(&world.app, &made.secret)
        .await
        .expect("the key is still good");
    access::revoke_key(&world.app, &world.actor, key_id, &world.key())
        .await
        .unwrap();
    assert_eq!(who(&world.app, &made.secret).await, None);
    assert_eq!(who(&world.another().await.app, &made.secret).await, None);
    assert_eq!(access::ended(&world.app, &actor).await, Ended::Revoked);
}

async fn a_token_row_gives_no_more_than_the_rules(world: World) {
    let id = world.customer("a").await;
    let (_, minter) = holder(&world, MINTER, None).await;
    let made = mint(&world, &minter, id).await;
    world
        .sabotage(
            "UPDATE customer_token SET scopes = 'usage:write token:create credit:read catalog:read fly'",
        )
        .await;
    assert_eq!(
        who(&world.app, &made.secret).await.unwrap().scopes,
        [Scope::CreditRead]
    );
    // The audit would see it.
    world
        .sabotage("UPDATE customer_token SET scopes = 'credit:read'")
        .await;
}

/// Tokens have no scopes that write. Should they ever get some, they still reach nothing but their own account.
async fn whatever_its_scopes_a_token_reaches_one_account(world: World) {
    world.priced("call", per_unit("1")).await;
    let (own, other) = (world.customer("own").await, world.customer("other").await);
    world.give(own, "5").await;
    let block = world.give(other, "5").await.block.id;
    let event = world.consume(other, "call", "1").await;
    world.run_to_rest().await;
    let event_id = usage::event(&world.app, &world.actor, &event)
        .await
        .unwrap()
        .unwrap()
        .id;
    let entry = EntryId {
        customer: other,
        sequence: 1,
    };
    let app = &world.app;
    let actor = &Actor {
        customer: Some(own),
        ..world.actor.clone()
    };
    let page = || Page::first(9);
    for foreign in [CustomerRef::Id(other), CustomerRef::External("other".to_owned())] {
        assert_eq!(customer::customer(app, actor, &foreign).await.unwrap(), None);
        let changed = customer::update(app, actor, &foreign, UpdateCustomer::default()).await;
        assert_eq!(refusal(changed).0, NotFound);
        let grant = credit::Grant {
            customer: foreign.clone(),
            ..world.deposit(other, "1")
        };
        assert_eq!(
            refusal(credit::grant(app, actor, grant, &world.key()).await).0,
            NotFound
        );
        let adjust = Adjust {
            customer: foreign.clone(),
            credits: credits("1"),
            description: None,
        };
        assert_eq!(
            refusal(credit::adjust(app, actor, adjust, &world.key()).await).0,
            NotFound
        );
        let live = credit::live::watch(app, actor, &foreign, None).await.map(drop);
        assert_eq!(refusal(live).0, NotFound);
    }
    assert!(matches!(
        customer::customers(app, actor, page()).await,
        Err(Error::OwnAccountOnly)
    ));
    let balances = credit::balances(app, actor, &[own, other]).await.unwrap();
    assert_eq!(balances.keys().copied().collect::<Vec<_>>(), [own]);
    assert!(
        credit::blocks(app, actor, other, Page::first(9))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        credit::ledger(app, actor, other, Page::first(9))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(credit::block(app, actor, block).await.unwrap(), None);
    assert_eq!(credit::entry(app, actor, entry).await.unwrap(), None);
    assert_eq!(credit::explain(app, actor, entry).await.unwrap(), None);
    assert_eq!(
        refusal(credit::revoke(app, actor, block, &world.key()).await).0,
        NotFound
    );
    assert_eq!(usage::event(app, actor, &event).await.unwrap(), None);
    assert_eq!(usage::event_by_id(app, actor, event_id).await.unwrap(), None);
    assert!(
        usage::events(app, actor, other, Page::first(9))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let sums = usage::summary(app, actor, other, SummaryRequest::default())
        .await
        .unwrap();
    assert!(sums.lines.is_empty());
    let voided = usage::void(app, actor, VoidUsage { event_key: event }, &world.key()).await;
    assert_eq!(refusal(voided).0, NotFound);
    let events = vec![world.event(own, "call", "1"), world.event(other, "call", "1")];
    let outcomes = usage::record(app, actor, events, Age::Limited).await.unwrap();
    assert!(matches!(
        outcomes[..],
        [Outcome::Accepted(_), Outcome::Rejected(Refusal::UnknownCustomer)]
    ));
    // And its own account is all there.
    assert!(
        customer::customer(app, actor, &CustomerRef::Id(own))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        credit::ledger(app, actor, own, Page::first(9))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

async fn old_tokens_are_removed(world: World) {
    let id = world.customer("a").await;
    let (_, minter) = holder(&world, MINTER, None).await;
    for _ in 0..5 {
        mint(&world, &minter, id).await;
    }
    let count = async || {
        customer_token::Entity::find()
            .count(world.app.db().reader())
            .await
            .unwrap()
    };
    world.advance(86_400 + 900);
    mint(&world, &minter, id).await;
    assert_eq!(count().await, 6, "kept for a day");
    world.advance(1);
    mint(&world, &minter, id).await;
    assert_eq!(count().await, 2);
}

fn rotation(id: ApiKeyId, overlap_seconds: Option<i64>) -> RotateApiKey {
    RotateApiKey { id, overlap_seconds }
}

async fn rotate(world: &World, id: ApiKeyId, overlap: Option<i64>) -> NewKey {
    let made = access::rotate_key(&world.app, &world.actor, rotation(id, overlap), &world.key()).await;
    made.unwrap().value
}

async fn a_rotated_key_has_two_secrets_for_a_while(world: World) {
    let first = key(&world.app, &world.actor, &["usage:read"], None, world.key()).await;
    let elsewhere = world.another().await;
    let id = first.key.id;
    assert!(who(&elsewhere.app, &first.secret).await.is_some());
    let made = access::rotate_key(&world.app, &world.actor, rotation(id, None), "r")
        .await
        .unwrap();
    let second = made.value;
    let again = access::rotate_key(&world.app, &world.actor, rotation(id, None), "r")
        .await
        .unwrap();
    assert!(again.replay && again.value.secret.is_none() && again.value.key == second.key);
    let end = world.now().plus_seconds(86_400);
    for (secret, until) in [(&first.secret, Some(end)), (&second.secret, None)] {
        let actor = who(&world.app, secret).await.unwrap();
        assert_eq!(
            (actor.key, actor.expires_at, actor.scopes),
            (Some(id), until, vec![Scope::UsageRead])
        );
    }
    assert_eq!(
        (&second.key.name, &second.key.scopes),
        (&first.key.name, &first.key.scopes)
    );
    assert_ne!(second.key.hint, first.key.hint);
    let shown = async || {
        access::keys(&world.app, &world.actor, Page::first(9))
            .await
            .unwrap()
            .items
            .remove(0)
    };
    let former = shown().await.former_secret.unwrap();
    assert_eq!((former.hint, former.expires_at), (first.key.hint.clone(), end));
    assert_eq!(
        access::key(&world.app, &world.actor, id).await.unwrap(),
        Some(shown().await)
    );
    world.move_to(end);
    assert_eq!(who(&world.app, &first.secret).await, None);
    assert_eq!(who(&world.another().await.app, &first.secret).await, None);
    assert!(who(&world.app, &second.secret).await.is_some());
    assert_eq!(shown().await.former_secret, None);
    assert_eq!(shown().await.rotated_at, second.key.rotated_at);
    // A revocation ends both.
    let third = rotate(&world, id, None).await;
    access::revoke_key(&world.app, &world.actor, id, &world.key())
        .await
        .unwrap();
    assert!(
        who(&world.app, &second.secret).await.is_none() && who(&world.app, &third.secret).await.is_none()
    );
    assert_eq!(shown().await.former_secret, None);
}

async fn a_key_has_at_most_two_secrets(world: World) {
    let first = key(&world.app, &world.actor, &["usage:read"], None, world.key()).await;
    let id = first.key.id;
    let old = who(&world.app, &first.secret).await.unwrap();
    let second = rotate(&world, id, Some(3_600)).await;
    let third = rotate(&world, id, Some(3_600)).await;
    let good = [
        who(&world.app, &first.secret).await.is_some(),
        who(&world.app, &second.secret).await.is_some(),
        who(&world.app, &third.secret).await.is_some(),
    ];
    assert_eq!(good, [false, true, true]);
    assert_eq!(access::ended(&world.app, &old).await, Ended::Expired);
    let fourth = rotate(&world, id, Some(0)).await;
    assert_eq!(fourth.key.former_secret, None);
    assert!(
        who(&world.app, &third.secret).await.is_none() && who(&world.app, &fourth.secret).await.is_some()
    );
    // Two at the same moment come one after the other.
    let other = world.another().await;
    let (one, two) = tokio::join!(
        access::rotate_key(&world.app, &world.actor, rotation(id, None), "x"),
        access::rotate_key(&other.app, &world.actor, rotation(id, None), "y"),
    );
    assert_ne!(one.unwrap().value.secret, two.unwrap().value.secret);
    let good = world.another().await;
    assert!(
        who(&good.app, &fourth.secret).await.is_none(),
        "the second rotation ended it"
    );
}

async fn who_may_rotate_a_key(world: World) {
    let strong = key(
        &world.app,
        &world.actor,
        &["credit:write", "usage:read"],
        None,
        world.key(),
    )
    .await
    .key
    .id;
    let try_rotate = async |actor: &Actor, id: ApiKeyId, overlap: Option<i64>| {
        access::rotate_key(&world.app, actor, rotation(id, overlap), &world.key()).await
    };
    let (weak_id, weak) = holder(&world, &["access:write", "usage:read"], None).await;
    assert_eq!(
        refusal(try_rotate(&weak, strong, None).await),
        (InvalidInput, "id".to_owned())
    );
    assert!(try_rotate(&weak, weak_id, None).await.is_ok(), "its own");
    let (_, brief) = holder(
        &world,
        &["access:write", "credit:write", "usage:read"],
        Some(world.now().plus_seconds(60)),
    )
    .await;
    assert_eq!(
        refusal(try_rotate(&brief, strong, None).await),
        (InvalidInput, "id".to_owned())
    );
    for seconds in [-1, 604_801] {
        let refused = refusal(try_rotate(&world.actor, strong, Some(seconds)).await);
        assert_eq!(refused, (InvalidInput, "overlapSeconds".to_owned()));
    }
    assert_eq!(
        refusal(try_rotate(&world.stranger().await.actor, strong, None).await),
        (NotFound, "id".to_owned())
    );
    assert!(try_rotate(&world.actor, strong, Some(604_800)).await.is_ok());
    access::revoke_key(&world.app, &world.actor, strong, &world.key())
        .await
        .unwrap();
    assert_eq!(
        refusal(try_rotate(&world.actor, strong, None).await),
        (InvalidInput, "id".to_owned())
    );
}

/// Otherwise whoever has found an old secret could stay for ever.
async fn an_old_secret_makes_nothing_that_outlives_it(world: World) {
    let customer = world.customer("a").await;
    let scopes = ["access:write", "token:create", "credit:read"];
    let made = key(&world.app, &world.actor, &scopes, None, world.key()).await;
    let id = made.key.id;
    rotate(&world, id, Some(60)).await;
    let end = world.now().plus_seconds(60);
    let old = who(&world.app, &made.secret).await.unwrap();
    let child = key(&world.app, &old, &["credit:read"], None, world.key()).await;
    assert_eq!(child.key.expires_at, Some(end));
    assert_eq!(mint(&world, &old, customer).await.token.expires_at, end);
    let taken = access::rotate_key(&world.app, &old, rotation(id, None), &world.key()).await;
    assert_eq!(refusal(taken), (InvalidInput, "id".to_owned()));
}

async fn a_bootstrap_key_that_was_rotated_away_does_not_come_back(world: World) {
    let tenant = access::tenant(&world.app, "acme").await.unwrap();
    let secret = Some("bootstrap-0123456789-0123456789-x".to_owned());
    let ensure = async || access::ensure_bootstrap_key(&world.app, &tenant, secret.as_ref().unwrap()).await;
    ensure().await.unwrap();
    let id = who(&world.app, &secret).await.unwrap().key.unwrap();
    for _ in 0..2 {
        rotate(&world, id, Some(0)).await;
        ensure().await.unwrap();
        assert_eq!(who(&world.app, &secret).await, None);
    }
}
