use std::time::Duration;

use super::Unit;

/// A number, or a [`Duration`] for a metric whose unit is one of time.
///
/// CloudWatch keeps every value as a 64-bit float; integers up to 2^53 are exact there, and an
/// `f32` keeps its value, which may have more digits: `0.1_f32` is 0.10000000149011612. A duration
/// is counted in the metric's unit, so 1.5 s are 1500 for [`Unit::Milliseconds`].
///
/// The trait is sealed.
pub trait Value: sealed::Sealed {}

mod sealed {
    use super::Unit;

    pub trait Sealed {
        /// Returns the number in `unit`, or `None` if it cannot be measured in it.
        fn in_unit(self, unit: Unit) -> Option<f64>;
    }
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Value for $number {}

        impl sealed::Sealed for $number {
            fn in_unit(self, _: Unit) -> Option<f64> {
                Some(self as f64)
            }
        }
    )+};
}

numbers!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64);

impl Value for Duration {}

impl sealed::Sealed for Duration {
    fn in_unit(self, unit: Unit) -> Option<f64> {
        let nanoseconds_per_unit = match unit {
            Unit::Seconds => 1e9,
            Unit::Milliseconds => 1e6,
            Unit::Microseconds => 1e3,
            _ => return None,
        };
        // One division of whole numbers: 7 ms are 7, not 7.000000000000001.
        Some(self.as_nanos() as f64 / nanoseconds_per_unit)
    }
}

#[cfg(test)]
mod tests {
    use super::{sealed::Sealed as _, *};

    #[test]
    fn numbers_of_every_kind_are_values() {
        let unit = Unit::Count;
        assert_eq!(1_u8.in_unit(unit), Some(1.0));
        assert_eq!((-7).in_unit(unit), Some(-7.0));
        assert_eq!(usize::MAX.in_unit(unit), Some(18_446_744_073_709_551_615.0));
        assert_eq!(0.5_f32.in_unit(unit), Some(0.5));
        assert_eq!(12.5.in_unit(unit), Some(12.5));
    }

    #[test]
    fn a_duration_is_counted_in_the_metrics_unit() {
        let duration = Duration::from_micros(1_234_567);
        assert_eq!(duration.in_unit(Unit::Seconds), Some(1.234567));
        assert_eq!(duration.in_unit(Unit::Milliseconds), Some(1234.567));
        assert_eq!(duration.in_unit(Unit::Microseconds), Some(1_234_567.0));
        assert_eq!(duration.in_unit(Unit::Count), None);
        assert_eq!(duration.in_unit(Unit::CountPerSecond), None);
    }
}
