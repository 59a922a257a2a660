//! Metrics of OpenTelemetry.

use std::collections::BTreeMap;
use std::future::ready;
use std::time::Duration;

use chappe::{BoxError, Message, Topic};
use chappe_memory::MemoryQueue;
use chappe_middleware::metrics::name::*;
use chappe_middleware::metrics::{MeasurePublishLayer, MeasureReceiveLayer};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use tower::{Layer, Service, service_fn};

use crate::support::*;

struct Metrics {
    exporter: InMemoryMetricExporter,
    provider: SdkMeterProvider,
}

/// A metric as it was exported: its unit, and a value for each set of labels.
#[derive(Debug, Default, PartialEq)]
struct Exported {
    unit: String,
    points: Vec<(BTreeMap<String, String>, f64)>,
}

impl Metrics {
    fn new() -> Self {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).with_interval(Duration::from_secs(3600)).build();
        Self { exporter, provider: SdkMeterProvider::builder().with_reader(reader).build() }
    }

    /// Collects, and answers with what is exported now.
    fn collect(&self) -> BTreeMap<String, Exported> {
        self.exporter.reset();
        self.provider.force_flush().unwrap();
        let mut all = BTreeMap::new();
        for metrics in self.exporter.get_finished_metrics().unwrap() {
            for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
                let exported = Exported { unit: metric.unit().to_owned(), points: points(metric.data()) };
                all.insert(metric.name().to_owned(), exported);
            }
        }
        all
    }
}

/// Values of counters and gauges, counts of histograms.
fn points(data: &AggregatedMetrics) -> Vec<(BTreeMap<String, String>, f64)> {
    fn read<T: Copy>(data: &MetricData<T>, number: impl Fn(T) -> f64) -> Vec<(BTreeMap<String, String>, f64)> {
        match data {
            MetricData::Gauge(gauge) => {
                gauge.data_points().map(|point| (labels(point.attributes()), number(point.value()))).collect()
            }
            MetricData::Sum(sum) => {
                sum.data_points().map(|point| (labels(point.attributes()), number(point.value()))).collect()
            }
            MetricData::Histogram(histogram) => {
                histogram.data_points().map(|point| (labels(point.attributes()), point.count() as f64)).collect()
            }
            MetricData::ExponentialHistogram(_) => Vec::new(),
        }
    }
    match data {
        AggregatedMetrics::F64(data) => read(data, |value| value),
        AggregatedMetrics::U64(data) => read(data, |value| value as f64),
        AggregatedMetrics::I64(data) => read(data, |value| value as f64),
    }
}

fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> BTreeMap<String, String> {
    attributes.map(|attribute| (attribute.key.to_string(), attribute.value.to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn what_happens_over_a_queue_is_exported_under_the_names_and_units_of_the_conventions() {
    let metrics = Metrics::new();
    let meter = metrics.provider.meter("test");
    let queue = MemoryQueue::new("orders");
    let publish = MeasurePublishLayer::from_meter("memory", &meter).destination("orders");
    publish.layer(queue.topic()).publish("order 7").await.unwrap();
    let receive = MeasureReceiveLayer::from_meter("memory", &meter);
    let handler = service_fn(|message: Message| match message.attempt() {
        1 => ready(Err(BoxError::from("not yet"))),
        _ => ready(Ok(())),
    });

    serve(&queue, receive.layer(handler)).await;

    let exported = metrics.collect();
    let units: Vec<_> = exported.iter().map(|(name, metric)| (name.as_str(), metric.unit.as_str())).collect();
    let expected = [
        (PROCESS_ATTEMPTS, "{attempt}"),
        (PROCESS_IN_FLIGHT, "{message}"),
        (PROCESS_OLDEST_AGE, "s"),
        (PUBLISH_IN_FLIGHT, "{message}"),
        (PUBLISH_OLDEST_AGE, "s"),
        (CONSUMED_MESSAGES, "{message}"),
        (PUBLISH_DURATION, "s"),
        (SENT_MESSAGES, "{message}"),
        (PROCESS_DURATION, "s"),
    ];
    assert_eq!(units, {
        let mut expected = expected;
        expected.sort_unstable();
        expected
    });
    let consumed = &exported[CONSUMED_MESSAGES].points;
    let count = |outcome: &str| {
        let found = consumed.iter().find(|(labels, _)| labels["chappe.outcome"] == outcome);
        found.map(|(labels, count)| (labels.get("error.type").map(String::as_str), *count))
    };
    assert_eq!((count("ack"), count("retry")), (Some((None, 1.0)), Some((Some("_OTHER"), 1.0))));
    assert_eq!(exported[PROCESS_DURATION].points.iter().map(|(_, count)| count).sum::<f64>(), 2.0);
    let (labels, in_flight) = &exported[PROCESS_IN_FLIGHT].points[0];
    assert_eq!((labels["messaging.destination.name"].as_str(), *in_flight), ("orders", 0.0));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_looked_up_when_it_is_collected() {
    let metrics = Metrics::new();
    let layer = MeasureReceiveLayer::from_meter("memory", &metrics.provider.meter("test"));
    let mut receiver = layer.layer(service_fn(|_: Message| std::future::pending::<Result<(), BoxError>>()));

    let hanging = receiver.call(Message::new("x"));
    tokio::time::advance(Duration::from_secs(61)).await;
    let during = metrics.collect();
    drop(hanging);
    let after = metrics.collect();

    let value = |exported: &BTreeMap<String, Exported>, name: &str| exported[name].points[0].1;
    assert_eq!(value(&during, PROCESS_IN_FLIGHT), 1.0);
    assert_eq!(after.get(PROCESS_IN_FLIGHT).map(|metric| metric.points[0].1), Some(0.0));
    assert_eq!(value(&after, PROCESS_OLDEST_AGE), 0.0);
}
