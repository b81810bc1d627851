//! Keys, scopes, and tenants that do not exist for each other.

use app::{
    Actor, Error, Scope,
    access::{self, CreateApiKey, Mode},
    catalog::{self, PreviewRequest, UpdateMetric},
    credit::{self, Adjust},
    customer::{self, CreateCustomer, CustomerRef, UpdateCustomer},
    gate, job,
    page::Page,
    usage::{self, Age, Outcome, SummaryRequest},
};
use domain::{
    id::{EntryId, WorkId},
    rejection::RejectionCode::{InvalidInput, NotFound},
    usage::event::Refusal,
};
use entity::api_key;
use sea_orm::EntityTrait;
use sha2::Digest;
use uuid::Uuid;

use crate::harness::{World, at, credits, every_cycle, monthly, per_unit, refusal, units};

on_both!(
    keys_are_kept_as_hashes,
    a_key_may_do_no_more_than_its_maker,
    every_function_asks_for_its_scope,
    revoked_and_expired_keys_are_nobody,
    a_replay_outlives_the_expiry_of_its_key,
    what_belongs_to_another_tenant_does_not_exist,
    bootstrap_keys,
    tenants_have_one_mode,
);

fn wish(scopes: &[&str]) -> CreateApiKey {
    CreateApiKey {
        name: "till".to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        expires_at: None,
    }
}

async fn keys_are_kept_as_hashes(world: World) {
    let made = access::create_key(&world.app, &world.actor, wish(&["usage:write"]), "k1").await;
    let secret = made.unwrap().value.secret.unwrap();
    assert!(secret.starts_with("tg_test_") && secret.len() == 40, "{secret}");
    let row = api_key::Entity::find()
        .one(world.app.db().reader())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.hash, hex(&sha2::Sha256::digest(secret.as_bytes())));
    assert!(!format!("{row:?}").contains(&secret[12..36]), "{row:?}");
    let again = access::create_key(&world.app, &world.actor, wish(&["usage:write"]), "k1")
        .await
        .unwrap();
    assert!(again.replay && again.value.secret.is_none());
    let other = access::create_key(&world.app, &world.actor, wish(&["usage:write"]), "k2")
        .await
        .unwrap();
    assert_ne!(other.value.secret, Some(secret.clone()));
    let actor = access::authenticate(&world.app, &secret).await.unwrap().unwrap();
    assert_eq!(
        (actor.tenant, actor.scopes),
        (world.tenant(), vec![Scope::UsageWrite])
    );
    for wrong in ["", "tg_test_", &secret[1..], &secret.to_uppercase(), &row.hash] {
        assert_eq!(
            access::authenticate(&world.app, wrong).await.unwrap(),
            None,
            "{wrong}"
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn a_key_may_do_no_more_than_its_maker(world: World) {
    let maker = Actor {
        scopes: vec![Scope::AccessWrite, Scope::UsageRead],
        ..world.actor.clone()
    };
    for (scopes, fine) in [
        (&["usage:read"][..], true),
        (&["usage:read", "access:write", "usage:read"], true),
        (&["usage:write"], false),
        (&["usage:read", "credit:write"], false),
        (&["usage"], false),
        (&[], false),
    ] {
        let made = access::create_key(&world.app, &maker, wish(scopes), &world.key()).await;
        if fine {
            let key = made.unwrap().value.key;
            assert!(key.scopes.iter().all(|scope| maker.scopes.contains(scope)));
            assert!(key.scopes.len() <= 2, "{key:?}");
        } else {
            assert_eq!(refusal(made), (InvalidInput, "scopes".to_owned()), "{scopes:?}");
        }
    }
    let past = CreateApiKey {
        expires_at: Some(world.now()),
        ..wish(&["usage:read"])
    };
    let made = access::create_key(&world.app, &maker, past, &world.key()).await;
    assert_eq!(refusal(made), (InvalidInput, "expiresAt".to_owned()));
}

/// Each function is called without its one scope and answers that it is missing, then with it alone and gets further.
async fn every_function_asks_for_its_scope(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let block = world.give(id, "5").await.block.id;
    let who = CustomerRef::Id(id);
    let app = &world.app;
    macro_rules! page {
        () => {
            Page::first(1)
        };
    }
    let nothing = || Uuid::nil();
    macro_rules! needs {
        ($scope:ident: $($name:literal => |$actor:ident| $call:expr;)*) => {$(
            let without: Vec<Scope> = Scope::ALL.iter().copied().filter(|it| *it != Scope::$scope).collect();
            for (scopes, denied) in [(without, true), (vec![Scope::$scope], false)] {
                let $actor = &Actor { scopes, ..world.actor.clone() };
                let outcome = $call.await.map(drop);
                let missing = matches!(outcome, Err(Error::Denied(Scope::$scope)));
                assert_eq!(missing, denied, "{}: {outcome:?}", $name);
            }
        )*};
    }
    let preview = || PreviewRequest {
        metric_key: "call".to_owned(),
        units: units("1"),
        customer: None,
        properties: Default::default(),
        at: None,
        variant: None,
    };
    let check = || gate::Check {
        customer: who.clone(),
        metric_key: "call".to_owned(),
        units: units("1"),
        properties: Default::default(),
    };
    let metric = || catalog::CreateMetric {
        key: "m".to_owned(),
        name: "m".to_owned(),
        unit: None,
    };
    let rule = || catalog::CreateRule {
        metric_key: "call".to_owned(),
        matches: Default::default(),
        price: per_unit("1"),
        effective_from: None,
    };
    let plan = || catalog::CreatePlan {
        key: "pro".to_owned(),
        name: "Pro".to_owned(),
        description: None,
    };
    let plan_ref = || catalog::PlanRef::Key("pro".to_owned());
    let variant_id = || domain::id::VariantId(nothing());
    let template_id = || domain::id::TemplateId(nothing());
    let adjust = || Adjust {
        customer: who.clone(),
        credits: credits("1"),
        description: None,
    };
    let token = || access::CreateCustomerToken {
        customer: who.clone(),
        scopes: None,
        lifetime_seconds: None,
    };
    let rotation = || access::RotateApiKey {
        id: domain::id::ApiKeyId(nothing()),
        overlap_seconds: None,
    };
    let key = || world.key();
    needs!(UsageWrite:
        "record" => |actor| usage::record(app, actor, vec![world.event(id, "call", "1")], Age::Limited);
        "void" => |actor| usage::void(app, actor, usage::VoidUsage { event_key: "x".to_owned() }, &key()););
    needs!(UsageRead:
        "event" => |actor| usage::event(app, actor, "x");
        "event_by_id" => |actor| usage::event_by_id(app, actor, domain::id::EventId(nothing()));
        "events" => |actor| usage::events(app, actor, id, page!());
        "summary" => |actor| usage::summary(app, actor, id, SummaryRequest::default()););
    needs!(EntitlementRead: "check" => |actor| gate::check(app, actor, &check()););
    needs!(CatalogRead:
        "metric" => |actor| catalog::metric(app, actor, "call");
        "metric_by_id" => |actor| catalog::metric_by_id(app, actor, domain::id::MetricId(nothing()));
        "metrics" => |actor| catalog::metrics(app, actor, page!());
        "rule" => |actor| catalog::rule(app, actor, domain::id::MeteringRuleId(nothing()));
        "rules" => |actor| catalog::rules(app, actor, None, page!());
        "plan" => |actor| catalog::plan(app, actor, &plan_ref());
        "plans" => |actor| catalog::plans(app, actor, page!());
        "variant" => |actor| catalog::variant(app, actor, variant_id());
        "variants" => |actor| catalog::variants(app, actor, domain::id::PlanId(nothing()), page!());
        "template" => |actor| catalog::template(app, actor, template_id());
        "templates" => |actor| catalog::templates(app, actor, variant_id(), page!());
        "preview" => |actor| catalog::price_preview(app, actor, preview()););
    needs!(CatalogWrite:
        "create_metric" => |actor| catalog::create_metric(app, actor, metric(), &key());
        "update_metric" => |actor| catalog::update_metric(app, actor, "call", UpdateMetric::default());
        "create_rule" => |actor| catalog::create_rule(app, actor, rule(), &key());
        "create_plan" => |actor| catalog::create_plan(app, actor, plan(), &key());
        "update_plan" => |actor| catalog::update_plan(app, actor, &plan_ref(), catalog::UpdatePlan::default());
        "archive_plan" => |actor| catalog::archive_plan(app, actor, &plan_ref());
        "create_variant" => |actor| catalog::create_variant(app, actor, monthly(plan_ref()), &key());
        "create_template" => |actor| catalog::create_template(app, actor, every_cycle(variant_id(), "1"), &key());
        "archive_variant" => |actor| catalog::archive_variant(app, actor, variant_id());
        "archive_template" => |actor| catalog::archive_template(app, actor, template_id()););
    needs!(CustomerRead:
        "customer" => |actor| customer::customer(app, actor, &who);
        "customers" => |actor| customer::customers(app, actor, page!()););
    needs!(CustomerWrite:
        "create" => |actor| customer::create(app, actor, CreateCustomer::default(), &key());
        "update" => |actor| customer::update(app, actor, &who, UpdateCustomer::default()););
    needs!(CreditRead:
        "balances" => |actor| credit::balances(app, actor, &[id]);
        "blocks" => |actor| credit::blocks(app, actor, id, page!());
        "block" => |actor| credit::block(app, actor, block);
        "ledger" => |actor| credit::ledger(app, actor, id, page!());
        "entry" => |actor| credit::entry(app, actor, EntryId { customer: id, sequence: 1 });
        "watch" => |actor| async { credit::live::watch(app, actor, &who, None).await.map(drop) };);
    needs!(CreditWrite:
        "grant" => |actor| credit::grant(app, actor, world.deposit(id, "1"), &key());
        "adjust" => |actor| credit::adjust(app, actor, adjust(), &key());
        "revoke" => |actor| credit::revoke(app, actor, block, &key()););
    needs!(OperationsRead:
        "status" => |actor| job::status(app, actor);
        "parked" => |actor| job::parked(app, actor, page!()););
    needs!(OperationsWrite: "retry" => |actor| job::retry(app, actor, WorkId(nothing()), &key()););
    needs!(AccessRead:
        "key" => |actor| access::key(app, actor, domain::id::ApiKeyId(nothing()));
        "keys" => |actor| access::keys(app, actor, page!()););
    needs!(AccessWrite:
        "create_key" => |actor| access::create_key(app, actor, wish(&["access:write"]), &key());
        "rotate_key" => |actor| access::rotate_key(app, actor, rotation(), &key());
        "revoke_key" => |actor| access::revoke_key(app, actor, domain::id::ApiKeyId(nothing()), &key()););
    needs!(TokenCreate: "create_token" => |actor| access::create_token(app, actor, token(), &key()););
    // An explanation shows usage and prices as well, but a key for credits must not read more than credits.
    let entry = EntryId {
        customer: id,
        sequence: 1,
    };
    let poor = Actor {
        scopes: vec![Scope::UsageRead],
        ..world.actor.clone()
    };
    assert!(matches!(
        credit::explain(app, &poor, entry).await,
        Err(Error::Denied(Scope::CreditRead))
    ));
}

async fn revoked_and_expired_keys_are_nobody(world: World) {
    let end = at("2026-03-10T13:00:00Z");
    let short = CreateApiKey {
        expires_at: Some(end),
        ..wish(&["usage:read"])
    };
    let short = access::create_key(&world.app, &world.actor, short, "k1")
        .await
        .unwrap()
        .value;
    let long = access::create_key(&world.app, &world.actor, wish(&["usage:read"]), "k2")
        .await
        .unwrap()
        .value;
    let (short, secret) = (short.secret.unwrap(), long.secret.unwrap());
    let known =
        async |world: &World, secret: &str| access::authenticate(&world.app, secret).await.unwrap().is_some();
    world.move_to(end);
    world.advance_micros(-1);
    assert!(known(&world, &short).await && known(&world, &secret).await);
    world.advance_micros(1);
    assert!(!known(&world, &short).await, "known and expired");
    let other = world.another().await;
    assert!(!known(&other, &short).await && known(&other, &secret).await);
    let revoked = access::revoke_key(&world.app, &world.actor, long.key.id, "r1")
        .await
        .unwrap();
    assert_eq!(revoked.value.revoked_at, Some(end));
    assert!(!known(&world, &secret).await, "revoked here");
    world.advance(5);
    let again = access::revoke_key(&world.app, &world.actor, long.key.id, "r2")
        .await
        .unwrap();
    assert_eq!(
        again.value.revoked_at,
        Some(end),
        "a second revocation changes nothing"
    );
    assert!(
        !known(&world.another().await, &secret).await,
        "revoked in a process that never knew it"
    );
}

async fn a_replay_outlives_the_expiry_of_its_key(world: World) {
    let end = Some(world.now().plus_seconds(60));
    let input = || CreateApiKey {
        expires_at: end,
        ..wish(&["usage:read"])
    };
    let first = access::create_key(&world.app, &world.actor, input(), "k1")
        .await
        .unwrap();
    world.advance(61);
    let again = access::create_key(&world.app, &world.actor, input(), "k1")
        .await
        .unwrap();
    assert!(again.replay);
    assert_eq!(again.value.key, first.value.key);
}

async fn what_belongs_to_another_tenant_does_not_exist(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let block = world.give(id, "5").await.block.id;
    let event = world.consume(id, "call", "1").await;
    world.run_to_rest().await;
    let rule = catalog::rules(&world.app, &world.actor, None, Page::first(1))
        .await
        .unwrap()
        .items[0]
        .id;
    let key = access::create_key(&world.app, &world.actor, wish(&["usage:read"]), "k")
        .await
        .unwrap()
        .value
        .key
        .id;
    let metric = catalog::metric(&world.app, &world.actor, "call")
        .await
        .unwrap()
        .unwrap()
        .id;
    let found = usage::event(&world.app, &world.actor, &event)
        .await
        .unwrap()
        .unwrap()
        .id;
    let them = world.stranger().await;
    let (app, actor) = (&them.app, &them.actor);
    for who in [CustomerRef::Id(id), CustomerRef::External("a".to_owned())] {
        assert_eq!(customer::customer(app, actor, &who).await.unwrap(), None);
        let changed = customer::update(app, actor, &who, UpdateCustomer::default()).await;
        assert_eq!(refusal(changed).0, NotFound);
        let given = credit::grant(
            app,
            actor,
            credit::Grant {
                customer: who.clone(),
                ..them.deposit(id, "1")
            },
            &them.key(),
        )
        .await;
        assert_eq!(refusal(given).0, NotFound);
        let adjusted = Adjust {
            customer: who.clone(),
            credits: credits("-1"),
            description: None,
        };
        assert_eq!(
            refusal(credit::adjust(app, actor, adjusted, &them.key()).await).0,
            NotFound
        );
        assert_eq!(
            refusal(credit::live::watch(app, actor, &who, None).await.map(drop)).0,
            NotFound
        );
    }
    assert!(credit::balances(app, actor, &[id]).await.unwrap().is_empty());
    assert!(
        credit::blocks(app, actor, id, Page::first(1))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        credit::ledger(app, actor, id, Page::first(1))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(credit::block(app, actor, block).await.unwrap(), None);
    assert_eq!(refusal(credit::revoke(app, actor, block, "r").await).0, NotFound);
    let entry = EntryId {
        customer: id,
        sequence: 1,
    };
    assert_eq!(credit::entry(app, actor, entry).await.unwrap(), None);
    assert_eq!(credit::explain(app, actor, entry).await.unwrap(), None);
    assert_eq!(usage::event(app, actor, &event).await.unwrap(), None);
    assert_eq!(usage::event_by_id(app, actor, found).await.unwrap(), None);
    assert!(
        usage::events(app, actor, id, Page::first(1))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        usage::summary(app, actor, id, SummaryRequest::default())
            .await
            .unwrap()
            .lines
            .is_empty()
    );
    assert_eq!(refusal(them.void(&event).await).0, NotFound);
    assert_eq!(catalog::metric(app, actor, "call").await.unwrap(), None);
    assert_eq!(catalog::metric_by_id(app, actor, metric).await.unwrap(), None);
    assert_eq!(catalog::rule(app, actor, rule).await.unwrap(), None);
    assert_eq!(
        refusal(them.try_rule("call", &[], per_unit("1"), None).await).0,
        NotFound
    );
    assert_eq!(access::key(app, actor, key).await.unwrap(), None);
    assert_eq!(
        refusal(access::revoke_key(app, actor, key, "r").await).0,
        NotFound
    );
    assert!(
        access::keys(app, actor, Page::first(9))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    // The same words mean other things to them: a customer's id is unknown, and a used key is free.
    them.priced("call", per_unit("1")).await;
    let mut theirs = them.event(id, "call", "1");
    theirs.key = event.clone();
    assert_eq!(
        them.record(vec![theirs]).await,
        [Outcome::Rejected(Refusal::UnknownCustomer)]
    );
    let own = them.customer("a").await;
    let mut theirs = them.event(own, "call", "1");
    theirs.key = event;
    assert!(matches!(them.record(vec![theirs]).await[0], Outcome::Accepted(_)));
    assert_eq!(world.balance(id).await.pending_events, 0);
}

async fn bootstrap_keys(world: World) {
    let tenant = access::tenant(&world.app, "acme").await.unwrap();
    let key = "bootstrap-0123456789-0123456789-x";
    for bad in [
        "",
        "short",
        &key[..31],
        "bootstrap-0123456789-0123456789 x",
        "bootstrap-0123456789-0123456789-é",
    ] {
        let outcome = access::ensure_bootstrap_key(&world.app, &tenant, bad).await;
        assert_eq!(
            refusal(outcome),
            (InvalidInput, "bootstrapKey".to_owned()),
            "{bad}"
        );
    }
    for _ in 0..2 {
        access::ensure_bootstrap_key(&world.app, &tenant, key)
            .await
            .unwrap();
    }
    let actor = access::authenticate(&world.app, key).await.unwrap().unwrap();
    assert_eq!((actor.tenant, &actor.scopes[..]), (tenant.id, Scope::ALL));
    let all = access::keys(&world.app, &actor, Page::first(9))
        .await
        .unwrap()
        .items;
    assert_eq!(all.len(), 1);
    // A key belongs to one tenant: whoever is given it for another must hear of it.
    let (other, _) = access::ensure_tenant(&world.app, "other", None).await.unwrap();
    let outcome = access::ensure_bootstrap_key(&world.app, &other, key).await;
    assert_eq!(refusal(outcome), (InvalidInput, "bootstrapKey".to_owned()));
    // A revoked one does not come back with the next start.
    access::revoke_key(&world.app, &actor, all[0].id, "r")
        .await
        .unwrap();
    access::ensure_bootstrap_key(&world.app, &tenant, key)
        .await
        .unwrap();
    assert_eq!(access::authenticate(&world.app, key).await.unwrap(), None);
}

async fn tenants_have_one_mode(world: World) {
    let (same, made) = access::ensure_tenant(&world.app, "acme", None).await.unwrap();
    assert_eq!((same.id, made), (world.tenant(), false));
    let other = access::ensure_tenant(&world.app, "acme", Some(Mode::Live)).await;
    assert_eq!(refusal(other), (InvalidInput, "mode".to_owned()));
    let (live, made) = access::ensure_tenant(&world.app, "live", Some(Mode::Live))
        .await
        .unwrap();
    assert!(made);
    let key = access::create_key(&world.app, &Actor::operator(live.id), wish(&["usage:read"]), "k")
        .await
        .unwrap();
    assert!(key.value.secret.unwrap().starts_with("tg_live_"));
    for bad in ["", "  ", &"x".repeat(101), "a\0b"] {
        assert_eq!(
            refusal(access::ensure_tenant(&world.app, bad, None).await).1,
            "name",
            "{bad:?}"
        );
    }
    assert_eq!(refusal(access::tenant(&world.app, "nobody").await).0, NotFound);
}
