use std::{
    fmt,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tower_layer::Layer;

use super::{
    BatchService, DecodeError, DynamoDb, FailureSink, Images, Json, Kafka, Kinesis, Source, Sqs,
    SqsFifo, UndecodableRecord,
    config::{Config, Settings},
    source::AfterFailure,
};

/// What is kept of the time for the answer if nobody says otherwise: enough to come before a
/// [`DeadlineLayer`](crate::deadline::DeadlineLayer) outside.
const MARGIN: Duration = Duration::from_millis(500);

/// Makes a service for the whole event of a batch out of a service for one record.
///
/// `T` is what a record carries, decoded, and is inferred from the service inside; `S` what the
/// batch comes from; `F` the [format](super::Format) of the records; `C` what is to become of records
/// that [fail](Self::classify).
///
/// See the [module docs](super).
#[must_use]
pub struct BatchLayer<T, S: Source = Sqs, F = Json, C = ()> {
    config: Config<T, S, F, C>,
}

impl<T> BatchLayer<T> {
    /// Makes a layer for a standard queue of SQS. The payload is a message's body.
    pub fn sqs() -> Self {
        Self::of(Sqs {}, Json)
    }
}

impl<T> BatchLayer<T, SqsFifo> {
    /// Makes a layer for a FIFO queue of SQS. The payload is a message's body.
    ///
    /// Messages of one group are handled in their order. After one has failed, all that are not
    /// begun are reported as failed without being handled, unless
    /// [`skip_group_on_error`](Self::skip_group_on_error) is set.
    pub fn sqs_fifo() -> Self {
        Self::of(SqsFifo::default(), Json)
    }
}

impl<T> BatchLayer<T, Kinesis> {
    /// Makes a layer for a data stream of Kinesis. The payload is a record's data.
    ///
    /// With [`concurrency`](Self::concurrency), records of one partition key are still handled in
    /// their order. By default the records after one that fails are handled nevertheless, also those
    /// of its key; [`AfterFailure::SkipKey`] keeps them back.
    pub fn kinesis() -> Self {
        Self::of(Kinesis::default(), Json)
    }
}

impl<T> BatchLayer<T, DynamoDb, Images> {
    /// Makes a layer for the stream of a DynamoDB table. The payload is a [`Change`](super::Change)
    /// of items.
    ///
    /// With [`concurrency`](Self::concurrency), changes of one item are still handled in their order.
    /// What a failure means for the records after it: [`AfterFailure`].
    pub fn dynamodb() -> Self {
        Self::of(DynamoDb::default(), Images)
    }
}

impl<T> BatchLayer<T, Kafka> {
    /// Makes a layer for topics of Kafka, Amazon MSK's or of your own. The payload is a record's
    /// value; where that is null, it is JSON's `null`, so `T` is an `Option` where keys are deleted.
    ///
    /// With [`concurrency`](Self::concurrency), records of one key in a partition are still handled
    /// in their order. What a failure means for the records after it: [`AfterFailure`].
    ///
    /// Lambda asks for provisioned mode of the event source mapping to report single records.
    /// Source: <https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>
    pub fn kafka() -> Self {
        Self::of(Kafka::default(), Json)
    }
}

impl<T, S: Source, F> BatchLayer<T, S, F> {
    fn of(source: S, format: F) -> Self {
        Self {
            config: Config {
                source,
                format: Arc::new(format),
                classify: Arc::new(()),
                settings: Settings {
                    concurrency: NonZeroUsize::MIN,
                    margin: MARGIN,
                    metrics: false,
                    log_failures: true,
                    raise: true,
                    refuse_empty: false,
                    sink: None,
                    undecodable: None,
                    now: Arc::new(SystemTime::now),
                },
                trace_header: None,
            },
        }
    }
}

impl<T, S: Source, F, C> BatchLayer<T, S, F, C> {
    pub(super) fn into_config(self) -> Config<T, S, F, C> {
        self.config
    }

    /// Sets how many records are handled at the same time, in one task.
    ///
    /// Defaults to 1. Memory grows with it, not with the size of the batch.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[track_caller]
    pub fn concurrency(mut self, records: usize) -> Self {
        self.config.settings.concurrency =
            NonZeroUsize::new(records).expect("the concurrency of a batch must not be zero");
        self
    }

    /// Sets the format of the records.
    ///
    /// Defaults to [`Json`], for DynamoDB to [`Images`], which is the only one there.
    pub fn format<G>(self, format: G) -> BatchLayer<T, S, G, C> {
        let config = self.config;
        BatchLayer {
            config: Config {
                source: config.source,
                format: Arc::new(format),
                classify: config.classify,
                settings: config.settings,
                trace_header: config.trace_header,
            },
        }
    }

    /// Decides what is to become of records that fail: a closure
    /// `Fn(&RecordError<E>) -> Disposition`.
    ///
    /// By default all are to be tried again. What goes beyond that takes a
    /// [failure sink](Self::with_failure_sink).
    pub fn classify<D>(self, classify: D) -> BatchLayer<T, S, F, D> {
        let config = self.config;
        BatchLayer {
            config: Config {
                source: config.source,
                format: config.format,
                classify: Arc::new(classify),
                settings: config.settings,
                trace_header: config.trace_header,
            },
        }
    }

    /// Sets who takes the records that are not simply to be tried again.
    ///
    /// Defaults to nobody.
    pub fn with_failure_sink(mut self, sink: impl FailureSink) -> Self {
        self.config.settings.sink = Some(Arc::new(sink));
        self
    }

    /// Sets who looks after records that cannot be decoded: keeps them somewhere, say. One that is
    /// looked after counts as handled; the error that is returned otherwise is the record's.
    ///
    /// By default such a record fails alone.
    pub fn on_undecodable<G, Fut>(mut self, handler: G) -> Self
    where
        G: Fn(UndecodableRecord) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), DecodeError>> + Send + 'static,
    {
        self.config.settings.undecodable = Some(Arc::new(move |record| Box::pin(handler(record))));
        self
    }

    /// Says whether a batch of which every record fails is an error of the invocation.
    ///
    /// Defaults to `true`: Lambda's metric `Errors` and its alarms see it then. `false` reports every
    /// record instead. Either way all of them are delivered again.
    pub fn raise_on_entire_batch_failure(mut self, on: bool) -> Self {
        self.config.settings.raise = on;
        self
    }

    /// Says whether an event without records is refused, as by the other toolkits, with
    /// [`BatchError::UnexpectedBatchType`](super::BatchError::UnexpectedBatchType).
    ///
    /// Defaults to `false`: nothing to do is done.
    pub fn refuse_empty_batch(mut self, on: bool) -> Self {
        self.config.settings.refuse_empty = on;
        self
    }

    /// Sets how long before the invocation's deadline the batch is answered: no record is begun any
    /// more, those that are being handled are dropped, and all of them are reported as failed.
    ///
    /// Defaults to 500 ms, and is never more than half of the time that is left when the batch comes.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.config.settings.margin = margin;
        self
    }

    /// Says whether metrics are recorded: `BatchSize`, `BatchRecordFailures` (those reported), and for
    /// streams `IteratorAge` in milliseconds, of the batch's last record.
    ///
    /// Defaults to `false`. It takes feature `metrics` and a `MetricsLayer` around.
    pub fn metrics(mut self, on: bool) -> Self {
        self.config.settings.metrics = on;
        self
    }

    /// Says whether every record that fails is logged as a warning, with its error's `Debug` text as
    /// the runtime logs it for an invocation.
    ///
    /// Defaults to `true`.
    pub fn log_failures(mut self, on: bool) -> Self {
        self.config.settings.log_failures = on;
        self
    }

    /// Sets where a record has the trace header of what caused it, for sources that carry none: the
    /// record's span continues that trace, and links to the invocation's.
    ///
    /// Defaults to the attribute `AWSTraceHeader` of SQS, and otherwise to nowhere. A header that
    /// cannot be read costs the connection of the two traces, not the record.
    #[cfg(feature = "trace")]
    pub fn with_trace_header(
        mut self,
        header: impl Fn(&super::Record<T, S::Record>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.config.trace_header = Some(Arc::new(header));
        self
    }

    /// Sets the clock that deadlines and ages are told by, for tests. It is asked once in each
    /// invocation.
    ///
    /// Defaults to the system's.
    pub fn with_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.config.settings.now = Arc::new(now);
        self
    }
}

impl<T, F, C> BatchLayer<T, SqsFifo, F, C> {
    /// Says whether a failure only keeps those of its own group from being handled.
    ///
    /// Defaults to `false`: after the first failure no message is begun, of whatever group.
    pub fn skip_group_on_error(mut self, on: bool) -> Self {
        self.config.source.skip_group_on_error = on;
        self
    }
}

impl<T, F, C> BatchLayer<T, Kinesis, F, C> {
    /// Sets what becomes of the records after one that has failed.
    ///
    /// Defaults to [`AfterFailure::Continue`].
    pub fn after_failure(mut self, after: AfterFailure) -> Self {
        self.config.source.after_failure = after;
        self
    }

    /// Says whether records that the Kinesis Producer Library has put into one are handled one by
    /// one. If one fails, all that came with it are delivered again.
    ///
    /// Defaults to `false`.
    pub fn deaggregate(mut self, on: bool) -> Self {
        self.config.source.deaggregate = on;
        self
    }
}

impl<T, F, C> BatchLayer<T, DynamoDb, F, C> {
    /// Sets what becomes of the records after one that has failed.
    ///
    /// Defaults to [`AfterFailure::Continue`].
    pub fn after_failure(mut self, after: AfterFailure) -> Self {
        self.config.source.after_failure = after;
        self
    }
}

impl<T, F, C> BatchLayer<T, Kafka, F, C> {
    /// Sets what becomes of the records after one that has failed.
    ///
    /// Defaults to [`AfterFailure::Continue`].
    pub fn after_failure(mut self, after: AfterFailure) -> Self {
        self.config.source.after_failure = after;
        self
    }
}

impl<T, S: Source, F, C> Clone for BatchLayer<T, S, F, C> {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
        }
    }
}

impl<Inner, T, S: Source, F, C> Layer<Inner> for BatchLayer<T, S, F, C> {
    type Service = BatchService<Inner, T, S, F, C>;

    fn layer(&self, inner: Inner) -> Self::Service {
        BatchService::new(inner, Arc::new(self.config.clone()))
    }
}

impl<T, S: Source, F, C> fmt::Debug for BatchLayer<T, S, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchLayer")
            .field("config", &self.config)
            .finish()
    }
}
