//! What operators are told of a process: where its figures are, and whether it is ready for work.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::process::{Process, until};

/// The address of the admin listener, as the log tells.
pub async fn admin(process: &Process) -> String {
    until("a process tells where its figures are", async || {
        let err = process.err();
        let (_, rest) = err.split_once("admin=")?;
        Some(format!("http://{}", rest.split_whitespace().next()?))
    })
    .await
}

/// What is answered to a `GET`: the status and the body; `None` when nothing is.
pub async fn get(url: &str) -> Option<(u16, String)> {
    let http = crate::harness::http()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let response = http.get(url).send().await.ok()?;
    Some((response.status().as_u16(), response.text().await.ok()?))
}

/// The status of readiness and the parts that are not fine.
pub async fn readiness(base: &str) -> Option<(u16, BTreeSet<String>)> {
    let (status, text) = get(&format!("{base}/readyz")).await?;
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["ready"], json!(status == 200));
    let checks = report["checks"].as_array().unwrap();
    let bad = checks.iter().filter(|check| check["ok"] == json!(false));
    Some((
        status,
        bad.map(|check| check["name"].as_str().unwrap().to_owned())
            .collect(),
    ))
}

/// Waits until a process is ready.
pub async fn until_ready(base: &str) {
    until(&format!("{base} is ready"), async || {
        (readiness(base).await?.0 == 200).then_some(())
    })
    .await;
}
