use powertools::logging::CorrelationPath;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Failure, input, output};

#[derive(Deserialize)]
struct Input<'a> {
    kind: Kind,
    #[serde(borrow)]
    event: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    ApiGatewayRest,
    ApiGatewayHttp,
    AppsyncAuthorizer,
    AppsyncResolver,
    ApplicationLoadBalancer,
    EventBridge,
    LambdaFunctionUrl,
    S3ObjectLambda,
    VpcLattice,
}

pub(super) fn answer(json: &RawValue) -> Result<Box<RawValue>, Failure> {
    let input: Input<'_> = input(json)?;
    let path = match input.kind {
        Kind::ApiGatewayRest => CorrelationPath::API_GATEWAY_REST,
        Kind::ApiGatewayHttp => CorrelationPath::API_GATEWAY_HTTP,
        Kind::AppsyncAuthorizer => CorrelationPath::APPSYNC_AUTHORIZER,
        Kind::AppsyncResolver => CorrelationPath::APPSYNC_RESOLVER,
        Kind::ApplicationLoadBalancer => CorrelationPath::APPLICATION_LOAD_BALANCER,
        Kind::EventBridge => CorrelationPath::EVENT_BRIDGE,
        Kind::LambdaFunctionUrl => CorrelationPath::LAMBDA_FUNCTION_URL,
        Kind::S3ObjectLambda => CorrelationPath::S3_OBJECT_LAMBDA,
        Kind::VpcLattice => CorrelationPath::VPC_LATTICE,
    };
    output(&path.find(input.event))
}
