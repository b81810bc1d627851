//! The register VIES against one of our own, which gives the answers that the real one has given: a number is judged only by an answer
//! that is about it.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::tax::number::{self, Kind};
use gateway::tax::{
    Asked, TaxNumber, TaxRegister, Trouble, Verdict,
    vies::{BASE_URL, BadAddress, Vies},
};
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A VIES that always answers alike, and keeps what it was asked.
struct Fake {
    base: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Fake {
    async fn start(status: u16, body: impl ToString) -> Self {
        Self::after(Duration::ZERO, status, body).await
    }

    async fn after(wait: Duration, status: u16, body: impl ToString) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/vies/rest-api", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Value>>>::default();
        let (kept, body) = (Arc::clone(&asked), body.to_string());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (kept, body) = (Arc::clone(&kept), body.clone());
                let service = service_fn(move |request| {
                    let (kept, body) = (Arc::clone(&kept), body.clone());
                    async move {
                        let mut response = Response::new(body);
                        *response.status_mut() = StatusCode::from_u16(status).unwrap();
                        let question = question(request).await;
                        kept.lock().unwrap().push(question);
                        tokio::time::sleep(wait).await;
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { base, asked }
    }

    /// Ours.
    fn vies(&self) -> Vies {
        let vies = Vies::new(&self.base).unwrap();
        vies.with_timeout(Duration::from_secs(10))
    }

    async fn look(&self, number: TaxNumber) -> Result<Verdict, Trouble> {
        let asked = Asked {
            number,
            requester: None,
        };
        self.vies().look(&asked).await
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

/// What is asked, strictly as VIES wants it.
async fn question(request: Request<Incoming>) -> Value {
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri().path(), "/vies/rest-api/check-vat-number");
    assert_eq!(request.headers()["content-type"], "application/json");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// A number as it is kept, whether or not its prefix was written.
fn number_of(kind: Kind, country: &str, text: &str) -> TaxNumber {
    let country = country.parse().unwrap();
    let value = number::check(kind, country, text).unwrap();
    TaxNumber { kind, country, value }
}

fn german() -> TaxNumber {
    number_of(Kind::EuVat, "DE", "DE811115368")
}

/// An answer about [`german`], with all that VIES sends.
fn answer() -> Value {
    json!({
        "countryCode": "DE",
        "vatNumber": "811115368",
        "requestDate": "2026-10-02T22:22:57.134Z",
        "valid": true,
        "requestIdentifier": "",
        "name": "---",
        "address": "---",
        "traderName": "---",
        "traderStreet": "---",
        "traderPostalCode": "---",
        "traderCity": "---",
        "traderCompanyType": "---",
        "traderNameMatch": "NOT_PROCESSED",
        "traderStreetMatch": "NOT_PROCESSED",
        "traderPostalCodeMatch": "NOT_PROCESSED",
        "traderCityMatch": "NOT_PROCESSED",
        "traderCompanyTypeMatch": "NOT_PROCESSED"
    })
}

/// The same with other values.
fn answer_with(changes: &Value) -> Value {
    let mut answer = answer();
    for (field, value) in changes.as_object().unwrap() {
        answer[field] = value.clone();
    }
    answer
}

fn failure(code: &str) -> Value {
    json!({"actionSucceed": false, "errorWrappers": [{"error": code}]})
}

fn is_no_answer(answer: &Result<Verdict, Trouble>) -> bool {
    matches!(answer, Err(Trouble::NoAnswer(_)))
}

#[tokio::test]
async fn a_valid_number_comes_with_what_is_told() {
    let fake = Fake::start(
        200,
        answer_with(&json!({
            "countryCode": "AT",
            "vatNumber": "U33864707",
            "requestIdentifier": "WAPIAAAAZ8Cq1x2b",
            "name": "Red Bull GmbH",
            "address": "Am Brunnen 1\nAT-5330 Fuschl/See"
        })),
    )
    .await;
    let asked = Asked {
        number: number_of(Kind::EuVat, "AT", "ATU33864707"),
        requester: Some(german()),
    };
    let verdict = fake.vies().look(&asked).await;
    let valid = Verdict::Valid {
        name: Some("Red Bull GmbH".to_owned()),
        address: Some("Am Brunnen 1\nAT-5330 Fuschl/See".to_owned()),
        consultation: Some("WAPIAAAAZ8Cq1x2b".to_owned()),
    };
    assert_eq!(verdict, Ok(valid));
    let question = json!({
        "countryCode": "AT",
        "vatNumber": "U33864707",
        "requesterMemberStateCode": "DE",
        "requesterNumber": "811115368"
    });
    assert_eq!(fake.asked(), [question]);
}

#[tokio::test]
async fn what_is_not_told_is_nothing() {
    let nothing = Verdict::Valid {
        name: None,
        address: None,
        consultation: None,
    };
    for changes in [
        json!({}),
        json!({"name": "", "address": " \n"}),
        json!({"name": null, "address": null, "requestIdentifier": null}),
    ] {
        let fake = Fake::start(200, answer_with(&changes)).await;
        assert_eq!(fake.look(german()).await.as_ref(), Ok(&nothing), "{changes}");
    }
}

#[tokio::test]
async fn an_invalid_number_is_an_answer() {
    let fake = Fake::start(200, answer_with(&json!({"valid": false}))).await;
    assert_eq!(fake.look(german()).await, Ok(Verdict::Invalid));
}

#[tokio::test]
async fn a_number_is_sent_without_its_prefix() {
    for (number, code, rest) in [
        (german(), "DE", "811115368"),
        (number_of(Kind::EuVat, "DE", "811115368"), "DE", "811115368"),
        (number_of(Kind::EuVat, "GR", "EL094259216"), "EL", "094259216"),
        (number_of(Kind::EuVat, "GR", "094259216"), "EL", "094259216"),
        (number_of(Kind::XiVat, "GB", "XI110305878"), "XI", "110305878"),
    ] {
        let about = json!({"countryCode": code, "vatNumber": rest});
        let fake = Fake::start(200, answer_with(&about)).await;
        assert!(fake.look(number).await.is_ok(), "{code} {rest}");
        assert_eq!(fake.asked(), [about]);
    }
}

#[tokio::test]
async fn what_vies_does_not_cover_is_never_sent() {
    let british = number_of(Kind::GbVat, "GB", "GB110305878");
    let swiss = number_of(Kind::ChUid, "CH", "CHE116281710");
    let fake = Fake::start(200, answer()).await;
    for number in [british.clone(), swiss] {
        assert_eq!(fake.look(number).await, Err(Trouble::NotCovered));
    }
    assert_eq!(fake.asked(), [Value::Null; 0]);
    // A vendor whom VIES does not cover asks without saying who it is.
    let asked = Asked {
        number: german(),
        requester: Some(british),
    };
    assert!(fake.vies().look(&asked).await.is_ok());
    let question = json!({"countryCode": "DE", "vatNumber": "811115368"});
    assert_eq!(fake.asked(), [question]);
}

#[tokio::test]
async fn whoever_is_away_has_said_nothing() {
    for code in [
        "MS_UNAVAILABLE",
        "MS_MAX_CONCURRENT_REQ",
        "MS_MAX_CONCURRENT_REQ_TIME",
        "GLOBAL_MAX_CONCURRENT_REQ",
        "GLOBAL_MAX_CONCURRENT_REQ_TIME",
        "TIMEOUT",
        "SERVICE_UNAVAILABLE",
        "IP_BLOCKED",
        "VAT_BLOCKED",
        "INVALID_REQUESTER_INFO",
        "INVALID_INPUT",
        "VOW-ERR-1",
    ] {
        for status in [200, 400, 500] {
            let fake = Fake::start(status, failure(code)).await;
            match fake.look(german()).await {
                Err(Trouble::NoAnswer(why)) => assert!(why.ends_with(&format!(", {code}")), "{why}"),
                other => panic!("{code} {status}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_concluded_from_what_is_no_answer() {
    let away = json!({"valid": false, "userError": "MS_UNAVAILABLE"});
    let failed = json!({"valid": false, "actionSucceed": false});
    let wrapped = json!({"errorWrappers": [{"error": "Kaputt! Max Mustermann"}]});
    for (status, body) in [
        (200, String::new()),
        (200, "{}".to_owned()),
        (200, "[]".to_owned()),
        (200, "null".to_owned()),
        (200, "<html>Service Unavailable</html>".to_owned()),
        (
            200,
            r#"{"countryCode":"DE","vatNumber":"811115368","va"#.to_owned(),
        ),
        (200, answer_with(&json!({"valid": null})).to_string()),
        (200, answer_with(&json!({"valid": "true"})).to_string()),
        (200, answer_with(&json!({"vatNumber": "136695976"})).to_string()),
        (200, answer_with(&json!({"countryCode": "AT"})).to_string()),
        (200, answer_with(&away).to_string()),
        (200, answer_with(&failed).to_string()),
        (200, answer_with(&wrapped).to_string()),
        (
            200,
            answer_with(&json!({"name": "x".repeat(1 << 17)})).to_string(),
        ),
        (302, answer().to_string()),
        (404, answer().to_string()),
        (429, String::new()),
        (500, answer().to_string()),
        (503, "<html>Service Unavailable</html>".to_owned()),
    ] {
        let fake = Fake::start(status, &body).await;
        let answer = fake.look(german()).await;
        assert!(is_no_answer(&answer), "{status} {body}: {answer:?}");
        assert!(!format!("{answer:?}").contains("Max"), "{answer:?}");
    }
}

#[tokio::test]
async fn whoever_is_slow_or_not_there_has_said_nothing() {
    let fake = Fake::after(Duration::from_secs(60), 200, answer()).await;
    let hasty = fake.vies().with_timeout(Duration::from_millis(200));
    let asked = Asked {
        number: german(),
        requester: None,
    };
    assert!(is_no_answer(&hasty.look(&asked).await));
    assert_eq!(fake.asked().len(), 1);

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    assert!(is_no_answer(&Vies::new(&base).unwrap().look(&asked).await));
}

#[test]
fn answers_are_believed_only_from_where_they_cannot_be_forged() {
    assert!(Vies::new(BASE_URL).is_ok());
    for base in [
        "",
        "http://ec.europa.eu/taxation_customs/vies/rest-api",
        "https://ec.europa.eu/?a=b",
    ] {
        assert_eq!(Vies::new(base).err(), Some(BadAddress::NotSealed), "{base}");
    }
}
