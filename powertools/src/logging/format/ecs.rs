use super::{TimeStyle, Zone, fields_but_service, service};
use crate::{
    json,
    logging::{Format, Line},
};

/// The version of the schema that the keys are taken from.
/// Source: <https://www.elastic.co/guide/en/ecs/current/ecs-ecs.html>
const VERSION: &str = "1.2.0";

/// The keys of the invocation as the schema names them.
/// Source: <https://www.elastic.co/guide/en/ecs/current/ecs-faas.html>
const NAMES: [(&[u8], &[u8]); 5] = [
    (br#""cold_start""#, br#""faas.coldstart""#),
    (br#""function_name""#, br#""faas.name""#),
    (br#""function_arn""#, br#""faas.id""#),
    (br#""function_request_id""#, br#""faas.execution""#),
    (br#""function_memory_size""#, br#""faas.memory""#),
];

/// One JSON object with the keys of the Elastic Common Schema.
///
/// ```json
/// {"@timestamp":"2026-11-23T06:58:19.081Z","log.level":"INFO","message":"order placed","ecs.version":"1.2.0","log.logger":"orders::place:17","service.name":"orders","faas.coldstart":true,"faas.name":"my-function","faas.execution":"52fdfc07","total":2500,"trace.id":"1-5759e988-bd862e3fe1be46a994272793"}
/// ```
///
/// Lambda's own log filter reads `level` and `timestamp`, which this form has not: it takes every
/// line for `INFO`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct EcsFormat;

impl EcsFormat {
    /// Makes the format.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Format for EcsFormat {
    fn write(&self, line: &Line<'_>, output: &mut Vec<u8>) {
        output.extend_from_slice(br#"{"@timestamp":"#);
        Zone::default().write(TimeStyle::Rfc3339, line.timestamp, output);
        output.extend_from_slice(br#","log.level":""#);
        output.extend_from_slice(line.level().as_bytes());
        output.extend_from_slice(br#"","message":"#);
        // The schema's message is text.
        if line.message.starts_with(b"\"") {
            output.extend_from_slice(line.message);
        } else {
            json::write(output, line.message());
        }
        output.extend_from_slice(br#","ecs.version":"#);
        json::write_text(output, VERSION);
        output.extend_from_slice(br#","log.logger":"#);
        json::write(output, line.location());
        output.extend_from_slice(br#","service.name":"#);
        output.extend_from_slice(service(line));
        for member in fields_but_service(line) {
            if member.is_error {
                write_error(member.value, output);
                continue;
            }
            let named = NAMES.iter().find(|(name, _)| *name == member.name);
            output.push(b',');
            output.extend_from_slice(named.map_or(member.name, |(_, name)| name));
            output.push(b':');
            output.extend_from_slice(member.value);
        }
        if let Some(trace_id) = line.trace_id {
            output.extend_from_slice(br#","trace.id":"#);
            output.extend_from_slice(trace_id);
        }
        output.push(b'}');
    }
}

/// Source: <https://www.elastic.co/guide/en/ecs/current/ecs-error.html>
fn write_error(record: &[u8], output: &mut Vec<u8>) {
    let Some(error) = crate::logging::value::ErrorRecord::read(record) else {
        return;
    };
    output.extend_from_slice(br#","error.message":"#);
    json::write_text(output, &error.message);
    if let Some(kind) = &error.kind {
        output.extend_from_slice(br#","error.type":"#);
        json::write_text(output, kind);
    }
    output.extend_from_slice(br#","error.stack_trace":"#);
    json::write_text(output, &error.trace());
}
