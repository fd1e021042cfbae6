//! What PutMetricData takes.

use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The most data of one request.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
pub(super) const DATA_PER_REQUEST: usize = 1000;

/// The largest request, in bytes. It is not said whether that is before or after compression, nor
/// which megabyte is meant, so the smaller one counts, and what is not compressed yet.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
pub(super) const REQUEST_SIZE: usize = 1_000_000;

/// The most different values of one datum.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
pub(super) const VALUES_PER_DATUM: usize = 150;

/// How old a datum may be.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
pub(super) const OLDEST: Duration = Duration::from_hours(14 * 24);

/// How far ahead of the time a datum may be.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
pub(super) const NEWEST: Duration = Duration::from_hours(2);

/// The times that CloudWatch takes now (epoch, ms).
pub(super) fn window(now: SystemTime) -> RangeInclusive<u64> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    millis(now.saturating_sub(OLDEST))..=millis(now.saturating_add(NEWEST))
}

/// What CloudWatch keeps together: a minute, or a second of a metric of high resolution. In
/// milliseconds.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
pub(super) const fn period(high_resolution: bool) -> u64 {
    if high_resolution { 1_000 } else { 60_000 }
}
