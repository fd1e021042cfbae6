//! The reference stack: a system of orders on AWS Lambda, built with [`powertools`].
//!
//! Each feature has a folder: what is true of it without any technology first, then the ports that
//! it needs, then their adapters, one for tests in memory and one for AWS.
//!
//! | module | holds |
//! |---|---|
//! | [`orders`] | placing and reading orders; their HTTP interface |
//! | [`outbox`] | sending stored events to the streams |
//! | [`projections`] | what the events add up to, kept for reading |
//! | [`event`], [`store`], [`validation`] | what features share, knowing neither Lambda nor AWS |
//! | `event_store` | how an event lies in its table |
//! | [`http`], [`stream`] | what functions behind API Gateway, and behind a stream, share |
//! | [`aws`], [`config`], [`layers`], [`metrics`] | clients, environment, observability |
//!
//! The functions themselves are in `src/bin`: each reads its configuration, makes its adapters and
//! runs one of the services of this library in the layers.

pub mod aws;
pub mod config;
pub mod event;
mod event_store;
pub mod http;
pub mod layers;
pub mod metrics;
pub mod orders;
pub mod outbox;
pub mod projections;
pub mod store;
pub mod stream;
pub mod validation;

#[cfg(test)]
mod tests;
