//! A node's metrics, as Prometheus would read them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::rpc::get;

/// One reading.
#[derive(Clone, Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads what is told at an address.
    ///
    /// # Panics
    /// If it is not in the OpenMetrics text format.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        let answer = get(address, "/metrics").expect("an answer");
        let text = String::from_utf8(answer.body).expect("text");
        assert_eq!(answer.status, 200, "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
        });
        Self(samples.collect())
    }

    /// The value of a series, `name` or `name{label="value"}`.
    #[must_use]
    pub fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The value of a series that there must be.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn expect(&self, series: &str) -> f64 {
        self.get(series).unwrap_or_else(|| panic!("{series} is not among {:#?}", self.0.keys()))
    }

    /// All names, without labels.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.0.keys().filter_map(|series| series.split('{').next()).collect()
    }

    /// All names of labels.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<&str> {
        let labels = self.0.keys().filter_map(|series| Some(series.split_once('{')?.1.trim_end_matches('}')));
        labels.flat_map(|labels| labels.split(',')).filter_map(|label| Some(label.split_once('=')?.0)).collect()
    }
}
