use std::io::Write as _;

use serde_json::Value;

use super::{
    problem::{Path, ProblemKind, Problems},
    schema::members_of,
    value::{Number, kind},
};

/// How many places there are in the order in which a rollout takes the values in.
const PLACES: f64 = 4_294_967_296.0;

/// The values that a rollout to a percentage has taken in so far.
pub(super) struct Rollout {
    salt: String,
    /// The places below this one are in.
    places: u64,
}

impl Rollout {
    /// Compiles `{"PERCENTAGE": 12.5, "SALT": "…"}`; without a salt, the flag's name is it.
    pub(super) fn compile(
        value: &Value,
        flag: &str,
        path: &Path<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let members = problems.take(path, members_of(value))?;
        let percentage = percentage(members.get("PERCENTAGE"));
        let percentage = problems.take(&path.member("PERCENTAGE"), percentage);
        let salt = salt(members.get("SALT"), flag);
        let salt = problems.take(&path.member("SALT"), salt);
        Some(Self {
            salt: salt?.to_owned(),
            places: (percentage? / 100.0 * PLACES).ceil() as u64,
        })
    }

    /// `None` for what has no text of its own: rollouts are about ids, which are strings or whole numbers.
    pub(super) fn includes(&self, value: &Value) -> Option<bool> {
        match value {
            Value::String(text) => Some(self.is_in(text.as_bytes())),
            Value::Number(number) => {
                // As many as the longest number has, -9223372036854775808 and 18446744073709551615.
                let mut digits = [0; 20];
                let mut rest = &mut digits[..];
                write!(rest, "{}", Number::of(number)?.whole()?).ok()?;
                let length = 20 - rest.len();
                Some(self.is_in(&digits[..length]))
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        let salt = self.salt.as_bytes();
        u64::from(murmur3(salt.iter().chain(b":").chain(text))) < self.places
    }
}

fn percentage(value: Option<&Value>) -> Result<f64, ProblemKind> {
    let value = value
        .filter(|it| !it.is_null())
        .ok_or(ProblemKind::Missing)?;
    let percentage = value.as_f64().ok_or(ProblemKind::WrongType {
        expected: "a number",
        found: kind(value),
    })?;
    if (0.0..=100.0).contains(&percentage) {
        Ok(percentage)
    } else {
        Err(ProblemKind::InvalidPercentage)
    }
}

fn salt<'a>(value: Option<&'a Value>, flag: &'a str) -> Result<&'a str, ProblemKind> {
    match value {
        None | Some(Value::Null) => Ok(flag),
        Some(Value::String(salt)) => Ok(salt),
        Some(value) => Err(ProblemKind::WrongType {
            expected: "a string",
            found: kind(value),
        }),
    }
}

/// MurmurHash3 of 32 bits, seed 0.
///
/// Source: <https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp>
fn murmur3<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u32 {
    let (mut hash, mut length, mut block) = (0_u32, 0_u32, 0_u32);
    for byte in bytes {
        block |= u32::from(*byte) << (8 * (length % 4));
        length = length.wrapping_add(1);
        if length % 4 == 0 {
            hash = (hash ^ scrambled(block))
                .rotate_left(13)
                .wrapping_mul(5)
                .wrapping_add(0xe654_6b64);
            block = 0;
        }
    }
    hash ^= scrambled(block) ^ length;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

fn scrambled(block: u32) -> u32 {
    let block = block.wrapping_mul(0xcc9e_2d51).rotate_left(15);
    block.wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rollout(value: &Value) -> Rollout {
        let mut problems = Problems::default();
        let rollout = Rollout::compile(value, "new-checkout", &Path::Root, &mut problems);
        rollout.unwrap()
    }

    fn place(salted: &str) -> u32 {
        murmur3(salted.as_bytes())
    }

    /// Computed by another implementation.
    #[test]
    fn places_are_those_of_murmur3() {
        for (text, hash) in [
            ("", 0),
            ("a", 1_009_084_850),
            ("ab", 2_613_040_991),
            ("abc", 3_017_643_002),
            ("abcd", 1_139_631_978),
            ("hello", 613_153_351),
            ("The quick brown fox jumps over the lazy dog", 776_992_547),
            ("new-checkout:user-1", 2_230_340_631),
            ("new-checkout:4711", 2_762_581_525),
            ("new-checkout:-1", 1_692_662_244),
            ("new-checkout:zoë", 3_407_317_260),
            ("new-checkout:18446744073709551615", 202_692_884),
        ] {
            assert_eq!(place(text), hash, "{text}");
        }
    }

    #[test]
    fn a_value_is_in_as_soon_as_the_percentage_is_above_its_place() {
        // The place of user-1 is at 51.929 %, that of user-8 at 0.84 %.
        let half = rollout(&json!({"PERCENTAGE": 50}));
        let more = rollout(&json!({"PERCENTAGE": 52.0}));
        assert_eq!(half.includes(&json!("user-1")), Some(false));
        assert_eq!(more.includes(&json!("user-1")), Some(true));
        assert_eq!(half.includes(&json!("user-8")), Some(true));
    }

    #[test]
    fn a_place_is_in_from_just_above_its_own_percentage_on() {
        let place = f64::from(place("s:x"));
        let at = |places: f64| {
            let percentage = places / PLACES * 100.0;
            rollout(&json!({"PERCENTAGE": percentage, "SALT": "s"})).includes(&json!("x"))
        };
        assert_eq!(at(place - 0.5), Some(false));
        assert_eq!(at(place + 0.5), Some(true));
    }

    #[test]
    fn nobody_is_in_at_0_and_everybody_at_100() {
        let nobody = rollout(&json!({"PERCENTAGE": 0}));
        let everybody = rollout(&json!({"PERCENTAGE": 100}));
        for user in 0..1_000 {
            assert_eq!(nobody.includes(&json!(user)), Some(false));
            assert_eq!(everybody.includes(&json!(user)), Some(true));
        }
        assert_eq!(everybody.places, 1 << 32);
    }

    #[test]
    fn whole_numbers_count_as_their_digits_and_nothing_else_has_a_place() {
        let rollout = rollout(&json!({"PERCENTAGE": 5, "SALT": "new-checkout"}));
        let (longest, lowest) = (json!(u64::MAX), json!(i64::MIN));
        assert_eq!(rollout.includes(&longest), Some(true));
        assert_eq!(
            rollout.includes(&longest),
            rollout.includes(&json!("18446744073709551615"))
        );
        assert_eq!(
            rollout.includes(&lowest),
            rollout.includes(&json!("-9223372036854775808"))
        );
        assert_eq!(
            rollout.includes(&json!(4711.0)),
            rollout.includes(&json!("4711"))
        );
        for value in [
            json!(1.5),
            json!(1e300),
            json!(true),
            json!(null),
            json!(["a"]),
        ] {
            assert_eq!(rollout.includes(&value), None, "{value}");
        }
    }

    #[test]
    fn a_salt_draws_the_places_anew() {
        let value = |salt| json!({"PERCENTAGE": 50, "SALT": salt});
        let (a, b) = (rollout(&value("a")), rollout(&value("b")));
        let same = (0..1_000).filter(|user| a.includes(&json!(user)) == b.includes(&json!(user)));
        assert!((400..600).contains(&same.count()));
    }

    proptest! {
        #[test]
        fn growing_never_drops_anybody(user in ".*", low in 0.0..=100.0_f64, high in 0.0..=100.0_f64) {
            let (low, high) = (low.min(high), low.max(high));
            let user = json!(user);
            let before = rollout(&json!({"PERCENTAGE": low})).includes(&user);
            let after = rollout(&json!({"PERCENTAGE": high})).includes(&user);
            prop_assert!(before <= after);
        }

        #[test]
        fn about_as_many_are_in_as_the_percentage_says(percentage in 0.0..=100.0_f64, salt in "[a-z]{1,9}") {
            const USERS: u32 = 4_000;
            let rollout = rollout(&json!({"PERCENTAGE": percentage, "SALT": salt}));
            let is_in = |user: &u32| rollout.includes(&json!(format!("user-{user}"))) == Some(true);
            let share = f64::from(u32::try_from((0..USERS).filter(is_in).count()).unwrap()) / f64::from(USERS);
            // Six standard deviations at least: sqrt(0.25 / 4000) is 0.0079.
            prop_assert!((share - percentage / 100.0).abs() < 0.048, "{share} of {percentage}");
        }
    }
}
