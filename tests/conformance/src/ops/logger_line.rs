use std::{fmt, sync::Arc};

use lambda_runtime::{Config, Context};
use powertools::{
    Env, Invocation,
    logging::{self, CorrelationPath, Logger, compat::PythonFormat},
    testing::{self, Captured},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::{Level, event};
use tracing_subscriber::prelude::*;

use crate::{Failure, input, members::Members, output};

#[derive(Deserialize)]
struct Input<'a> {
    level: Word,
    #[serde(borrow)]
    message: &'a RawValue,
    service: Option<String>,
    min_level: Option<String>,
    #[serde(default, borrow)]
    keys: Members<'a>,
    #[serde(default, borrow)]
    persistent_keys: Members<'a>,
    exception: Option<Exception>,
    xray_trace_id: Option<String>,
    context: Option<LambdaContext>,
    cold_start: Option<bool>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    correlation_id_path: Option<String>,
}

/// A level as Python names it.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Word {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

#[derive(Deserialize)]
struct LambdaContext {
    function_name: String,
    memory: i32,
    arn: String,
    request_id: String,
}

#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exception {}

pub(super) fn answer(json: &RawValue) -> Result<Box<RawValue>, Failure> {
    let input: Input<'_> = input(json)?;
    let captured = Captured::default();
    let mut logger = Logger::from_env(&Env::default())
        .with_format(PythonFormat::new())
        .with_writer(captured.clone());
    if let Some(service) = &input.service {
        logger = logger.service(service);
    }
    if let Some(level) = &input.min_level {
        logger = logger.levels(level).map_err(|_| Failure("InvalidCase"))?;
    }
    for (name, value) in &input.persistent_keys.0 {
        logger = logger.key(name, value);
    }
    let _guard = tracing_subscriber::registry()
        .with(logger.subscriber_layer())
        .set_default();
    invocation(&input).sync_scope(|| log(&input))?;
    output(&captured.lines())
}

/// Without a context it is no invocation of Lambda's; the trace header is there all the same.
fn invocation(input: &Input<'_>) -> Invocation {
    let mut context = Context::default();
    context.xray_trace_id.clone_from(&input.xray_trace_id);
    if let Some(given) = &input.context {
        context.request_id.clone_from(&given.request_id);
        context.invoked_function_arn.clone_from(&given.arn);
        context.env_config = Arc::new(Config {
            function_name: given.function_name.clone(),
            memory: given.memory,
            ..Config::default()
        });
    }
    testing::invocation(context, input.cold_start.unwrap_or_default())
}

fn log(input: &Input<'_>) -> Result<(), Failure> {
    if let (Some(path), Some(event), Some(_)) =
        (&input.correlation_id_path, input.event, &input.context)
    {
        let path = CorrelationPath::jmespath(path).map_err(|_| Failure("InvalidCase"))?;
        if let Some(id) = path.find(event) {
            logging::append_key("correlation_id", id);
        }
    }
    let _keys: Vec<_> = input
        .keys
        .0
        .iter()
        .map(|(name, value)| logging::scoped_key(name.as_ref(), value))
        .collect();

    let message = logging::json(input.message);
    let exception = input
        .exception
        .as_ref()
        .map(|exception| logging::error_of_type(&exception.kind, exception));
    match input.level {
        Word::Debug => event!(Level::DEBUG, exception, message),
        Word::Info => event!(Level::INFO, exception, message),
        Word::Warning => event!(Level::WARN, exception, message),
        Word::Error => event!(Level::ERROR, exception, message),
        Word::Critical => event!(Level::ERROR, fatal = true, exception, message),
    }
    Ok(())
}
