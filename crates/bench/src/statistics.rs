//! What is said of many samples in few numbers.

use serde::Serialize;

/// Some samples' spread, in the samples' unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub samples: usize,
    pub p10: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let at = |percent| percentile(&samples, percent);
        Some(Self { samples: samples.len(), p10: at(10)?, p50: at(50)?, p90: at(90)?, p99: at(99)? })
    }
}

/// The nearest rank: the least sample that so many percent of all are not above. `sorted` is in ascending order.
pub fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_sample_of_the_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        let at = |percent| percentile(&hundred, percent).unwrap();
        assert_eq!([at(0), at(1), at(50), at(99), at(100)], [1.0, 1.0, 50.0, 99.0, 100.0]);
        assert_eq!(percentile(&[3.0], 99), Some(3.0));
        assert_eq!(percentile(&[1.0, 2.0], 50), Some(1.0));
        assert_eq!(percentile(&[1.0, 2.0], 51), Some(2.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn the_order_of_samples_does_not_matter() {
        let spread = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!((spread.samples, spread.p10, spread.p50, spread.p90), (5, 1.0, 3.0, 5.0));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
