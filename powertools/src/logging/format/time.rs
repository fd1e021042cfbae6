use std::{
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::logging::LoggerError;

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::logging) enum TimeStyle {
    /// RFC 3339 with milliseconds, which Lambda's log filter asks for.
    #[default]
    Rfc3339,
    /// As Powertools for Python does by default: `2026-11-23 06:58:19,084+0000`.
    Python,
}

/// The last second of the year 9999: later ones are not written with four digits.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// The time zone of the times in lines; UTC unless it is set.
#[derive(Clone, Debug, Default)]
pub(in crate::logging) enum Zone {
    #[default]
    Utc,
    /// Always so many seconds ahead of UTC.
    Fixed(i32),
    #[cfg(feature = "logging-time-zone")]
    Named(jiff::tz::TimeZone),
}

impl Zone {
    /// Finds a zone by its name, or makes one of an offset.
    pub(in crate::logging) fn new(name: &str) -> Result<Self, LoggerError> {
        if name.eq_ignore_ascii_case("UTC") || name == "Z" {
            return Ok(Self::Utc);
        }
        match offset(name) {
            Some(seconds) => Ok(Self::Fixed(seconds)),
            None => Self::named(name),
        }
    }

    #[cfg(feature = "logging-time-zone")]
    fn named(name: &str) -> Result<Self, LoggerError> {
        match jiff::tz::TimeZone::get(name) {
            Ok(zone) => Ok(Self::Named(zone)),
            Err(source) => Err(LoggerError::TimeZone {
                name: name.to_owned(),
                source: source.into(),
            }),
        }
    }

    #[cfg(not(feature = "logging-time-zone"))]
    fn named(name: &str) -> Result<Self, LoggerError> {
        Err(LoggerError::TimeZone {
            name: name.to_owned(),
            source: "names of time zones take the feature `logging-time-zone`".into(),
        })
    }

    /// Returns how many seconds the zone is ahead of UTC then.
    #[cfg_attr(
        not(feature = "logging-time-zone"),
        expect(unused_variables, reason = "an offset is always the same")
    )]
    fn offset(&self, time: SystemTime) -> i32 {
        match self {
            Self::Utc => 0,
            Self::Fixed(seconds) => *seconds,
            #[cfg(feature = "logging-time-zone")]
            Self::Named(zone) => {
                // A time that is out of its range has been cut off to the year 9999.
                let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX);
                zone.to_offset(time).seconds()
            }
        }
    }

    /// Appends a time as a JSON string.
    pub(in crate::logging) fn write(&self, style: TimeStyle, time: SystemTime, line: &mut Vec<u8>) {
        let time = time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST);
        let offset = self.offset(time);
        let ahead = Duration::from_secs(u64::from(offset.unsigned_abs()));
        let local = if offset < 0 {
            time - ahead
        } else {
            time + ahead
        };
        let local = local.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST);

        line.push(b'"');
        let start = line.len();
        // A `Vec` takes whatever is written, and the time is one that can be.
        let _ = write!(line, "{}", humantime::format_rfc3339_millis(local));
        // It is always of the form `2026-11-23T06:58:19.081Z`.
        if style == TimeStyle::Python
            && let Some([_, _, _, _, _, _, _, _, _, _, t, .., point, _, _, _, _]) =
                line.get_mut(start..)
        {
            (*t, *point) = (b' ', b',');
        }
        let colon = match (style, self) {
            (TimeStyle::Rfc3339, Self::Utc) => None,
            (TimeStyle::Rfc3339, _) => Some(":"),
            (TimeStyle::Python, _) => Some(""),
        };
        if let Some(colon) = colon {
            line.pop();
            let sign = if offset < 0 { '-' } else { '+' };
            let minutes = offset.unsigned_abs() / 60;
            let _ = write!(line, "{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60);
        }
        line.push(b'"');
    }
}

/// Reads `+02:00` or `-0530`, in seconds.
fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits: Vec<i32> = digits
        .chars()
        .filter(|it| *it != ':')
        .map(|it| it.to_digit(10).and_then(|digit| i32::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let [h1, h0, m1, m0] = digits[..] else {
        return None;
    };
    let (hours, minutes) = (10 * h1 + h0, 10 * m1 + m0);
    // One day is more than any place on earth is ahead.
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(zone: &Zone, style: TimeStyle) -> String {
        let time: jiff::Timestamp = "2026-11-23T06:58:19.0814Z".parse().unwrap();
        written_at(zone, style, time.into())
    }

    fn written_at(zone: &Zone, style: TimeStyle, time: SystemTime) -> String {
        let mut line = Vec::new();
        zone.write(style, time, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_time_has_milliseconds_and_an_offset() {
        assert_eq!(
            written(&Zone::default(), TimeStyle::Rfc3339),
            r#""2026-11-23T06:58:19.081Z""#
        );
        let zone = Zone::new("+05:30").unwrap();
        assert_eq!(
            written(&zone, TimeStyle::Rfc3339),
            r#""2026-11-23T12:28:19.081+05:30""#
        );
        let zone = Zone::new("-0800").unwrap();
        assert_eq!(
            written(&zone, TimeStyle::Rfc3339),
            r#""2026-11-22T22:58:19.081-08:00""#
        );
    }

    #[test]
    fn the_python_form_has_a_comma() {
        assert_eq!(
            written(&Zone::default(), TimeStyle::Python),
            r#""2026-11-23 06:58:19,081+0000""#
        );
    }

    #[test]
    fn a_clock_that_is_far_off_is_cut_off() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        let after = UNIX_EPOCH + Duration::from_secs(400_000_000_000);
        for zone in ["UTC", "-0800", "+0530"] {
            let zone = Zone::new(zone).unwrap();
            let early = written_at(&zone, TimeStyle::Rfc3339, before);
            assert!(early.starts_with(r#""1970-01-01T"#), "{early}");
            let late = written_at(&zone, TimeStyle::Rfc3339, after);
            assert!(late.starts_with(r#""9999-12-31T"#), "{late}");
        }
    }

    #[cfg(feature = "logging-time-zone")]
    #[test]
    fn a_named_zone_follows_its_summer_time() {
        let zone = Zone::new("Europe/Berlin");
        // Where the system has no database, there is nothing to look it up in.
        let Ok(zone) = zone else { return };
        let summer: jiff::Timestamp = "2026-07-01T00:00:00Z".parse().unwrap();
        assert_eq!(
            written(&zone, TimeStyle::Rfc3339),
            r#""2026-11-23T07:58:19.081+01:00""#
        );
        assert_eq!(
            written_at(&zone, TimeStyle::Python, summer.into()),
            r#""2026-07-01 02:00:00,000+0200""#
        );
    }

    #[test]
    fn a_zone_that_nobody_knows_is_an_error_that_names_it() {
        for name in ["Mars/Olympus", "+25:00:00", "+1", "+02:99"] {
            let error = Zone::new(name).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(Zone::new("utc").is_ok());
    }
}
