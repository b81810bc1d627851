//! Registers of tax numbers: asked when somebody wants to know, and believed only when they answer.

use std::sync::Arc;

use app::{
    Limits,
    customer::CustomerRef,
    invoice::{self, AddRegistration},
};
use domain::{rejection::RejectionCode, tax::number::Kind as TaxKind};
use gateway::tax::{Asked, TaxRegister, Trouble, Verdict as Said};

use crate::harness::{
    World,
    billing::{bills, terms},
    refusal,
};

on_both!(a_register_is_asked);

/// A register of the tests, which answers by the last digit of a number.
struct Register;

#[async_trait::async_trait]
impl TaxRegister for Register {
    async fn look(&self, asked: &Asked) -> Result<Said, Trouble> {
        let requester = asked.requester.as_ref().map(|own| own.value.clone());
        match asked.number.value.chars().last() {
            Some('6') => Ok(Said::Valid {
                name: Some(format!("asked by {}", requester.unwrap_or_default())),
                address: None,
                consultation: None,
            }),
            Some('5') => Ok(Said::Invalid),
            Some('9') => Err(Trouble::NotCovered),
            _ => Err(Trouble::NoAnswer("it sleeps".to_owned())),
        }
    }
}

async fn a_register_is_asked(world: World) {
    bills(&world, terms()).await;
    let limits = Limits {
        tax_register: Some(Arc::new(Register)),
        ..Limits::default()
    };
    let asking = world.with_limits(limits).await;
    let customer = world.customer("buyer").await;
    let add = async |kind, country: &str, value: &str| {
        let input = AddRegistration {
            customer: CustomerRef::Id(customer),
            kind,
            country: country.parse().unwrap(),
            value: value.to_owned(),
        };
        let added = invoice::add_registration(&world.app, &world.actor, input, &world.key()).await;
        added.unwrap().value.id
    };
    let known = add(TaxKind::EuVat, "DE", "DE136695976").await;
    let unknown = add(TaxKind::EuVat, "FR", "FR40303265045").await;
    let foreign = add(TaxKind::UsEin, "US", "12-3456789").await;
    let silent = add(TaxKind::EuVat, "ES", "ESB58378431").await;
    let ask = async |id| invoice::ask_register(&asking.app, &world.actor, id).await;
    let judged = ask(known).await.unwrap();
    assert_eq!(entity::to_text(judged.status), "VERIFIED");
    let own = terms().vat_number.unwrap_or_default();
    assert_eq!(judged.registered_name, Some(format!("asked by {own}")));
    assert_eq!(entity::to_text(ask(unknown).await.unwrap().status), "INVALID");
    let no = (RejectionCode::InvalidInput, "known".to_owned());
    assert_eq!(refusal(ask(foreign).await), no);
    assert!(matches!(ask(silent).await, Err(app::Error::Unavailable(_))));
    // Here nobody is asked.
    assert_eq!(
        refusal(invoice::ask_register(&world.app, &world.actor, known).await),
        no
    );
    let all = invoice::registrations(&world.app, &world.actor, customer)
        .await
        .unwrap();
    let status: Vec<String> = all.iter().map(|it| entity::to_text(it.status)).collect();
    assert_eq!(status, ["VERIFIED", "INVALID", "UNVERIFIED", "UNVERIFIED"]);
}
