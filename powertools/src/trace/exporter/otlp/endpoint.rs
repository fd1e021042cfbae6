use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, uri::Scheme};

use crate::{Env, env, trace::document::public_url};

const PATH: &str = "/v1/traces";
const PROTOCOL: &str = "http/protobuf";

/// How long a request takes at the most: less than OpenTelemetry's 10 s, as an answer waits for it.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Where a collector takes spans by OTLP over HTTP, and how.
///
/// Source: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>
#[derive(Clone)]
pub(in crate::trace) struct Endpoint {
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
}

impl Endpoint {
    /// Returns the endpoint that the environment names, if it names one, or what is wrong with it.
    pub(in crate::trace) fn from_env(env: &Env) -> Option<Result<Self, String>> {
        let (variable, uri) = match env.get(env::OTLP_TRACES_ENDPOINT) {
            Some(uri) => (env::OTLP_TRACES_ENDPOINT, uri.to_owned()),
            None => {
                let base = env.get(env::OTLP_ENDPOINT)?.trim_end_matches('/');
                (env::OTLP_ENDPOINT, format!("{base}{PATH}"))
            }
        };
        Some(Self::new(variable, &uri, env))
    }

    fn new(variable: &str, uri: &str, env: &Env) -> Result<Self, String> {
        let uri: Uri = uri
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.authority().is_some())
            .ok_or_else(|| format!("`{variable}` is no URL"))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(format!(
                "`{variable}` is no URL of `http`: a collector beside the function needs no TLS"
            ));
        }
        if let Some((variable, protocol)) = either(env, "PROTOCOL")
            && protocol != PROTOCOL
        {
            return Err(format!(
                "`{variable}` is `{protocol}`, and not `{PROTOCOL}`"
            ));
        }
        let timeout = either(env, "TIMEOUT").map_or(Ok(TIMEOUT), |(variable, timeout)| {
            let timeout = timeout.parse().map(Duration::from_millis);
            timeout.map_err(|_| format!("`{variable}` is no number of milliseconds"))
        })?;
        let headers =
            either(env, "HEADERS").map_or(Ok(HeaderMap::new()), |(variable, headers)| {
                // Its value is a secret, as a rule.
                parse_headers(headers)
                    .ok_or_else(|| format!("`{variable}` is no list of `key=value`"))
            })?;
        Ok(Self {
            uri,
            headers,
            timeout,
        })
    }
}

/// Without what is a secret, as a rule.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("uri", &public_url(&self.uri.to_string()))
            .field("headers", &self.headers)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Returns the variable for traces, otherwise that for all signals.
fn either<'a>(env: &'a Env, name: &str) -> Option<(String, &'a str)> {
    ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"]
        .into_iter()
        .map(|prefix| format!("{prefix}{name}"))
        .find_map(|variable| Some((variable.clone(), env.get(&variable)?)))
}

fn parse_headers(headers: &str) -> Option<HeaderMap> {
    let headers = headers
        .split(',')
        .filter(|header| !header.trim().is_empty());
    headers
        .map(|header| {
            let (name, value) = header.split_once('=')?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            let mut value = HeaderValue::from_bytes(&decode_percents(value.trim())?).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        })
        .collect()
}

fn decode_percents(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint<const N: usize>(variables: [(&str, &str); N]) -> Option<Result<Endpoint, String>> {
        Endpoint::from_env(&Env::from(variables))
    }

    #[test]
    fn without_an_endpoint_there_is_none() {
        assert!(endpoint([("OTEL_EXPORTER_OTLP_HEADERS", "a=b")]).is_none());
    }

    #[test]
    fn an_endpoint_for_all_signals_gets_the_path_of_traces_and_one_for_traces_has_its_own() {
        for (variable, value, uri) in [
            (
                "ENDPOINT",
                "http://localhost:4318",
                "http://localhost:4318/v1/traces",
            ),
            (
                "ENDPOINT",
                "http://localhost:4318/",
                "http://localhost:4318/v1/traces",
            ),
            (
                "ENDPOINT",
                "http://collector/otlp",
                "http://collector/otlp/v1/traces",
            ),
            (
                "TRACES_ENDPOINT",
                "http://localhost:4318/spans",
                "http://localhost:4318/spans",
            ),
        ] {
            let variable = format!("OTEL_EXPORTER_OTLP_{variable}");
            let endpoint = endpoint([(&*variable, value)]).unwrap().unwrap();
            assert_eq!(endpoint.uri, uri);
            assert_eq!(endpoint.timeout, TIMEOUT);
        }
    }

    #[test]
    fn what_is_said_for_traces_wins() {
        let endpoint = endpoint([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:2/x"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "7"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "from=all"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                "x-key = a%20b%3D, x-other=c,",
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!(endpoint.uri, "http://b:2/x");
        assert_eq!(endpoint.timeout, Duration::from_millis(250));
        assert_eq!(endpoint.headers.len(), 2);
        assert_eq!(endpoint.headers["x-key"], "a b=");
        assert_eq!(endpoint.headers["x-other"], "c");
        assert!(!format!("{endpoint:?}").contains("a b="));
    }

    #[test]
    fn whoever_prints_an_endpoint_sees_no_secret() {
        let variables = [(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://user:secret@collector:4318/spans?key=secret",
        )];
        let endpoint = endpoint(variables).unwrap().unwrap();
        let text = format!("{endpoint:?}");
        assert!(text.contains("\"http://collector:4318/spans\""), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn what_is_wrong_is_named_without_a_secret() {
        const HTTP: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        for (variables, named) in [
            (
                [("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"); 2],
                "ENDPOINT",
            ),
            (
                [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://secret:4318"); 2],
                "ENDPOINT",
            ),
            ([HTTP, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "PROTOCOL"),
            ([HTTP, ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")], "TIMEOUT"),
            ([HTTP, ("OTEL_EXPORTER_OTLP_HEADERS", "secret")], "HEADERS"),
            (
                [HTTP, ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%2")],
                "HEADERS",
            ),
            (
                [HTTP, ("OTEL_EXPORTER_OTLP_HEADERS", "ä=secret")],
                "HEADERS",
            ),
            (
                [HTTP, ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=secret%0A")],
                "TRACES_HEADERS",
            ),
        ] {
            let problem = endpoint(variables).unwrap().unwrap_err();
            assert!(
                problem.contains(&format!("OTEL_EXPORTER_OTLP_{named}")),
                "{problem}"
            );
            assert!(!problem.contains("secret"), "{problem}");
        }
    }
}
