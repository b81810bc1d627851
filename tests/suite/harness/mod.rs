//! What the cases stand on: a database each, an application over it, and an auditor who trusts neither.

pub mod auditor;
pub mod backend;
pub mod billing;
pub mod cycles;
pub mod desk;
pub mod door;
pub mod letters;
pub mod mortal;
pub mod naive;
pub mod pages;
pub mod paying;
pub mod plans;
pub mod post;
pub mod receiver;
pub mod sabotage;
pub mod world;

use app::catalog::{CreateTemplate, CreateVariant, PlanRef};
use domain::{
    amount::{Credits, Quantity, Rate},
    id::VariantId,
    metering::{Flat, Graduated, Package, PerUnit, Price, Tier, Volume},
    plan::variant::Mode,
    rejection::RejectionCode,
    time::Timestamp,
};

pub use self::world::World;

pub fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

pub fn units(text: &str) -> Quantity {
    text.parse().unwrap()
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

/// So many credits for each unit.
pub fn per_unit(text: &str) -> Price {
    Price::PerUnit(PerUnit {
        credits_per_unit: rate(text),
    })
}

/// So many credits for each event.
pub fn flat(text: &str) -> Price {
    Price::Flat(Flat { credits: rate(text) })
}

pub fn package(size: &str, price: &str) -> Price {
    Price::Package(Package {
        size: units(size),
        credits_per_package: rate(price),
    })
}

/// Tiers as `(up to, price)`; an empty text is the end of the last one.
fn tiers(list: &[(&str, &str)]) -> Vec<Tier> {
    let tier = |&(up_to, price): &(&str, &str)| Tier {
        up_to: (!up_to.is_empty()).then(|| units(up_to)),
        credits_per_unit: rate(price),
    };
    list.iter().map(tier).collect()
}

pub fn graduated(list: &[(&str, &str)]) -> Price {
    Price::Graduated(Graduated { tiers: tiers(list) })
}

pub fn volume(list: &[(&str, &str)]) -> Price {
    Price::Volume(Volume { tiers: tiers(list) })
}

/// The price of source P4: 10,000 at 1, the next 90,000 at 0.5, the rest at 0.1.
pub fn p4() -> Price {
    graduated(&[("10000", "1"), ("100000", "0.5"), ("", "0.1")])
}

/// A monthly prepaid variant without anything special; change what matters.
pub fn monthly(plan: PlanRef) -> CreateVariant {
    CreateVariant {
        plan,
        ..plans::variant(Mode::Prepaid)
    }
}

/// Credits in every cycle that end with it.
pub fn every_cycle(variant: VariantId, amount: &str) -> CreateTemplate {
    CreateTemplate {
        variant,
        ..plans::template(amount)
    }
}

/// A client that goes to nobody but whom it is sent to. None can be made before somebody has said who seals for it.
pub fn http() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// What is at an address.
pub async fn get(url: impl reqwest::IntoUrl) -> reqwest::Result<reqwest::Response> {
    http().build()?.get(url).send().await
}

/// The code and the field of a refusal.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(outcome: app::Result<T>) -> (RejectionCode, String) {
    match outcome {
        Err(app::Error::Rejected(no)) => (no.code, no.path.join(".")),
        other => panic!("not a refusal: {other:?}"),
    }
}
