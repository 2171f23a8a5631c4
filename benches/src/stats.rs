//! Percentiles and medians.

use serde::Serialize;

/// What is reported about a set of durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LatencyMs {
    /// Half of the samples are at most this.
    pub p50: f64,
    /// 95 of 100 samples are at most this.
    pub p95: f64,
    /// 99 of 100 samples are at most this.
    pub p99: f64,
    /// The largest sample.
    pub max: f64,
}

impl LatencyMs {
    /// Summarises samples in microseconds; all zero when there are none.
    #[must_use]
    pub fn from_samples_us(mut samples_us: Vec<u32>) -> Self {
        samples_us.sort_unstable();
        let at = |percent: usize| {
            let rank = (samples_us.len() * percent).div_ceil(100);
            samples_us.get(rank.saturating_sub(1)).map_or(0.0, |us| f64::from(*us) / 1000.0)
        };
        Self { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

/// The mean; NaN for none. Of turns that the machine's moods hit at random, it wavers less than a ratio of medians.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The median; the mean of the two middle values for an even count; NaN for none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_none_is_no_number() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]), 3.0);
        assert!(mean(&[]).is_nan());
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let samples: Vec<u32> = (1..=200).rev().map(|i| i * 1000).collect();
        let latency = LatencyMs::from_samples_us(samples);
        assert_eq!(latency.p50, 100.0);
        assert_eq!(latency.p95, 190.0);
        assert_eq!(latency.p99, 198.0);
        assert_eq!(latency.max, 200.0);
        assert_eq!(LatencyMs::from_samples_us(vec![]), LatencyMs::default());
        assert_eq!(LatencyMs::from_samples_us(vec![1500]).p99, 1.5);
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
