//! Parameters in a DynamoDB table.
//!
//! A [`DynamoDbProvider`] reads one parameter by its name, or all that have a key in common.
//!
//! # Examples
//!
//! ```no_run
//! use aws_config::BehaviorVersion;
//! use powertools::parameters::{Parameters, dynamodb::DynamoDbProvider};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
//! let client = aws_sdk_dynamodb::Client::new(&config);
//! let parameters = Parameters::new(DynamoDbProvider::new(client, "config"));
//!
//! let limit = parameters.get("orders-per-minute").json::<u32>().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A table with other attributes, all parameters of one key, read consistently:
//!
//! ```no_run
//! use powertools::parameters::{Parameters, dynamodb::DynamoDbProvider};
//!
//! # async fn run(client: aws_sdk_dynamodb::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let provider = DynamoDbProvider::new(client, "settings")
//!     .key_attribute("group")
//!     .sort_attribute("name")
//!     .value_attribute("setting");
//! let parameters = Parameters::new(provider);
//!
//! let limits = parameters.get_multiple("limits").consistent_read().await?;
//! for (name, value) in limits.iter() {
//!     println!("{name} has {} bytes", value.as_bytes().len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The table
//!
//! [`get`](crate::parameters::Parameters::get) takes a table whose key is the partition key alone, and
//! makes a GetItem:
//!
//! ```json
//! { "id": { "S": "orders-per-minute" }, "value": { "S": "100" } }
//! ```
//!
//! [`get_multiple`](crate::parameters::Parameters::get_multiple) takes one that has a sort key as well,
//! and makes a Query of the partition key, page by page. Each value has the sort key as its name, a
//! string or a number:
//!
//! ```json
//! { "id": { "S": "limits" }, "sk": { "S": "orders-per-minute" }, "value": { "S": "100" } }
//! { "id": { "S": "limits" }, "sk": { "S": "users-per-minute" }, "value": { "N": "20" } }
//! ```
//!
//! What the attributes are called is [configured](DynamoDbProvider::key_attribute). Others may be there;
//! they are not read.
//!
//! | type of the value | becomes |
//! |---|---|
//! | `S` | its text |
//! | `N` | the number's text, every digit of it |
//! | `BOOL` | `true` or `false` |
//! | `B` | its bytes |
//! | others | an error, and with a query one for all of it |
//!
//! An item that does not exist is [`NotFound`](crate::parameters::ParameterError::NotFound); a key that
//! no item has gives no values. A table that does not exist, or an item without a value, is
//! [another error](crate::parameters::ParameterError::Provider): nobody shall take a default because of
//! a misspelt name.
//!
//! # Permissions
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": {
//!     "Effect": "Allow",
//!     "Action": ["dynamodb:GetItem", "dynamodb:Query"],
//!     "Resource": "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE"
//!   }
//! }
//! ```
//!
//! Either action is enough for a function that makes one kind of reads.
//!
//! Source: <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>

mod options;
mod provider;

pub use options::DynamoDbOptions;
pub use provider::DynamoDbProvider;
