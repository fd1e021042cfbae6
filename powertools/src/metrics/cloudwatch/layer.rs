use std::sync::Arc;

use super::CloudWatchSink;
use crate::metrics::{MetricsLayer, config::Destination};

impl<C, B> MetricsLayer<C, B> {
    /// Sends the metrics to CloudWatch by its API, instead of writing lines.
    ///
    /// For services outside of Lambda; see [`cloudwatch`](super). Metadata goes nowhere then.
    ///
    /// The sink compares with the time of the system, as CloudWatch does, and not with the layer's
    /// [clock](Self::with_clock): what that says is more than two weeks old, or more than two hours
    /// ahead, is dropped.
    pub fn with_cloudwatch(mut self, sink: CloudWatchSink) -> Self {
        self.config.destination = Destination::Sink(Arc::new(sink));
        self
    }
}
