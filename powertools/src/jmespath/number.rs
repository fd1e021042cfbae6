use std::cmp::Ordering;

use serde::{Serialize, Serializer};

/// The whole numbers that are kept as such: what `i64` and `u64` hold.
const MIN: i128 = i64::MIN as i128;
const MAX: i128 = u64::MAX as i128;

/// A number of JSON: exact if it is whole and within 64 bits, otherwise the nearest `f64`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// Between `MIN` and `MAX`.
    Int(i128),
    /// Always finite.
    Float(f64),
}

impl Number {
    /// Reads a number of JSON; `None` if it is none, or beyond what an `f64` can say.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_whole = !text.contains(['.', 'e', 'E']);
        match text.parse() {
            Ok(value) if is_whole => Some(Self::int(value)),
            _ => Self::float(text.parse().ok()?),
        }
    }

    pub(super) fn int(value: i128) -> Self {
        if (MIN..=MAX).contains(&value) {
            Self::Int(value)
        } else {
            Self::Float(value as f64)
        }
    }

    pub(super) fn float(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Float(value))
    }

    /// Makes a float without a fraction a whole number, as far as those go.
    fn whole(value: f64) -> Self {
        if value >= MIN as f64 && value < MAX as f64 {
            Self::Int(value as i128)
        } else {
            Self::Float(value)
        }
    }

    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    pub(super) fn abs(self) -> Self {
        match self {
            Self::Int(value) => Self::int(value.abs()),
            Self::Float(value) => Self::Float(value.abs()),
        }
    }

    pub(super) fn ceil(self) -> Self {
        match self {
            Self::Int(_) => self,
            Self::Float(value) => Self::whole(value.ceil()),
        }
    }

    pub(super) fn floor(self) -> Self {
        match self {
            Self::Int(_) => self,
            Self::Float(value) => Self::whole(value.floor()),
        }
    }

    /// `None` if the sum is beyond what an `f64` can say.
    pub(super) fn add(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(Self::int(a + b)),
            (a, b) => Self::float(a.as_f64() + b.as_f64()),
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By value, and exactly so: 2^53 + 1 is another number than the float 2^53.
impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (*self, *other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => floats(a, b),
            (Self::Int(a), Self::Float(b)) => mixed(a, b),
            (Self::Float(a), Self::Int(b)) => mixed(b, a).reverse(),
        }
    }
}

fn floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

fn mixed(a: i128, b: f64) -> Ordering {
    // A float beyond the range saturates there, which compares right with anything within 64 bits.
    a.cmp(&(b.trunc() as i128))
        .then_with(|| floats(0.0, b.fract()))
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Float(value) => serializer.serialize_f64(value),
            Self::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                _ => serializer.serialize_f64(value as f64),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    fn text(number: Number) -> String {
        serde_json::to_string(&number).unwrap()
    }

    #[test]
    fn no_number_is_what_an_f64_cannot_say() {
        for text in ["1e999", "-1e999", "", "-", "inf", "NaN", "0x10"] {
            assert!(Number::parse(text).is_none_or(|n| n.as_f64().is_finite()));
        }
        assert!(Number::parse("1e999").is_none());
        assert!(number("1e308").add(number("1e308")).is_none());
    }

    #[test]
    fn whole_numbers_within_64_bits_are_exact() {
        for whole in [
            "-9223372036854775808",
            "18446744073709551615",
            "9007199254740993",
            "0",
        ] {
            assert_eq!(text(number(whole)), whole);
        }
        assert_eq!(
            text(number("18446744073709551616")),
            "1.8446744073709552e+19"
        );
        assert_eq!(text(number("-0")), "0");
        assert_eq!(text(number("1.0")), "1.0");
    }

    #[test]
    fn whole_numbers_and_floats_compare_by_value() {
        assert_eq!(number("1"), number("1.0"));
        assert_eq!(number("-0.0"), number("0"));
        assert!(number("9007199254740993") > number("9007199254740992.0"));
        assert!(number("18446744073709551615") < number("18446744073709551616"));
        assert!(number("-9223372036854775808") > number("-1e30"));
        assert!(number("-2") < number("-1.5"));
        assert!(number("-1") > number("-1.5"));
    }

    #[test]
    fn rounding_gives_whole_numbers() {
        assert_eq!(text(number("1.2").ceil()), "2");
        assert_eq!(text(number("-1.2").floor()), "-2");
        assert_eq!(text(number("1e300").floor()), "1e+300");
        assert_eq!(
            text(number("-9223372036854775808").abs()),
            "9223372036854775808"
        );
        assert_eq!(text(number("-1.5").abs()), "1.5");
    }

    proptest! {
        #[test]
        fn a_float_is_read_to_the_nearest(value in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
            let read = number(&format!("{value:e}"));
            prop_assert_eq!(read.as_f64().to_bits(), value.to_bits());
        }

        #[test]
        fn order_is_that_of_the_values(a in any::<i32>(), b in -1e10..1e10_f64) {
            let (int, float) = (Number::Int(a.into()), Number::Float(b));
            prop_assert_eq!(int.cmp(&float), f64::from(a).partial_cmp(&b).unwrap());
            prop_assert_eq!(float.cmp(&int), int.cmp(&float).reverse());
        }
    }
}
