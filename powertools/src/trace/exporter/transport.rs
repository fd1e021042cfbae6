//! The ways that spans leave by.

use lambda_runtime::Context;
#[cfg(feature = "trace-otlp")]
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanId;

#[cfg(feature = "trace-otlp")]
use super::otlp::{self, Otlp};
use super::{Flush, daemon::Daemon};
#[cfg(feature = "testing")]
use crate::testing::CapturedTraces;

/// Where spans are sent, and in which form.
#[derive(Clone, Debug)]
pub(in crate::trace) enum Target {
    /// X-Ray's documents, to the daemon at this address.
    Documents(String),
    /// Nowhere: all there is to do is to say why.
    Nowhere,
    /// OTLP, to the daemon at this address, and the attributes of the function.
    #[cfg(feature = "trace-otlp")]
    OtlpUdp(String, Vec<KeyValue>),
    /// OTLP over HTTP, and the attributes of the function.
    #[cfg(feature = "trace-otlp")]
    OtlpHttp(otlp::Endpoint, Vec<KeyValue>),
    /// X-Ray's documents, to a test.
    #[cfg(feature = "testing")]
    Captured(CapturedTraces),
}

#[derive(Debug)]
pub(super) enum Transport {
    Daemon(Daemon),
    Nowhere,
    #[cfg(feature = "trace-otlp")]
    Otlp(Otlp),
    #[cfg(feature = "testing")]
    Captured(CapturedTraces),
}

impl Transport {
    pub(super) fn new(target: Target) -> Self {
        match target {
            Target::Documents(address) => Self::Daemon(Daemon::new(address)),
            Target::Nowhere => Self::Nowhere,
            #[cfg(feature = "trace-otlp")]
            Target::OtlpUdp(address, resource) => {
                Self::Otlp(Otlp::udp(Daemon::new(address), resource))
            }
            #[cfg(feature = "trace-otlp")]
            Target::OtlpHttp(endpoint, resource) => Self::Otlp(Otlp::http(endpoint, resource)),
            #[cfg(feature = "testing")]
            Target::Captured(traces) => Self::Captured(traces),
        }
    }

    #[cfg(feature = "trace-otlp")]
    pub(super) fn otlp(&self) -> Option<&Otlp> {
        match self {
            Self::Otlp(otlp) => Some(otlp),
            _ => None,
        }
    }

    /// Sends a datagram of X-Ray's.
    pub(super) fn send(&self, datagram: &[u8]) {
        match self {
            Self::Daemon(daemon) => daemon.send(datagram),
            Self::Nowhere => {}
            #[cfg(feature = "trace-otlp")]
            Self::Otlp(_) => {}
            #[cfg(feature = "testing")]
            Self::Captured(traces) => traces.receive(datagram),
        }
    }

    #[cfg_attr(
        not(feature = "trace-otlp"),
        expect(unused_variables, reason = "UDP waits for nothing")
    )]
    pub(super) fn flush(&self, groups: &[SpanId], context: &Context) -> Option<Flush> {
        #[cfg(feature = "trace-otlp")]
        if let Self::Otlp(otlp) = self {
            return otlp.flush(groups, context);
        }
        None
    }

    pub(super) fn reset(&self) {
        match self {
            Self::Daemon(daemon) => daemon.reset(),
            Self::Nowhere => {}
            #[cfg(feature = "trace-otlp")]
            Self::Otlp(otlp) => otlp.reset(),
            #[cfg(feature = "testing")]
            Self::Captured(_) => {}
        }
    }
}
