use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::SystemTime,
};

use super::LoggerError;

/// Decides for each invocation whether it is logged at `DEBUG`.
#[derive(Clone)]
pub(super) struct Sampler {
    rate: f64,
    random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Sampler {
    pub(super) fn new(rate: f64) -> Result<Self, LoggerError> {
        if (0.0..=1.0).contains(&rate) {
            Ok(Self {
                rate,
                random: Arc::new(random),
            })
        } else {
            Err(LoggerError::SampleRate {
                value: rate.to_string(),
            })
        }
    }

    pub(super) fn parse(rate: &str) -> Result<Self, LoggerError> {
        let refused = |_| LoggerError::SampleRate {
            value: rate.to_owned(),
        };
        // As JSON has numbers: the standard library's own parser takes 15 KB of every function.
        let zero = if rate.starts_with('.') { "0" } else { "" };
        let number = serde_json::from_str(&format!("{zero}{rate}"));
        Self::new(number.map_err(refused)?)
    }

    pub(super) fn with_random(self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self {
            random: Arc::new(random),
            ..self
        }
    }

    pub(super) const fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn draw(&self) -> bool {
        (self.random)() < self.rate
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler")
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

/// Returns a number from 0 to below 1. The keys of the standard library's hash maps are random, and
/// that is as much chance as sampling needs. Environments that are restored from one snapshot have
/// the same keys, but not the same time.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
fn random() -> f64 {
    let bits = RandomState::new().hash_one(SystemTime::now()) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_from_0_to_1() {
        for wrong in ["-0.1", "1.1", "NaN", "inf", "half", ".", "1e999", ""] {
            let error = Sampler::parse(wrong).unwrap_err();
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
        for right in ["0", "1", "1.0", "0.25", ".25", "1e-3"] {
            assert!(Sampler::parse(right).is_ok(), "{right}");
        }
    }

    #[test]
    fn an_invocation_is_drawn_at_the_rate() {
        let sampler = Sampler::new(0.5).unwrap();
        assert!(sampler.clone().with_random(|| 0.49).draw());
        assert!(!sampler.with_random(|| 0.5).draw());
        assert!(Sampler::new(1.0).unwrap().with_random(|| 0.999_999).draw());
        assert!(!Sampler::new(0.0).unwrap().with_random(|| 0.0).draw());
    }

    #[test]
    fn chance_is_spread_evenly() {
        let draws = 10_000;
        let low = (0..draws).filter(|_| random() < 0.5).count();
        assert!((4_000..6_000).contains(&low), "{low}");
    }
}
