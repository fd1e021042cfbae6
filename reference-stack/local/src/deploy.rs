//! Creating the stack in the emulator, as Terraform does on AWS.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use aws_sdk_apigateway::types::IntegrationType;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Architecture, Environment, FunctionCode, Runtime, TracingConfig, TracingMode,
};
use tokio::task::JoinSet;

use crate::clients::Clients;
use crate::error::Error;
use crate::functions::{Binaries, package};
use crate::mapping::{Mapping, Running, StartingPosition};
use crate::progress::Progress;
use crate::stack::{
    ACCOUNT, COMMON_ENVIRONMENT, Function, Key, REGION, Route, STAGE, Source, Stack, Stream, Table,
};

/// Deploys everything but the event source mappings; answers the id of the REST API.
pub(crate) async fn deploy(
    stack: &Stack,
    clients: &Clients,
    binaries: &Binaries,
    packages: &Path,
    progress: &Progress,
) -> Result<String, Error> {
    for table in stack.tables {
        create_table(clients, table).await?;
    }
    for stream in stack.streams {
        create_stream(clients, stream).await?;
    }
    for queue in stack.queues {
        let action = format!("create the queue `{queue}`");
        clients
            .sqs
            .create_queue()
            .queue_name(*queue)
            .send()
            .await
            .map_err(Error::aws(action))?;
    }

    // Packing and sending are mostly waiting for one core each.
    let mut tasks = JoinSet::new();
    for function in stack.functions {
        let clients = clients.clone();
        let binary = binaries.get(function.name)?.to_owned();
        let packages = packages.to_owned();
        tasks.spawn(async move {
            let package =
                tokio::task::spawn_blocking(move || package(function.name, &binary, &packages))
                    .await
                    .map_err(Error::aws("pack a function"))??;
            deploy_function(&clients, function, package).await
        });
    }
    while let Some(result) = tasks.join_next().await {
        progress.detail(result.map_err(Error::aws("deploy a function"))??);
    }
    create_api(clients, stack.routes).await
}

async fn create_table(clients: &Clients, table: &Table) -> Result<(), Error> {
    let action = format!("create the table `{}`", table.name);
    let mut request = clients
        .dynamodb
        .create_table()
        .table_name(table.name)
        .billing_mode(BillingMode::PayPerRequest);
    let keys = [
        (Some(table.partition_key), KeyType::Hash),
        (table.sort_key, KeyType::Range),
    ];
    for (key, role) in keys
        .into_iter()
        .filter_map(|(key, role)| Some((key?, role)))
    {
        let kind = match key {
            Key::Text(_) => ScalarAttributeType::S,
            Key::Number(_) => ScalarAttributeType::N,
        };
        let definition = AttributeDefinition::builder()
            .attribute_name(key.name())
            .attribute_type(kind)
            .build();
        let element = KeySchemaElement::builder()
            .attribute_name(key.name())
            .key_type(role)
            .build();
        request = request
            .attribute_definitions(definition.map_err(Error::aws(action.as_str()))?)
            .key_schema(element.map_err(Error::aws(action.as_str()))?);
    }
    if table.stream {
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build()
            .map_err(Error::aws(action.as_str()))?;
        request = request.stream_specification(stream);
    }
    request.send().await.map_err(Error::aws(action))?;
    Ok(())
}

async fn create_stream(clients: &Clients, stream: &Stream) -> Result<(), Error> {
    let action = format!("create the stream `{}`", stream.name);
    let request = clients
        .kinesis
        .create_stream()
        .stream_name(stream.name)
        .shard_count(stream.shards);
    request.send().await.map_err(Error::aws(action))?;
    Ok(())
}

/// Starts the event source mappings, which the emulator does not have; answers them by function.
pub(crate) async fn start_mappings(
    stack: &Stack,
    clients: &Clients,
) -> Result<BTreeMap<&'static str, Running>, Error> {
    let mut mappings = BTreeMap::new();
    for event_source in stack.mappings {
        let stream = match event_source.source {
            Source::Stream(name) => format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"),
            Source::Table(name) => table_stream(clients, name).await?,
        };
        let action = format!(
            "map {:?} to `{}`",
            event_source.source, event_source.function
        );
        let running = Mapping::new(stream, event_source.function, StartingPosition::TrimHorizon)
            .batch_size(event_source.batch_size)
            .maximum_retry_attempts(event_source.retries)
            .bisect_on_error(event_source.bisect)
            .maximum_record_age(event_source.maximum_age)
            .report_batch_item_failures(true)
            .on_failure(format!(
                "arn:aws:sqs:{REGION}:{ACCOUNT}:{}",
                event_source.on_failure
            ))
            .start(clients)
            .await
            .map_err(Error::aws(action))?;
        mappings.insert(event_source.function, running);
    }
    Ok(mappings)
}

/// The ARN of a table's stream, which holds the time of its making.
async fn table_stream(clients: &Clients, table: &str) -> Result<String, Error> {
    let action = format!("find the stream of the table `{table}`");
    let request = clients.dynamodb.describe_table().table_name(table);
    let answer = request.send().await.map_err(Error::aws(action.as_str()))?;
    let arn = answer.table.and_then(|table| table.latest_stream_arn);
    arn.ok_or("the table has none").map_err(Error::aws(action))
}

/// Creates a function of the stack; answers its name.
async fn deploy_function(
    clients: &Clients,
    function: &Function,
    package: Vec<u8>,
) -> Result<&'static str, Error> {
    let environment = COMMON_ENVIRONMENT.iter().chain(function.environment);
    let environment = environment
        .copied()
        .chain([("POWERTOOLS_SERVICE_NAME", function.name)]);
    let (name, timeout, memory) = (function.name, function.timeout, function.memory);
    create_function(clients, name, timeout, memory, environment, package).await?;
    Ok(name)
}

/// Creates a function of a binary, packed.
pub(crate) async fn create_function(
    clients: &Clients,
    name: &str,
    timeout: Duration,
    memory: i32,
    environment: impl IntoIterator<Item = (&str, &str)>,
    package: Vec<u8>,
) -> Result<(), Error> {
    let environment = environment
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect::<HashMap<_, _>>();
    let architecture = if cfg!(target_arch = "aarch64") {
        Architecture::Arm64
    } else {
        Architecture::X8664
    };
    clients
        .lambda
        .create_function()
        .function_name(name)
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .architectures(architecture)
        .role(format!("arn:aws:iam::{ACCOUNT}:role/{name}"))
        .timeout(i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX))
        .memory_size(memory)
        .environment(
            Environment::builder()
                .set_variables(Some(environment))
                .build(),
        )
        .tracing_config(TracingConfig::builder().mode(TracingMode::Active).build())
        .code(FunctionCode::builder().zip_file(Blob::new(package)).build())
        .send()
        .await
        .map_err(Error::aws(format!("deploy the function `{name}`")))?;
    Ok(())
}

/// Makes a REST API whose methods hand the whole request to a function; answers its id.
async fn create_api(clients: &Clients, routes: &[Route]) -> Result<String, Error> {
    let client = &clients.apigateway;
    let api = client
        .create_rest_api()
        .name("reference-stack")
        .send()
        .await
        .map_err(Error::aws("create the REST API"))?;
    let (Some(api), Some(root)) = (api.id, api.root_resource_id) else {
        return Err(Error::aws("create the REST API")(
            "the answer lacks its id or its root",
        ));
    };

    let mut resources = HashMap::from([(String::new(), root)]);
    for path in routes
        .iter()
        .flat_map(|route| prefixes(route.path))
        .collect::<BTreeSet<_>>()
    {
        let (parent, part) = path.rsplit_once('/').unwrap_or_default();
        let action = format!("create the resource `{path}`");
        let created = client
            .create_resource()
            .rest_api_id(&api)
            .parent_id(&resources[parent])
            .path_part(part)
            .send()
            .await
            .map_err(Error::aws(action.as_str()))?;
        let id = created
            .id
            .ok_or("the answer lacks its id")
            .map_err(Error::aws(action))?;
        resources.insert(path.to_owned(), id);
    }

    for route in routes {
        let action = format!("create the method `{} {}`", route.method, route.path);
        let resource = &resources[route.path.trim_end_matches('/')];
        let function = format!(
            "arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}",
            route.function
        );
        client
            .put_method()
            .rest_api_id(&api)
            .resource_id(resource)
            .http_method(route.method)
            .authorization_type("NONE")
            .send()
            .await
            .map_err(Error::aws(action.as_str()))?;
        client
            .put_integration()
            .rest_api_id(&api)
            .resource_id(resource)
            .http_method(route.method)
            .r#type(IntegrationType::AwsProxy)
            .integration_http_method("POST")
            .uri(format!("arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"))
            .send()
            .await
            .map_err(Error::aws(action))?;
    }
    let deployment = client
        .create_deployment()
        .rest_api_id(&api)
        .stage_name(STAGE);
    deployment
        .send()
        .await
        .map_err(Error::aws("deploy the REST API"))?;
    Ok(api)
}

/// Each resource on the way to a path, the outer ones first: `/a/{b}` gives `/a` and `/a/{b}`, and `/` none but the root,
/// which is always there.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let path = path.trim_end_matches('/');
    let ends = path.match_indices('/').map(|(at, _)| at);
    ends.chain([path.len()]).skip(1).map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_from_the_outside_in() {
        assert_eq!(prefixes("/").count(), 0);
        assert_eq!(prefixes("/orders").collect::<Vec<_>>(), ["/orders"]);
        assert_eq!(
            prefixes("/orders/{id}/items").collect::<Vec<_>>(),
            ["/orders", "/orders/{id}", "/orders/{id}/items"]
        );
    }
}
