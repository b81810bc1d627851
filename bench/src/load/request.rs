//! The requests of the measurements: ready bytes in which only digits change.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{
    Requests,
    http::{find, graphql, post},
};
use crate::{
    process::KEY,
    world::{METRIC, external_id},
};

/// Digits of the number in an idempotency key.
const KEY_DIGITS: usize = 12;
/// Digits of the number in a customer's external id.
const CUSTOMER_DIGITS: usize = 6;
/// How far from its beginning and its end an answer is searched: whatever the order of its fields, the counts are beside the
/// long list.
const MARGIN: usize = 300;
/// Steps through the customers, so that neighbours in time are no neighbours in the tables. A prime.
const STRIDE: u64 = 7_919;

/// What a producer asks, as in the README.
const RECORD: &str = "mutation Record($events: [UsageEventInput!]!) { recordUsage(input: {events: $events}) {
  results { index outcome reason eventId } acceptedCount duplicateCount userErrors { code path message } } }";
/// What a gateway asks.
const CHECK: &str = "query Check($customer: String!, $metric: String!) {
  entitlement(externalCustomerId: $customer, metricKey: $metric) { allowed reason affordableUnits available asOf } }";

/// Every run has keys of its own.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// One connection's requests.
#[derive(Debug, Clone)]
pub struct Patched {
    bytes: Vec<u8>,
    keys: Vec<usize>,
    customers: Vec<usize>,
    /// Numbers of customers to choose from.
    among: u64,
    /// From one customer to the next.
    stride: u64,
    next: u64,
    /// From one request to the next.
    step: u64,
    /// Must stand in the answer.
    expect: Option<String>,
    counts: u64,
}

/// Requests that record so many events each, of so many customers, one value per connection. `checked`: the answer must say
/// that all were accepted.
pub fn recordings(
    path: &str,
    connections: usize,
    events: usize,
    among: usize,
    checked: bool,
) -> Vec<Box<dyn Requests>> {
    let party = |connection: usize| {
        let all = recording(path, connection, events, among);
        let expect = all.expect.clone().filter(|_| checked);
        Box::new(Patched { expect, ..all }) as Box<dyn Requests>
    };
    (0..connections).map(party).collect()
}

/// Requests of one of several senders that go through the customers in order, together.
pub fn recordings_in_order(events: usize, among: usize, sender: usize, senders: usize) -> Patched {
    recording("/graphql", sender, events, among).in_order(sender, senders)
}

fn recording(path: &str, connection: usize, events: usize, among: usize) -> Patched {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let events: Vec<Value> = (0..events)
        .map(|index| {
            json!({
                "externalCustomerId": external_id(0),
                "metricKey": METRIC,
                "units": "1",
                "idempotencyKey": format!("{run:x}-{index}-{:0KEY_DIGITS$}", 0),
            })
        })
        .collect();
    let expect = format!("\"acceptedCount\":{}", events.len());
    let counts = events.len() as u64;
    let body = graphql(RECORD, &json!({ "events": events }));
    Patched {
        expect: Some(expect),
        counts,
        next: connection as u64,
        ..Patched::of(&post(path, KEY, &body), among)
    }
}

/// Requests that ask whether one of so many customers may go on, one value per connection.
pub fn checks(path: &str, connections: usize, among: usize) -> Vec<Box<dyn Requests>> {
    let party = |connection: usize| Patched {
        next: connection as u64 * 31,
        ..check(path, among)
    };
    (0..connections)
        .map(|it| Box::new(party(it)) as Box<dyn Requests>)
        .collect()
}

/// The same of one of several senders that go through the customers in order, together.
pub fn checks_in_order(path: &str, among: usize, sender: usize, senders: usize) -> Patched {
    check(path, among).in_order(sender, senders)
}

fn check(path: &str, among: usize) -> Patched {
    let variables = json!({ "customer": external_id(0), "metric": METRIC });
    let request = post(path, KEY, &graphql(CHECK, &variables));
    Patched {
        expect: Some("\"allowed\":true".to_owned()),
        ..Patched::of(&request, among)
    }
}

/// The same as a gateway asks without a document, one value per connection.
pub fn gates(path: &str, connections: usize, among: usize) -> Vec<Box<dyn Requests>> {
    let request = format!(
        "GET {path}?customer={}&metric={METRIC} HTTP/1.1\r\nHost: localhost\r\nX-Tallygate-Key: {KEY}\r\n\r\n",
        external_id(0)
    );
    let party = |connection: usize| Patched {
        next: connection as u64 * 31,
        ..Patched::of(request.as_bytes(), among)
    };
    (0..connections)
        .map(|it| Box::new(party(it)) as Box<dyn Requests>)
        .collect()
}

impl Patched {
    fn of(request: &[u8], among: usize) -> Self {
        Self {
            keys: places(request, &format!("-{:0KEY_DIGITS$}\"", 0), 1),
            customers: places(request, &external_id(0), external_id(0).len() - CUSTOMER_DIGITS),
            bytes: request.to_vec(),
            among: among as u64,
            stride: STRIDE,
            next: 0,
            step: 1,
            expect: None,
            counts: 1,
        }
    }
}

impl Patched {
    /// One of several senders that go through the customers in order, together.
    fn in_order(self, sender: usize, senders: usize) -> Self {
        Self {
            stride: 1,
            next: sender as u64,
            step: senders as u64,
            ..self
        }
    }

    /// The next request, and the numbers of the customers in it.
    pub fn next_of(&mut self) -> (&[u8], Vec<usize>) {
        let customers = (0..self.customers.len())
            .map(|index| self.customer(index) as usize)
            .collect();
        (self.next(), customers)
    }

    /// The customer in a place of the next request.
    fn customer(&self, index: usize) -> u64 {
        (self.next * self.customers.len() as u64 + index as u64) * self.stride % self.among
    }
}

impl Requests for Patched {
    fn next(&mut self) -> &[u8] {
        for &place in &self.keys {
            write_digits(&mut self.bytes[place..place + KEY_DIGITS], self.next);
        }
        for index in 0..self.customers.len() {
            let (place, number) = (self.customers[index], self.customer(index));
            write_digits(&mut self.bytes[place..place + CUSTOMER_DIGITS], number);
        }
        self.next += self.step;
        &self.bytes
    }

    fn count(&mut self, body: &[u8]) -> Result<u64, String> {
        let head = &body[..body.len().min(MARGIN)];
        let tail = &body[body.len().saturating_sub(MARGIN)..];
        match &self.expect {
            Some(text)
                if [head, tail]
                    .iter()
                    .all(|part| find(part, text.as_bytes()).is_none()) =>
            {
                Err(format!(
                    "no {text} in {} … {}",
                    String::from_utf8_lossy(head),
                    String::from_utf8_lossy(tail)
                ))
            }
            _ => Ok(self.counts),
        }
    }
}

/// So many bytes behind every place where a text begins.
fn places(bytes: &[u8], text: &str, behind: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(place) = find(&bytes[from..], text.as_bytes()) {
        found.push(from + place + behind);
        from += place + 1;
    }
    found
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_change() {
        let mut party = recordings("/graphql", 2, 3, 10, true).remove(1);
        let first = String::from_utf8(party.next().to_vec()).unwrap();
        let second = String::from_utf8(party.next().to_vec()).unwrap();
        assert_eq!(first.len(), second.len());
        for (text, number) in [(&first, 1), (&second, 2)] {
            assert_eq!(text.matches(&format!("-{number:012}\"")).count(), 3, "{text}");
        }
        let customers = |text: &str| -> Vec<String> {
            let parts = text.split("\"customer-").skip(1);
            parts.map(|part| part[..7].to_owned()).collect()
        };
        assert_eq!(customers(&first), ["000007\"", "000006\"", "000005\""]);
        assert_eq!(customers(&second).len(), 3);
        assert_ne!(customers(&first), customers(&second));
    }

    #[test]
    fn senders_in_order_share_the_customers() {
        let mut senders: Vec<Patched> = (0..2)
            .map(|sender| recordings_in_order(3, 12, sender, 2))
            .collect();
        let mut seen = Vec::new();
        for _ in 0..2 {
            for sender in &mut senders {
                seen.extend(sender.next_of().1);
            }
        }
        assert_eq!(seen, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn an_answer_without_what_was_asked_for_does_not_count() {
        let mut party = recordings("/graphql", 1, 5, 10, true).remove(0);
        assert_eq!(party.count(br#"{"acceptedCount":5}"#), Ok(5));
        assert!(party.count(br#"{"acceptedCount":4}"#).is_err());
    }
}
