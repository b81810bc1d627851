//! Whatever a provider does, whatever of it is heard, and when: nobody is charged twice, nothing that was paid for is lost, and each payment
//! ends with a reason.

pub mod scripted;

use app::{
    Limits,
    customer::CustomerRef,
    job,
    payment::{self, Purchase, Received, StartSetup, UpdateSetting},
};
use domain::{
    id::{CustomerId, PaymentId},
    money::{Currency, Money},
    payment::{State, Way, decline::Decline},
};
use gateway::payment::{HeaderMap, Providers};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;

use self::scripted::{Fate, KEY, Script, Scripted};
use crate::harness::{
    World,
    paying::{read, sale},
};

on_both!(whatever_a_provider_does_is_charged_once_and_explained);

const SEEDS: u64 = 8;
/// Payments of one customer at a time.
const PAYMENTS: i64 = 8;
const HOUR: i64 = 3_600;

fn fate(rng: &mut StdRng) -> Fate {
    // Up to days.
    let later = [2, 90, HOUR, 30 * HOUR, 100 * HOUR][rng.random_range(0..5)];
    match rng.random_range(0..8) {
        0 => Fate::Declines(Decline::InsufficientFunds),
        1 => Fate::Declines(Decline::DoNotTryAgain),
        2 => Fate::SucceedsAfter(later),
        3 => Fate::FailsAfter(later),
        4 => Fate::ConfirmedAfter(later),
        5 => Fate::Forgotten,
        _ => Fate::Succeeds,
    }
}

fn script(rng: &mut StdRng) -> Script {
    Script {
        fate: fate(rng),
        lost_requests: rng.random_range(0..3),
        lost_replies: rng.random_range(0..3),
        silences: rng.random_range(0..4),
    }
}

async fn whatever_a_provider_does_is_charged_once_and_explained(world: World) {
    let provider = Scripted::new(world.clock.clone());
    let limits = Limits {
        providers: Providers::default().with(KEY, provider.clone()),
        ..Limits::default()
    };
    let world = world.with_limits(limits).await;
    let input = UpdateSetting {
        provider: KEY.to_owned(),
        sale: sale("1 USD", "1 USD", "5000 USD"),
    };
    payment::update_setting(&world.app, &world.actor, input)
        .await
        .unwrap();
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        live(&world, &provider, seed, &mut rng).await;
    }
}

/// One customer's payments, until nothing is open any more.
async fn live(world: &World, provider: &Scripted, seed: u64, rng: &mut StdRng) {
    let customer = owner(world, &format!("seed-{seed}")).await;
    let mut bought = Vec::new();
    for number in 0..PAYMENTS {
        let minor = 1_000 + i64::try_from(seed).unwrap() * 100 + number;
        provider.plan(minor, script(rng));
        bought.push((buy(world, customer, minor).await, minor));
    }
    for _ in 0..40 {
        for (id, _) in &bought {
            // Told late, doubled, or never; what is told is only that something has happened.
            for copy in 0..rng.random_range(0..3_u8) {
                tell(world, *id, rng.random_range(0..4_u8), copy).await;
            }
        }
        if rng.random_bool(0.5) {
            job::sweep(&world.app).await.unwrap();
        }
        work(world, rng).await;
        world.advance([1, 6, 31, 130, 700, 3 * HOUR, 20 * HOUR][rng.random_range(0..7)]);
    }
    // Everything that could happen has, and the longest pauses are over.
    for _ in 0..12 {
        world.advance(12 * HOUR);
        job::sweep(&world.app).await.unwrap();
        world.run_to_rest().await;
    }
    let mut paid = 0;
    // Under one key each, so that whoever is asked twice does it once.
    let other = |key: &String| !bought.iter().any(|(id, _)| *key == format!("{id}_1"));
    let before = usize::try_from(seed * PAYMENTS.unsigned_abs()).unwrap();
    assert!(
        provider.keys().into_iter().filter(other).count() <= before,
        "seed {seed}"
    );
    for (id, minor) in bought {
        let it = read(world, id).await;
        let taken = provider.took(&format!("{id}_1"), minor);
        let wanted = if taken { State::Succeeded } else { State::Failed };
        assert_eq!(it.progress.state, wanted, "seed {seed}: {id}");
        assert_eq!(
            it.progress.decline.is_some(),
            !taken,
            "seed {seed}: {id} has an end without a reason"
        );
        paid += if taken { minor } else { 0 };
    }
    let credits = domain::amount::Credits::from_raw(paid * 10_000);
    assert_eq!(world.stands(customer).await.0, credits.to_string(), "seed {seed}");
}

async fn owner(world: &World, name: &str) -> CustomerId {
    let customer = world.customer(name).await;
    let who = StartSetup {
        customer: CustomerRef::Id(customer),
        return_url: None,
    };
    let page = payment::start_setup(&world.app, &world.actor, who, &world.key()).await;
    let setup = payment::setup(&world.app, &world.actor, page.unwrap().value.id).await;
    assert!(setup.unwrap().unwrap().method.is_some());
    customer
}

async fn buy(world: &World, customer: CustomerId, minor: i64) -> PaymentId {
    let wish = Purchase {
        customer: CustomerRef::Id(customer),
        amount: Money::of(minor, Currency::USD),
        way: Way::Saved(None),
    };
    let bought = payment::purchase(&world.app, &world.actor, wish, &world.key()).await;
    bought.unwrap().value.id
}

async fn tell(world: &World, payment: PaymentId, number: u8, copy: u8) {
    let notice = json!({ "id": format!("{payment}-{number}"), "payment": payment.to_string(), "copy": copy });
    let told = payment::receive(&world.app, KEY, &HeaderMap::new(), notice.to_string().as_bytes()).await;
    assert_eq!(told.unwrap(), Received::Kept);
}

/// Does what waits, in any order; some of it is lost, and some done twice.
async fn work(world: &World, rng: &mut StdRng) {
    for _ in 0..3 {
        let mut waiting: Vec<_> = std::iter::from_fn(|| world.post.take()).collect();
        waiting.shuffle(rng);
        for payload in waiting {
            for _ in 0..rng.random_range(0..3_u8) {
                job::run(&world.app, payload.clone()).await;
            }
        }
    }
}
