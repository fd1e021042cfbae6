use std::{ops::RangeInclusive, pin::Pin, time::SystemTime};

use aws_sdk_cloudwatch::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata as _, SdkError},
    operation::put_metric_data::PutMetricDataError,
    primitives::DateTime,
    types::{self, MetricDatum, StandardUnit},
};

use super::{datum::Datum, limits::window, request::Request};

/// What sends requests: CloudWatch's client, or what a test has instead.
pub(super) trait Put: Send + Sync {
    fn put<'a>(&'a self, request: &'a Request) -> Putting<'a>;
}

/// The result of one request, to come.
pub(super) type Putting<'a> = Pin<Box<dyn Future<Output = Result<(), PutError>> + Send + 'a>>;

/// Why a request's data have not arrived.
#[derive(Debug)]
pub(super) enum PutError {
    /// CloudWatch does not take them, and never will.
    Refused(BoxError),
    /// They may be taken another time.
    Failed(BoxError),
}

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is in the codes with which a request is refused for what is wrong with the caller, its
/// rights or the moment. The status may be the same as for what is wrong with the data.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html>
const NOT_THE_DATA: [&str; 14] = [
    "Aborted",
    "AccessDenied",
    "Authentication",
    "Expired",
    "LimitExceeded",
    "NotAuthorized",
    "OptInRequired",
    "RequestTime",
    "Signature",
    "SlowDown",
    "Throttl",
    "Token",
    "TooManyRequests",
    "UnrecognizedClient",
];

impl Put for Client {
    fn put<'a>(&'a self, request: &'a Request) -> Putting<'a> {
        Box::pin(async move {
            let times = window(SystemTime::now());
            let data = request.data().iter();
            let data = data.map(|datum| metric_datum(datum, &times)).collect();
            let put = self
                .put_metric_data()
                .namespace(request.namespace.as_ref())
                .set_metric_data(Some(data));
            match put.send().await {
                Ok(_) => Ok(()),
                Err(error) if is_refusal(&error) => Err(PutError::Refused(error.into())),
                Err(error) => Err(PutError::Failed(error.into())),
            }
        })
    }
}

fn metric_datum(datum: &Datum, times: &RangeInclusive<u64>) -> MetricDatum {
    let dimensions = datum.dimensions.iter().map(|dimension| {
        types::Dimension::builder()
            .name(&*dimension.name)
            .value(&*dimension.value)
            .build()
    });
    let (values, counts) = datum
        .values
        .iter()
        .map(|(value, count)| (value, count as f64))
        .unzip();
    MetricDatum::builder()
        .metric_name(datum.metric.name())
        .set_dimensions(Some(dimensions.collect()))
        .timestamp(DateTime::from_millis(
            i64::try_from(datum.timestamp(times)).unwrap_or(i64::MAX),
        ))
        .set_values(Some(values))
        .set_counts(Some(counts))
        .unit(StandardUnit::from(datum.metric.unit().as_str()))
        .storage_resolution(if datum.metric.is_high_resolution() {
            1
        } else {
            60
        })
        .build()
}

fn is_refusal(error: &SdkError<PutMetricDataError, HttpResponse>) -> bool {
    let SdkError::ServiceError(answer) = error else {
        return false;
    };
    match answer.raw().status().as_u16() {
        413 => true,
        400 => {
            let code = answer.err().code().unwrap_or_default();
            !NOT_THE_DATA.iter().any(|part| code.contains(part))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Unit;

    #[test]
    fn the_client_knows_every_unit() {
        for unit in Unit::ALL {
            assert!(StandardUnit::values().contains(&unit.as_str()), "{unit}");
        }
    }
}
