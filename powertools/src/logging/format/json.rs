use std::borrow::Cow;

use super::{TimeStyle, Zone};
use crate::{
    json,
    logging::{Format, Line, LoggerError, fields::MemberRef},
};

/// One JSON object with the Powertools keys; the default.
///
/// See the [module docs](crate::logging) for the keys and their order.
///
/// # Examples
///
/// ```
/// use powertools::logging::{JsonFormat, Logger};
///
/// let format = JsonFormat::new()
///     .key_order(["message", "level"])
///     .rename_key("timestamp", "@timestamp")
///     .suppress_key("location")
///     .time_zone("+01:00")?;
/// let logger = Logger::new().with_format(format);
/// # Ok::<_, powertools::logging::LoggerError>(())
/// ```
///
/// ```json
/// {"message":"order placed","level":"INFO","@timestamp":"2026-11-23T07:58:19.081+01:00","service":"orders"}
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct JsonFormat {
    order: Vec<Vec<u8>>,
    renamed: Vec<(Vec<u8>, Vec<u8>)>,
    suppressed: Vec<Vec<u8>>,
    zone: Zone,
}

impl JsonFormat {
    /// Makes the format of the Powertools line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts these keys first, in this order; the others follow in theirs.
    ///
    /// Defaults to the order of the Powertools line.
    pub fn key_order<K: AsRef<str>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.order = keys.into_iter().map(|key| quoted(key.as_ref())).collect();
        self
    }

    /// Gives a key another name.
    ///
    /// Defaults to the names of the Powertools line. Lambda's own log filter reads `level` and
    /// `timestamp`: under other names it takes every line for `INFO`.
    pub fn rename_key(mut self, key: impl AsRef<str>, name: impl AsRef<str>) -> Self {
        self.renamed
            .push((quoted(key.as_ref()), quoted(name.as_ref())));
        self
    }

    /// Leaves a key out.
    ///
    /// Defaults to none.
    pub fn suppress_key(mut self, key: impl AsRef<str>) -> Self {
        self.suppressed.push(quoted(key.as_ref()));
        self
    }

    /// Sets the time zone: an offset such as `+01:00`, or, with feature `logging-time-zone`, a name of
    /// the IANA database.
    ///
    /// Defaults to `TZ`, then to UTC; a format that is made in code to UTC. Names are looked up in the
    /// system's time zone database; the image of `provided.al2023` has none, so there an offset, or a
    /// database in the function's package, is needed.
    ///
    /// # Errors
    ///
    /// Fails if the zone is not known, and for a name without the feature.
    pub fn time_zone(mut self, name: &str) -> Result<Self, LoggerError> {
        self.zone = Zone::new(name)?;
        Ok(self)
    }

    /// Sets the zone that the variable `TZ` names, with or without a colon before it. The path of a
    /// file, which names no zone, is taken for UTC.
    pub(in crate::logging) fn system_time_zone(self, name: &str) -> Result<Self, LoggerError> {
        match name.strip_prefix(':').unwrap_or(name) {
            path if path.starts_with('/') => Ok(self),
            name => self.time_zone(name),
        }
    }

    fn is_plain(&self) -> bool {
        self.order.is_empty() && self.renamed.is_empty() && self.suppressed.is_empty()
    }

    /// Writes members in the order, under the names, and without the keys that were asked for.
    pub(in crate::logging) fn write_members(&self, members: &Members<'_>, output: &mut Vec<u8>) {
        output.push(b'{');
        let first = self
            .order
            .iter()
            .filter_map(|key| members.0.iter().find(|(name, _)| **name == **key));
        let others = members
            .0
            .iter()
            .filter(|(name, _)| !self.order.iter().any(|key| **name == **key));
        let mut is_first = true;
        for (name, value) in first.chain(others) {
            if self.suppressed.iter().any(|key| **name == **key) {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                output.push(b',');
            }
            let renamed = self.renamed.iter().find(|(key, _)| **name == **key);
            output.extend_from_slice(renamed.map_or(name, |(_, name)| name));
            output.push(b':');
            output.extend_from_slice(value);
        }
        output.push(b'}');
    }

    pub(in crate::logging) fn write_time(
        &self,
        style: TimeStyle,
        line: &Line<'_>,
        output: &mut Vec<u8>,
    ) {
        self.zone.write(style, line.timestamp, output);
    }
}

/// The members of a line that is put together from the outside: quoted names, and values.
#[derive(Debug, Default)]
pub(in crate::logging) struct Members<'a>(pub(in crate::logging) Vec<Member<'a>>);

/// A quoted name, and a value.
type Member<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl<'a> Members<'a> {
    pub(in crate::logging) fn push(
        &mut self,
        name: impl Into<Cow<'a, [u8]>>,
        value: impl Into<Cow<'a, [u8]>>,
    ) {
        self.0.push((name.into(), value.into()));
    }
}

impl Format for JsonFormat {
    fn write(&self, line: &Line<'_>, output: &mut Vec<u8>) {
        if self.is_plain() {
            return write_plain(self, line, output);
        }
        let mut members = Members::default();
        let mut level = vec![b'"'];
        level.extend_from_slice(line.level().as_bytes());
        level.push(b'"');
        members.push(&br#""level""#[..], level);
        let mut location = Vec::new();
        json::write(&mut location, line.location());
        members.push(&br#""location""#[..], location);
        members.push(&br#""message""#[..], line.message);
        let mut time = Vec::new();
        self.write_time(TimeStyle::Rfc3339, line, &mut time);
        members.push(&br#""timestamp""#[..], time);
        members.push(SERVICE, service(line));
        if let Some(rate) = line.sampling_rate {
            members.push(&br#""sampling_rate""#[..], rate.to_string().into_bytes());
        }
        for member in fields_but_service(line) {
            members.push(member.name, member.value);
        }
        if let Some(trace_id) = line.trace_id {
            members.push(&br#""xray_trace_id""#[..], trace_id);
        }
        self.write_members(&members, output);
    }
}

/// Writes the Powertools line as it is: nothing is collected, and nothing allocated.
fn write_plain(format: &JsonFormat, line: &Line<'_>, output: &mut Vec<u8>) {
    output.extend_from_slice(br#"{"level":""#);
    output.extend_from_slice(line.level().as_bytes());
    output.extend_from_slice(br#"","location":"#);
    json::write(output, line.location());
    output.extend_from_slice(br#","message":"#);
    output.extend_from_slice(line.message);
    output.extend_from_slice(br#","timestamp":"#);
    format.write_time(TimeStyle::Rfc3339, line, output);
    output.extend_from_slice(br#","service":"#);
    output.extend_from_slice(service(line));
    if let Some(rate) = line.sampling_rate {
        output.extend_from_slice(br#","sampling_rate":"#);
        json::write(output, rate);
    }
    for member in fields_but_service(line) {
        output.push(b',');
        output.extend_from_slice(member.name);
        output.push(b':');
        output.extend_from_slice(member.value);
    }
    if let Some(trace_id) = line.trace_id {
        output.extend_from_slice(br#","xray_trace_id":"#);
        output.extend_from_slice(trace_id);
    }
    output.push(b'}');
}

pub(in crate::logging) const SERVICE: &[u8] = br#""service""#;

/// Returns the service: a field of that name stands in for the logger's own.
pub(in crate::logging) fn service<'a>(line: &Line<'a>) -> &'a [u8] {
    let field = line.fields.iter().find(|member| member.name == SERVICE);
    field.map_or(line.service, |member| member.value)
}

pub(in crate::logging) fn fields_but_service<'a>(
    line: &Line<'a>,
) -> impl Iterator<Item = MemberRef<'a>> {
    line.fields.iter().filter(|member| member.name != SERVICE)
}

fn quoted(key: &str) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(key.len() + 2);
    json::write_text(&mut quoted, key);
    quoted
}
