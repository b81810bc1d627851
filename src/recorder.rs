//! Where figures are kept between two scrapes: in memory, as Prometheus reads them.

use std::time::Duration;

use app::telemetry::{self, Kind};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

use crate::failure::{Failure, Outcome};

/// How often observations are folded into their buckets. Until then each takes 8 bytes.
const UPKEEP: Duration = Duration::from_secs(1);

/// The figures of this process.
#[derive(Clone)]
pub(crate) struct Recorder {
    figures: PrometheusHandle,
    process: Collector,
}

impl Recorder {
    /// Begins to keep figures. Once per process, within a Tokio runtime.
    ///
    /// # Errors
    /// Somebody keeps them already.
    pub(crate) fn install() -> Outcome<Self> {
        let mut builder = PrometheusBuilder::new();
        let refused = |error: &dyn std::fmt::Display| Failure::of("metrics cannot be kept", error);
        for metric in telemetry::ALL {
            let (name, buckets) = (metric.name.to_owned(), metric.kind.buckets());
            if !buckets.is_empty() {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(name), buckets)
                    .map_err(|error| refused(&error))?;
            }
        }
        let figures = builder.install_recorder().map_err(|error| refused(&error))?;
        let process = Collector::default();
        process.describe();
        describe();
        let upkeep = figures.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self { figures, process })
    }

    /// All figures in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        self.process.collect();
        self.figures.render()
    }
}

fn describe() {
    for metric in telemetry::ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Quick | Kind::Slow | Kind::Size => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}
