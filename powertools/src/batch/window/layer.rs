use std::{any::type_name, fmt, marker::PhantomData, sync::Arc};

use tower_layer::Layer;

use super::WindowService;
use crate::batch::{
    AfterFailure, BatchLayer, DynamoDb, Images, Json, Kinesis, Source, config::Config,
};

/// Makes a service for the batches of a tumbling window out of a service that adds one record to a
/// state.
///
/// Lambda hands the state from batch to batch of a window and shard, and says when the window is over.
/// The records are handled one after the other; at the first that fails the batch ends, with the
/// state that those before it have come to, so that every record counts once: it and all that follow
/// come again with that state. So what a handler does has to be in the state that it returns; a
/// failure takes nothing else back.
///
/// If it is the first record that fails, the batch fails with a [`BatchError::AllFailed`](crate::batch::BatchError::AllFailed), and comes
/// again with the state that it had.
///
/// A window begins with `State::default()`. Lambda keeps at most 1 MB of it, and none of what
/// [`WindowStep::End`](super::WindowStep::End) returns.
///
/// The event source mapping has to have `TumblingWindowInSeconds`, and `ReportBatchItemFailures` among
/// its `FunctionResponseTypes`. Without the first, Lambda keeps no state and no window ends; each such
/// batch is warned of.
///
/// Formats, metrics and all other settings are those of a [`BatchLayer`] that this is made
/// [from](Self::from): `WindowLayer::from(BatchLayer::kinesis().metrics(true))`.
///
/// # Examples
///
/// ```
/// use lambda_runtime::Error;
/// use powertools::batch::{WindowLayer, WindowStep};
/// use serde::{Deserialize, Serialize};
/// use tower::ServiceBuilder;
///
/// #[derive(Deserialize)]
/// struct Order { total: u64 }
///
/// #[derive(Clone, Default, Deserialize, Serialize)]
/// struct Revenue { orders: u64, total: u64 }
///
/// async fn handle(step: WindowStep<Order, Revenue>) -> Result<Revenue, Error> {
///     match step {
///         WindowStep::Record { record, state } => Ok(Revenue {
///             orders: state.orders + 1,
///             total: state.total + record.payload.total,
///         }),
///         WindowStep::End(end) => {
///             println!("{} orders until {}", end.state.orders, end.window.end);
///             Ok(end.state)
///         }
///     }
/// }
///
/// let service = ServiceBuilder::new().layer(WindowLayer::kinesis()).service_fn(handle);
/// # let _: powertools::batch::WindowService<_, Order, Revenue> = service;
/// ```
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>
#[must_use]
pub struct WindowLayer<T, State, S: Source = Kinesis, F = Json> {
    config: Config<T, S, F, ()>,
    state: PhantomData<fn() -> State>,
}

impl<T, State> WindowLayer<T, State> {
    /// Makes a layer for a data stream of Kinesis.
    pub fn kinesis() -> Self {
        BatchLayer::kinesis().into()
    }
}

impl<T, State> WindowLayer<T, State, DynamoDb, Images> {
    /// Makes a layer for the stream of a DynamoDB table.
    pub fn dynamodb() -> Self {
        BatchLayer::dynamodb().into()
    }
}

/// With the settings of that layer, but that records are handled one after the other and a failure
/// stops the batch.
impl<T, State, F> From<BatchLayer<T, Kinesis, F>> for WindowLayer<T, State, Kinesis, F> {
    fn from(layer: BatchLayer<T, Kinesis, F>) -> Self {
        Self::of(layer.after_failure(AfterFailure::Stop))
    }
}

/// With the settings of that layer, but that records are handled one after the other and a failure
/// stops the batch.
impl<T, State, F> From<BatchLayer<T, DynamoDb, F>> for WindowLayer<T, State, DynamoDb, F> {
    fn from(layer: BatchLayer<T, DynamoDb, F>) -> Self {
        Self::of(layer.after_failure(AfterFailure::Stop))
    }
}

impl<T, State, S: Source, F> WindowLayer<T, State, S, F> {
    fn of(layer: BatchLayer<T, S, F>) -> Self {
        Self {
            config: layer.concurrency(1).into_config(),
            state: PhantomData,
        }
    }
}

impl<T, State, S: Source, F> Clone for WindowLayer<T, State, S, F> {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            state: PhantomData,
        }
    }
}

impl<Inner, T, State, S: Source, F> Layer<Inner> for WindowLayer<T, State, S, F> {
    type Service = WindowService<Inner, T, State, S, F>;

    fn layer(&self, inner: Inner) -> Self::Service {
        WindowService::new(inner, Arc::new(self.config.clone()))
    }
}

impl<T, State, S: Source, F> fmt::Debug for WindowLayer<T, State, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowLayer")
            .field("config", &self.config)
            .field("state", &format_args!("{}", type_name::<State>()))
            .finish()
    }
}
