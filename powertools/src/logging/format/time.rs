use std::io::Write as _;

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
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

/// The time zone of the times in lines; UTC unless it is set.
#[derive(Clone, Debug, Default)]
pub(in crate::logging) struct Zone(Option<TimeZone>);

impl Zone {
    /// Finds a zone by its name, or makes one of an offset.
    pub(in crate::logging) fn new(name: &str) -> Result<Self, LoggerError> {
        if name.eq_ignore_ascii_case("UTC") || name == "Z" {
            return Ok(Self(None));
        }
        let zone = match offset(name) {
            Some(offset) => TimeZone::fixed(offset),
            None => TimeZone::get(name).map_err(|source| LoggerError::TimeZone {
                name: name.to_owned(),
                source: source.into(),
            })?,
        };
        Ok(Self(Some(zone)))
    }

    /// Appends a time as a JSON string.
    pub(in crate::logging) fn write(&self, style: TimeStyle, time: Timestamp, line: &mut Vec<u8>) {
        // A `Vec` takes whatever is written, and the patterns are right.
        let _ = match (style, &self.0) {
            (TimeStyle::Rfc3339, None) => write!(line, r#""{time:.3}""#),
            (TimeStyle::Rfc3339, Some(zone)) => {
                let time = time.to_zoned(zone.clone());
                write!(line, r#""{}""#, time.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z"))
            }
            (TimeStyle::Python, zone) => {
                let time = time.to_zoned(zone.clone().unwrap_or(TimeZone::UTC));
                write!(line, r#""{}""#, time.strftime("%Y-%m-%d %H:%M:%S,%3f%z"))
            }
        };
    }
}

/// Reads `+02:00` or `-0530`.
fn offset(text: &str) -> Option<Offset> {
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
    (minutes < 60)
        .then(|| Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(zone: &Zone, style: TimeStyle) -> String {
        let time = "2026-11-23T06:58:19.0814Z".parse().unwrap();
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
    fn a_zone_that_nobody_knows_is_an_error_that_names_it() {
        for name in ["Mars/Olympus", "+25:00:00", "+1", "+02:99"] {
            let error = Zone::new(name).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(Zone::new("utc").is_ok());
    }
}
