use std::sync::Arc;

use super::CloudWatchSink;
use crate::metrics::{MetricsLayer, config::Destination};

impl<C, B> MetricsLayer<C, B> {
    /// Sends the metrics to CloudWatch by its API, instead of writing lines.
    ///
    /// For services outside of Lambda; see [`cloudwatch`](super). Metadata goes nowhere then.
    pub fn with_cloudwatch(mut self, sink: CloudWatchSink) -> Self {
        self.config.destination = Destination::Sink(Arc::new(sink));
        self
    }
}
