//! JMESPath: questions to JSON, with the functions of the other Powertools toolkits.
//!
//! An [`Expression`] is compiled once and then searches JSON texts, or whatever can be serialised.
//! The language is that of <https://jmespath.org>, and three functions decode what events wrap:
//!
//! | function | takes | gives |
//! |---|---|---|
//! | `powertools_json(text)` | a JSON text | its value |
//! | `powertools_base64(text)` | base64 | the text |
//! | `powertools_base64_gzip(text)` | base64 of gzip | the text |
//!
//! # Examples
//!
//! The default use:
//!
//! ```
//! use powertools::jmespath::Expression;
//!
//! let order_ids = Expression::new("Records[*].powertools_json(body).order.id")?;
//! let event = r#"{"Records": [{"body": "{\"order\": {\"id\": 9007199254740993}}"}]}"#;
//!
//! let found = order_ids.search_str(event)?;
//! assert_eq!(found.to_json(), "[9007199254740993]");
//! assert_eq!(found.deserialize::<Vec<u64>>()?, [9007199254740993]);
//! # Ok::<_, powertools::jmespath::JmespathError>(())
//! ```
//!
//! The configured use: a limit for what comes compressed, and data that is not a text.
//!
//! ```
//! use powertools::jmespath::Expression;
//! use serde_json::json;
//!
//! let messages = Expression::new(
//!     "powertools_json(powertools_base64_gzip(awslogs.data)).logEvents[*].message",
//! )?
//! .max_decompressed(1024 * 1024);
//!
//! let event = json!({
//!     "awslogs": {
//!         "data": "H4sIAAAAAAACA6tWyslPdy1LzSspVrKKrlbKTS0uTkxPVbJSKkktLlGq1UEWykjNyclXqo2tBQDZSoRBNgAAAA==",
//!     },
//! });
//! assert_eq!(messages.search_value(&event)?.to_json(), r#"["test","hello"]"#);
//! # Ok::<_, powertools::jmespath::JmespathError>(())
//! ```
//!
//! # What it does with values
//!
//! - Whole numbers of 64 bits are exact, also where they are compared or added; other numbers are
//!   the nearest `f64`. `1` equals `1.0`, and each stays as it was written.
//! - Members keep the order of the text, in multi-select hashes that of the expression.
//! - Strings are counted, reversed and compared by code points.
//! - What is not found is `null`, and no error. A function that is given a type it does not take,
//!   or a text it cannot decode, is an error: `powertools_json(body)` fails if there is no `body`.
//!
//! # Limits
//!
//! Data and texts may be nested 128 levels deep, an expression has at most 128 operators, and all
//! calls of `powertools_base64_gzip` in one search together make at most
//! [16 MiB](Expression::max_decompressed). Beyond that a search fails.
//!
//! Memory has no bound of its own. Text of many short elements takes up to some twenty times its
//! size once it is read, so a function of 128 MB sets a lower
//! [`max_decompressed`](Expression::max_decompressed); and an expression decides how often data is
//! multiplied (`[@,@]` twenty times over makes a million of one value), so it is code: it comes from
//! the function's author, never from a request.

mod decoders;
mod error;
mod evaluate;
mod expression;
mod functions;
mod number;
mod output;
mod read;
mod signature;
mod syntax;
mod value;

pub use error::{JmespathError, Undecodable};
pub use expression::Expression;
pub use output::Output;
