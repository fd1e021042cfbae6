//! Lines in the words of another toolkit.
//!
//! The default line has the same keys; this module is for log queries that also read the level
//! words, times and exceptions of Powertools for Python.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Format, JsonFormat, Line,
    format::{Members, SERVICE, TimeStyle, fields_but_service, service},
    value::ErrorRecord,
};
use crate::json;

/// The line of Powertools for Python.
///
/// ```json
/// {"level":"WARNING","location":"orders::place:17","message":"order placed","timestamp":"2026-11-23 06:58:19,081+0000","service":"orders"}
/// ```
///
/// It differs from the default line in this:
///
/// - levels are `DEBUG`, `INFO`, `WARNING`, `ERROR` and `CRITICAL` (an `ERROR` with the field
///   `fatal = true`); `TRACE`, which Python has not, is `DEBUG`;
/// - times have a comma before the milliseconds, so Lambda's own log filter does not read them and
///   takes every line for `INFO`;
/// - a message that is JSON text is nested as JSON;
/// - keys whose value is `null` are left out;
/// - an error becomes the keys `exception`, `exception_name` and `stack_trace`, whose text is that of
///   the chain and whose `frames` are empty.
///
/// # Examples
///
/// ```
/// use powertools::logging::{Logger, compat::PythonFormat};
///
/// let logger = Logger::new().with_format(PythonFormat::new());
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PythonFormat {
    json: JsonFormat,
}

impl PythonFormat {
    /// Makes the format of the Python line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes order, names and zone from another format.
    ///
    /// Defaults to those of the Powertools line.
    pub fn with_keys(json: JsonFormat) -> Self {
        Self { json }
    }
}

impl Format for PythonFormat {
    fn write(&self, line: &Line<'_>, output: &mut Vec<u8>) {
        let mut members = Members::default();
        members.push(&br#""level""#[..], bytes(level(line)));
        members.push(&br#""location""#[..], bytes(line.location()));
        members.push(&br#""message""#[..], message(line.message));
        let mut time = Vec::new();
        self.json.write_time(TimeStyle::Python, line, &mut time);
        members.push(&br#""timestamp""#[..], time);
        members.push(SERVICE, service(line));
        if let Some(rate) = line.sampling_rate {
            members.push(&br#""sampling_rate""#[..], bytes(rate));
        }
        for member in fields_but_service(line).filter(|member| !member.is_error) {
            members.push(member.name, member.value);
        }
        let error = line.fields.iter().filter(|member| member.is_error).last();
        if let Some(error) = error.and_then(|member| ErrorRecord::read(member.value)) {
            let kind = error.kind.as_deref().unwrap_or("Error");
            members.push(&br#""exception""#[..], bytes(error.trace()));
            members.push(&br#""exception_name""#[..], bytes(kind));
            members.push(
                &br#""stack_trace""#[..],
                bytes(StackTrace::new(kind, &error)),
            );
        }
        if let Some(trace_id) = line.trace_id {
            members.push(&br#""xray_trace_id""#[..], trace_id);
        }
        members.0.retain(|(_, value)| **value != *b"null");
        self.json.write_members(&members, output);
    }
}

fn level(line: &Line<'_>) -> &'static str {
    match line.level() {
        "TRACE" => "DEBUG",
        "WARN" => "WARNING",
        "FATAL" => "CRITICAL",
        level => level,
    }
}

/// Text that is JSON itself is nested.
fn message(message: &[u8]) -> Vec<u8> {
    let nested = serde_json::from_slice::<String>(message)
        .ok()
        .and_then(|text| serde_json::from_str::<Box<RawValue>>(&text).ok());
    nested.map_or_else(|| message.to_vec(), bytes)
}

/// The form of Powertools for Python 3.
#[derive(Serialize)]
struct StackTrace<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    value: &'a str,
    module: &'a str,
    frames: [(); 0],
}

impl<'a> StackTrace<'a> {
    fn new(kind: &'a str, error: &'a ErrorRecord) -> Self {
        Self {
            kind,
            value: &error.message,
            module: "",
            frames: [],
        }
    }
}

fn bytes(value: impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    json::write(&mut bytes, value);
    bytes
}
