use std::{borrow::Cow, fmt, time::SystemTime};

use serde::Serialize;

use super::{
    Metrics,
    recorder::{find, find_for, of_invocation},
};

/// Returns the running invocation's metrics, for code that will not run inside it: a task that is
/// spawned, or a thread.
///
/// `None` outside of an invocation, and inside one without a [`MetricsLayer`](super::MetricsLayer)
/// around.
#[must_use]
pub fn current() -> Option<Metrics> {
    of_invocation()
}

/// Adds a dimension to all metrics of the running invocation that are not written yet.
///
/// One of the same name, also one of the layer, is replaced. Name and value are printable ASCII,
/// not blank, of at most 250 and 1024 characters; the name does not start with a colon. What
/// CloudWatch would not take, and the 31st dimension, are left out with a warning.
///
/// Every combination of values is a metric of its own to CloudWatch, and to its bill: what differs
/// in each invocation belongs in the [metadata](add_metadata).
///
/// # Examples
///
/// ```
/// use powertools::metrics;
///
/// async fn handler(status: u16) {
///     metrics::add_dimension("status", status);
/// }
/// ```
pub fn add_dimension(name: impl Into<Cow<'static, str>>, value: impl fmt::Display) {
    let name = name.into();
    if let Some(metrics) = find_for(&name) {
        metrics.add_dimension(name, value);
    }
}

/// Adds a dimension set to all metrics of the running invocation that are not written yet: a further
/// one, which CloudWatch keeps every metric by as well.
///
/// The layer's default dimensions are in each set, and then its own; the service is not, unless it is
/// given. Names and values are as those of a [dimension](add_dimension). All sets together have at
/// most 30 names. A dimension has one value in the whole object, so a set that gives it another is
/// left out with a warning, and equal sets are one. Blank dimensions are left out of the set with a
/// warning; a set without any is none.
///
/// # Examples
///
/// ```
/// use powertools::metrics;
///
/// async fn handler(tenant: &str) {
///     metrics::add_dimension("operation", "checkout");
///     // Every metric by operation, and by tenant and region, too.
///     metrics::add_dimensions([("tenant", tenant), ("region", "eu-west-1")]);
/// }
/// ```
pub fn add_dimensions<N, V>(set: impl IntoIterator<Item = (N, V)>)
where
    N: Into<Cow<'static, str>>,
    V: fmt::Display,
{
    if let Some(metrics) = find_for("a dimension set") {
        metrics.add_dimensions(set);
    }
}

/// Adds metadata to the running invocation's metrics: a member that can be searched for in the
/// logs, but is none of the metric itself.
///
/// The value may be anything serialisable. One of the same key is replaced. Metadata without
/// metrics is not written, and what goes beyond 512 KB in all, where keys count six times
/// their length, is left out with a warning.
///
/// # Examples
///
/// ```
/// use powertools::metrics;
///
/// async fn handler(order_id: &str) {
///     metrics::add_metadata("order_id", order_id);
/// }
/// ```
pub fn add_metadata(key: impl Into<Cow<'static, str>>, value: impl Serialize) {
    let key = key.into();
    if let Some(metrics) = find_for(&key) {
        metrics.add_metadata(key, value);
    }
}

/// Sets the time of all metrics of the running invocation that are not written yet, instead of the
/// time of writing.
///
/// CloudWatch takes times up to 14 days ago and up to 2 hours ahead; another is left out with a
/// warning. It holds until the invocation's end or its next [`flush`].
///
/// # Examples
///
/// ```
/// use powertools::metrics;
/// use std::time::{Duration, UNIX_EPOCH};
///
/// async fn handler(sent_at_ms: u64) {
///     metrics::set_timestamp(UNIX_EPOCH + Duration::from_millis(sent_at_ms));
/// }
/// ```
pub fn set_timestamp(timestamp: SystemTime) {
    if let Some(metrics) = find_for("a timestamp") {
        metrics.set_timestamp(timestamp);
    }
}

/// Writes what has been recorded in the running invocation, or else in the
/// [process](Metrics::set_global).
///
/// The layer does so at the invocation's end. What is recorded afterwards begins anew: without the
/// dimensions, dimension sets, metadata and timestamp that were added, with those of the layer. If
/// nothing has been recorded nothing happens, and they stay.
///
/// # Examples
///
/// ```
/// use powertools::metrics::{self, Metric, Unit};
///
/// const ROWS_IMPORTED: Metric = Metric::new("RowsImported", Unit::Count);
///
/// async fn handler(tables: &[(&'static str, u32)]) {
///     for (table, rows) in tables {
///         metrics::add_dimension("table", table);
///         ROWS_IMPORTED.record(*rows);
///         metrics::flush();
///     }
/// }
/// ```
pub fn flush() {
    if let Some(metrics) = find() {
        metrics.flush();
    }
}
