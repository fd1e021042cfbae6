use std::time::Duration;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

use crate::stack::REGION;

/// How long an operation may take: longer than any function may run.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(90);

/// The AWS SDK's clients, pointed at the emulator.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Clients {
    /// REST APIs.
    pub apigateway: aws_sdk_apigateway::Client,
    /// Tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The streams of tables.
    pub dynamodbstreams: aws_sdk_dynamodbstreams::Client,
    /// Streams.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Functions.
    pub lambda: aws_sdk_lambda::Client,
    /// Log groups.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
}

impl Clients {
    pub(crate) fn new(endpoint: &str) -> Self {
        let config = config(endpoint);
        Self {
            apigateway: aws_sdk_apigateway::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            dynamodbstreams: aws_sdk_dynamodbstreams::Client::new(&config),
            kinesis: aws_sdk_kinesis::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
        }
    }
}

/// What any client of the AWS SDK needs to reach an emulator.
pub(crate) fn config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "local-cloud");
    // Not `aws_config::load`: the user's own profiles and variables have no say here.
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        // A function that takes its time is no stalled connection.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}
