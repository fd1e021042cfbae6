use opentelemetry::KeyValue;

use crate::{Env, env};

/// What of a function OpenTelemetry has attributes for.
/// Source: <https://opentelemetry.io/docs/specs/semconv/resource/faas/>
#[derive(Clone, Debug)]
pub(in crate::trace) struct Resource {
    service: Option<String>,
    attributes: Vec<(&'static str, String)>,
}

impl Resource {
    pub(in crate::trace) fn from_env(env: &Env) -> Self {
        let mut attributes = vec![
            ("cloud.provider", "aws".to_owned()),
            ("cloud.platform", "aws_lambda".to_owned()),
        ];
        for (attribute, variable) in [
            ("cloud.region", "AWS_REGION"),
            ("faas.name", env::FUNCTION_NAME),
            ("faas.version", "AWS_LAMBDA_FUNCTION_VERSION"),
            ("faas.instance", "AWS_LAMBDA_LOG_STREAM_NAME"),
        ] {
            attributes.extend(env.get(variable).map(|value| (attribute, value.to_owned())));
        }
        let service = ["OTEL_SERVICE_NAME", env::FUNCTION_NAME];
        Self {
            service: service
                .into_iter()
                .find_map(|it| env.get(it))
                .map(str::to_owned),
            attributes,
        }
    }

    /// Returns the attributes of the function as the service of that name.
    pub(in crate::trace) fn attributes(&self, service: Option<&str>) -> Vec<KeyValue> {
        let service = service.or(self.service.as_deref());
        let service = service.map(|service| ("service.name", service.to_owned()));
        let attributes = self.attributes.iter().cloned().chain(service);
        attributes
            .map(|(name, value)| KeyValue::new(name, value))
            .collect()
    }
}
