use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{
    Timestamp,
    civil::{self, DateTime, Weekday},
    tz::{self, TimeZone},
};
use serde_json::{Map, Value};

use super::{
    problem::{Path, ProblemKind, Problems},
    schema::members_of,
    value::kind,
};

/// When a condition about the time holds, by the clock on the wall of its zone.
pub(super) struct Schedule {
    zone: TimeZone,
    when: When,
}

enum When {
    /// Whole minutes of the day, both inclusive. If the end is before the start, the night is between.
    Minutes { start: u16, end: u16 },
    /// Both inclusive.
    Between { start: DateTime, end: DateTime },
    /// From Monday to Sunday.
    Days([bool; 7]),
}

impl Schedule {
    /// Compiles `{"START": "09:00", "END": "17:00", "TIMEZONE": "Europe/Berlin"}`.
    pub(super) fn time_range(
        value: &Value,
        path: &Path<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        Self::compile(value, path, problems, |members, path, problems| {
            let mut minute = |name| problems.take(&path.member(name), minute(members.get(name)));
            let (start, end) = (minute("START"), minute("END"));
            Some(When::Minutes {
                start: start?,
                end: end?,
            })
        })
    }

    /// Compiles `{"START": "2026-11-23", "END": "2026-11-30T23:59:59", "TIMEZONE": "Europe/Berlin"}`.
    pub(super) fn date_time_range(
        value: &Value,
        path: &Path<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        Self::compile(value, path, problems, |members, path, problems| {
            let mut date_time = |name, is_end| {
                let read = text(members.get(name)).and_then(|text| date_time(text, is_end));
                problems.take(&path.member(name), read)
            };
            let (start, end) = (date_time("START", false), date_time("END", true));
            Some(When::Between {
                start: start?,
                end: end?,
            })
        })
    }

    /// Compiles `{"DAYS": ["SATURDAY", "SUNDAY"], "TIMEZONE": "Europe/Berlin"}`.
    pub(super) fn days_of_week(
        value: &Value,
        path: &Path<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        Self::compile(value, path, problems, |members, path, problems| {
            let path = path.member("DAYS");
            let names = problems.take(&path, names(members.get("DAYS")))?;
            let mut days = [false; 7];
            for (index, name) in names.iter().enumerate() {
                if let Some(day) = problems.take(&path.element(index), day(name)) {
                    days[day] = true;
                }
            }
            Some(When::Days(days))
        })
    }

    fn compile(
        value: &Value,
        path: &Path<'_>,
        problems: &mut Problems,
        when: impl FnOnce(&Map<String, Value>, &Path<'_>, &mut Problems) -> Option<When>,
    ) -> Option<Self> {
        let members = problems.take(path, members_of(value))?;
        let when = when(members, path, problems);
        let zone = problems.take(&path.member("TIMEZONE"), zone(members.get("TIMEZONE")));
        Some(Self {
            zone: zone?,
            when: when?,
        })
    }

    pub(super) fn holds(&self, now: SystemTime) -> bool {
        let now = self.zone.to_datetime(timestamp(now));
        match self.when {
            When::Minutes { start, end } => {
                let minute = 60 * u16::from(now.hour().unsigned_abs())
                    + u16::from(now.minute().unsigned_abs());
                if start <= end {
                    (start..=end).contains(&minute)
                } else {
                    minute >= start || minute <= end
                }
            }
            When::Between { start, end } => (start..=end).contains(&now),
            When::Days(days) => days[monday_zero(now.weekday())],
        }
    }
}

/// A time that is beyond the years that have a calendar is the last of them.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(if time < UNIX_EPOCH {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

fn monday_zero(day: Weekday) -> usize {
    usize::from(day.to_monday_zero_offset().unsigned_abs())
}

fn text(value: Option<&Value>) -> Result<&str, ProblemKind> {
    match value {
        None | Some(Value::Null) => Err(ProblemKind::Missing),
        Some(Value::String(text)) => Ok(text),
        Some(value) => Err(ProblemKind::WrongType {
            expected: "a string",
            found: kind(value),
        }),
    }
}

/// Reads `HH:MM` into minutes of the day.
fn minute(value: Option<&Value>) -> Result<u16, ProblemKind> {
    let read = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute) = (digits::<2>(hour)?, digits::<2>(minute)?);
        (hour < 24 && minute < 60).then_some(60 * hour + minute)
    };
    let minute = read(text(value)?).ok_or(ProblemKind::InvalidTime)?;
    u16::try_from(minute).map_err(|_| ProblemKind::InvalidTime)
}

/// Reads a date, or a date and time, of ISO 8601.
///
/// Such times count whole microseconds; an end is inclusive, so it goes on until the next one.
fn date_time(text: &str, is_end: bool) -> Result<DateTime, ProblemKind> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    if time.is_some_and(|time| time.contains(['Z', 'z', '+', '-'])) {
        return Err(ProblemKind::ZonedDateTime);
    }
    let read = || {
        let date = read_date(date)?;
        let (time, microseconds) = time.map_or(Some((civil::Time::midnight(), 0)), read_time)?;
        let nanoseconds = 1_000 * microseconds + if is_end { 999 } else { 0 };
        let time = time.with().subsec_nanosecond(nanoseconds).build().ok()?;
        Some(date.to_datetime(time))
    };
    read().ok_or(ProblemKind::InvalidDateTime)
}

/// Reads `2026-11-23` or `20261123`.
fn read_date(text: &str) -> Option<civil::Date> {
    let (year, month, day) = if text.contains('-') {
        let (year, rest) = text.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        (year, month, day)
    } else {
        (text.get(..4)?, text.get(4..6)?, text.get(6..)?)
    };
    let year = digits::<4>(year).filter(|year| *year != 0)?;
    let year = i16::try_from(year).ok()?;
    civil::Date::new(year, small(month)?, small(day)?).ok()
}

/// Reads `12:30`, `12:30:15` or `12:30:15.123456`, whose fraction may be longer, with or without the
/// colons; and returns the microseconds beside the rest.
fn read_time(text: &str) -> Option<(civil::Time, i32)> {
    let (text, fraction) = match text.split_once(['.', ',']) {
        Some((text, fraction)) => (text, Some(fraction)),
        None => (text, None),
    };
    let (hour, rest) = text.split_at_checked(2)?;
    let has_colons = rest.starts_with(':');
    let mut parts = [0; 2];
    let mut rest = rest;
    let mut count = 0;
    while !rest.is_empty() {
        if has_colons {
            rest = rest.strip_prefix(':')?;
        }
        let (part, after) = rest.split_at_checked(2)?;
        *parts.get_mut(count)? = small(part)?;
        count += 1;
        rest = after;
    }
    let microseconds = match fraction {
        Some(fraction) if count == 2 => read_fraction(fraction)?,
        Some(_) => return None,
        None => 0,
    };
    let time = civil::Time::new(small(hour)?, parts[0], parts[1], 0).ok()?;
    Some((time, microseconds))
}

/// Reads the first six digits of a fraction.
fn read_fraction(text: &str) -> Option<i32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = text.bytes().chain(std::iter::repeat(b'0')).take(6);
    Some(digits.fold(0, |number, digit| 10 * number + i32::from(digit - b'0')))
}

fn small(text: &str) -> Option<i8> {
    i8::try_from(digits::<2>(text)?).ok()
}

/// Reads exactly so many digits.
fn digits<const COUNT: usize>(text: &str) -> Option<u32> {
    let is_number = text.len() == COUNT && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn names(value: Option<&Value>) -> Result<&[Value], ProblemKind> {
    match value {
        None | Some(Value::Null) => Err(ProblemKind::Missing),
        Some(Value::Array(names)) => Ok(names),
        Some(value) => Err(ProblemKind::WrongType {
            expected: "an array",
            found: kind(value),
        }),
    }
}

/// Reads the name of a day; the week starts on Monday with 0.
fn day(value: &Value) -> Result<usize, ProblemKind> {
    const DAYS: [&str; 7] = [
        "MONDAY",
        "TUESDAY",
        "WEDNESDAY",
        "THURSDAY",
        "FRIDAY",
        "SATURDAY",
        "SUNDAY",
    ];
    let name = text(Some(value))?;
    let day = DAYS.iter().position(|day| *day == name);
    day.ok_or_else(|| ProblemKind::unknown_day(name))
}

/// Finds a zone by its name as the database spells it. Without a name, or with an empty one, it is UTC.
fn zone(value: Option<&Value>) -> Result<TimeZone, ProblemKind> {
    let name = match value {
        None | Some(Value::Null) => return Ok(TimeZone::UTC),
        value => text(value)?,
    };
    if name.is_empty() || name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    match TimeZone::get(name) {
        Ok(zone) if zone.iana_name() == Some(name) => Ok(zone),
        Err(_) if tz::db().is_definitively_empty() => Err(ProblemKind::no_time_zone_database(name)),
        Ok(_) | Err(_) => Err(ProblemKind::unknown_time_zone(name)),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn start(text: &str) -> Result<DateTime, ProblemKind> {
        date_time(text, false)
    }

    #[test]
    fn a_date_is_its_midnight_and_a_time_may_lack_its_end() {
        let noon = date(2026, 11, 23).at(12, 0, 0, 0);
        for (text, expected) in [
            ("2026-11-23", date(2026, 11, 23).at(0, 0, 0, 0)),
            ("2026-11-23T12:00:00", noon),
            ("2026-11-23 12:00:00", noon),
            ("2026-11-23T12:00", noon),
            ("2026-11-23T12", noon),
            ("20261123T120000", noon),
            ("2024-02-29", date(2024, 2, 29).at(0, 0, 0, 0)),
            ("0001-01-01", date(1, 1, 1).at(0, 0, 0, 0)),
            ("2026-11-23T23:59:59", date(2026, 11, 23).at(23, 59, 59, 0)),
        ] {
            assert_eq!(start(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_fraction_counts_to_the_microsecond_and_an_end_until_the_next() {
        let at = |nanosecond| Ok(date(2026, 11, 23).at(12, 0, 0, nanosecond));
        assert_eq!(start("2026-11-23T12:00:00.5"), at(500_000_000));
        assert_eq!(start("2026-11-23T12:00:00,123456"), at(123_456_000));
        assert_eq!(start("2026-11-23T12:00:00.123456789012"), at(123_456_000));
        assert_eq!(date_time("2026-11-23T12:00:00.000001", true), at(1_999));
    }

    #[test]
    fn what_is_no_date_or_has_a_zone_is_refused() {
        for text in [
            "",
            "soon",
            "2026-13-01",
            "2026-02-29",
            "2026-00-10",
            "0000-01-01",
            "2026-1-1",
            "2026-11",
            "26-11-23",
            "2026/11/23",
            "202611-23",
            "2026-11-23T",
            "2026-11-23T1:00",
            "2026-11-23T12:0",
            "2026-11-23T24:00",
            "2026-11-23T12:60",
            "2026-11-23T23:59:60",
            "2026-11-23T12:00:00.",
            "2026-11-23T12:00:00.5x",
            "2026-11-23T12:00.5",
            "2026-11-23T12:0000",
            "2026-11-23T1200:00",
            "2026-11-23T12:00:00:00",
            "2026-11-23T12:00:0é",
            "2026-11-2éT12:00",
            "2026-W48-1",
        ] {
            assert_eq!(start(text), Err(ProblemKind::InvalidDateTime), "{text}");
        }
        for text in [
            "2026-11-23T12:00:00Z",
            "2026-11-23T12:00:00+00:00",
            "2026-11-23 12:00-05:00",
        ] {
            assert_eq!(start(text), Err(ProblemKind::ZonedDateTime), "{text}");
        }
    }

    #[test]
    fn a_time_has_exactly_two_digits_each() {
        let read = |text: &str| minute(Some(&text.into()));
        assert_eq!(read("00:00"), Ok(0));
        assert_eq!(read("09:05"), Ok(545));
        assert_eq!(read("23:59"), Ok(1_439));
        for text in [
            "",
            "9:00",
            "09:0",
            "24:00",
            "09:60",
            "09:00:00",
            "0900",
            " 9:00",
            "+9:00",
            "٠٩:٠٠",
        ] {
            assert_eq!(read(text), Err(ProblemKind::InvalidTime), "{text}");
        }
    }

    #[test]
    fn a_zone_is_named_as_the_database_spells_it() {
        for name in ["UTC", "", "Europe/Berlin", "Etc/GMT+5", "US/Pacific"] {
            assert!(zone(Some(&name.into())).is_ok(), "{name}");
        }
        assert_eq!(zone(None), Ok(TimeZone::UTC));
        assert_eq!(zone(Some(&Value::Null)), Ok(TimeZone::UTC));
        for name in [
            "europe/berlin",
            "utc",
            "Mars/Olympus",
            "+02:00",
            "Europe",
            "../UTC",
            "EST5EDT,M3.2.0,M11.1.0",
        ] {
            let problem = zone(Some(&name.into())).unwrap_err();
            assert_eq!(problem, ProblemKind::unknown_time_zone(name));
        }
    }

    #[test]
    fn a_clock_that_is_beyond_the_calendar_is_at_its_end() {
        let far = std::time::Duration::from_secs(1 << 62);
        assert_eq!(timestamp(UNIX_EPOCH + far), Timestamp::MAX);
        assert_eq!(timestamp(UNIX_EPOCH - far), Timestamp::MIN);
    }
}
