use std::{
    any::type_name,
    fmt,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::value::RawValue;

use super::{DecodeError, FailedRecord, FailureSink, ItemIdentifier, Record, Settlement, Source};

/// What a layer is told, and its service works by.
pub(super) struct Config<T, S: Source, F, C> {
    pub(super) source: S,
    pub(super) format: Arc<F>,
    pub(super) classify: Arc<C>,
    pub(super) settings: Settings,
    pub(super) trace_header: Option<Arc<TraceHeaderOf<T, S>>>,
}

/// What is told of whatever source and payload.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) concurrency: NonZeroUsize,
    pub(super) margin: Duration,
    pub(super) metrics: bool,
    pub(super) log_failures: bool,
    pub(super) raise: bool,
    pub(super) refuse_empty: bool,
    pub(super) sink: Option<Arc<dyn DynFailureSink>>,
    pub(super) undecodable: Option<Arc<OnUndecodable>>,
    pub(super) now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

pub(super) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub(super) type OnUndecodable =
    dyn Fn(UndecodableRecord) -> BoxFuture<'static, Result<(), DecodeError>> + Send + Sync;

pub(super) type TraceHeaderOf<T, S> =
    dyn Fn(&Record<T, <S as Source>::Record>) -> Option<String> + Send + Sync;

/// A record that could not be decoded, for whoever looks after those.
#[non_exhaustive]
pub struct UndecodableRecord {
    /// Why.
    pub error: DecodeError,
    /// How it is called, if it is called anything.
    pub identifier: Option<ItemIdentifier>,
    /// The record as it is in the event.
    pub raw: Box<RawValue>,
}

/// Shows nothing of the record.
impl fmt::Debug for UndecodableRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UndecodableRecord")
            .field("error", &self.error)
            .field("identifier", &self.identifier)
            .finish_non_exhaustive()
    }
}

/// A [`FailureSink`] behind a pointer.
pub(super) trait DynFailureSink: Send + Sync {
    fn settle<'a>(&'a self, records: &'a [FailedRecord<'a>]) -> BoxFuture<'a, Vec<Settlement>>;
}

impl<K: FailureSink> DynFailureSink for K {
    fn settle<'a>(&'a self, records: &'a [FailedRecord<'a>]) -> BoxFuture<'a, Vec<Settlement>> {
        Box::pin(FailureSink::settle(self, records))
    }
}

impl<T, S: Source, F, C> Clone for Config<T, S, F, C> {
    fn clone(&self) -> Self {
        Self {
            source: self.source.clone(),
            format: Arc::clone(&self.format),
            classify: Arc::clone(&self.classify),
            settings: self.settings.clone(),
            trace_header: self.trace_header.clone(),
        }
    }
}

impl<T, S: Source, F, C> fmt::Debug for Config<T, S, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        f.debug_struct("Config")
            .field("source", &self.source)
            .field("format", &format_args!("{}", type_name::<F>()))
            .field("concurrency", &settings.concurrency)
            .field("margin", &settings.margin)
            .field("metrics", &settings.metrics)
            .field("raise_on_entire_batch_failure", &settings.raise)
            .field("refuse_empty_batch", &settings.refuse_empty)
            .finish_non_exhaustive()
    }
}
