//! Sends each span to the X-Ray daemon as soon as it has ended.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    sync::OnceLock,
    time::Duration,
};

use opentelemetry::{Context, KeyValue, trace::TraceContextExt};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tracing::warn;

use super::{document::Document, unsigned};
use crate::{env, names::ANNOTATION};

/// What every datagram begins with.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon>
const PREFIX: &[u8] = b"{\"format\":\"json\",\"version\":1}\n";

/// The most that a datagram over IPv4 carries, just under the 64 KB that X-Ray takes for a segment.
/// Source: <https://docs.aws.amazon.com/general/latest/gr/xray.html>
const DATAGRAM_LENGTH: usize = 65_507;

/// One span, one document, one datagram: nothing is queued, so there is nothing to flush, and
/// what happens to one span cannot happen to another. A span ends after those inside it, so
/// children leave before their parents, as with the other toolkits.
#[derive(Debug)]
pub(super) struct Exporter {
    service: Option<String>,
    daemon: Daemon,
}

impl Exporter {
    pub(super) fn new(service: Option<String>, daemon: String) -> Self {
        Self {
            service,
            daemon: Daemon::new(daemon),
        }
    }
}

impl SpanProcessor for Exporter {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        // The first span of this function in a trace that came from elsewhere.
        if let Some(service) = &self.service
            && parent.span().span_context().is_remote()
        {
            let key = format!("{ANNOTATION}Service");
            opentelemetry::trace::Span::set_attribute(span, KeyValue::new(key, service.clone()));
        }
    }

    fn on_end(&self, mut span: SpanData) {
        unsigned::restore(&mut span.attributes);
        let mut document = Document::new(&span, self.service.as_deref());
        let mut datagram = to_datagram(&document);
        if datagram.len() > DATAGRAM_LENGTH && document.drop_metadata() {
            let bytes = datagram.len();
            warn!(
                span = document.name(),
                bytes, "trace metadata left out: too large for X-Ray"
            );
            datagram = to_datagram(&document);
        }
        if datagram.len() > DATAGRAM_LENGTH {
            let bytes = datagram.len();
            warn!(
                span = document.name(),
                bytes, "span left out: too large for X-Ray"
            );
        } else if !datagram.is_empty() {
            self.daemon.send(&datagram);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn to_datagram(document: &Document<'_>) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(1024);
    datagram.extend_from_slice(PREFIX);
    if let Err(error) = serde_json::to_writer(&mut datagram, document) {
        warn!(span = document.name(), %error, "span left out: it could not be serialised");
        datagram.clear();
    }
    datagram
}

/// The X-Ray daemon; found when the first document is ready for it.
#[derive(Debug)]
struct Daemon {
    address: String,
    socket: OnceLock<Option<(UdpSocket, SocketAddr)>>,
}

impl Daemon {
    fn new(address: String) -> Self {
        Self {
            address,
            socket: OnceLock::new(),
        }
    }

    /// Sends a datagram; only the first waits, if the daemon's host has to be resolved. Tracing
    /// never fails an invocation.
    fn send(&self, datagram: &[u8]) {
        let mut failed = None;
        let socket = self.socket.get_or_init(|| {
            open(&self.address)
                .map_err(|error| failed = Some(error))
                .ok()
        });
        // Afterwards: who listens to warnings may have spans, and send them.
        if let Some(error) = failed {
            let (variable, value) = (env::XRAY_DAEMON_ADDRESS, &self.address);
            warn!(variable, value, %error, "no traces are sent: no X-Ray daemon");
        }
        if let Some((socket, daemon)) = socket {
            // Not connected, so that a daemon that was away for one datagram gets the next.
            let _ = socket.send_to(datagram, daemon);
        }
    }
}

fn open(address: &str) -> io::Result<(UdpSocket, SocketAddr)> {
    let invalid = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
    let address = udp_address(address)
        .ok_or_else(|| invalid("neither `host:port` nor `tcp:host:port udp:host:port`"))?;
    // The daemon listens on IPv4 unless it is told otherwise.
    let daemons: Vec<_> = address.to_socket_addrs()?.collect();
    let daemon = *daemons
        .iter()
        .find(|daemon| daemon.is_ipv4())
        .or(daemons.first())
        .ok_or_else(|| invalid("the host has no address"))?;
    // Beside a daemon on loopback, no other host reaches the socket.
    let own: IpAddr = match daemon.ip() {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((own, 0))?;
    socket.set_nonblocking(true)?;
    Ok((socket, daemon))
}

/// Returns where documents go: `host:port`, or the part behind `udp:` of a pair of addresses.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-sdk-python-configuration.html#xray-sdk-python-configuration-envvars>
fn udp_address(address: &str) -> Option<&str> {
    let mut parts = address.split_whitespace();
    let address = match (parts.next()?, parts.next(), parts.next()) {
        (address, None, None) => address,
        (one, Some(two), None) => match (one.strip_prefix("udp:"), two.strip_prefix("udp:")) {
            (Some(udp), None) if two.starts_with("tcp:") => udp,
            (None, Some(udp)) if one.starts_with("tcp:") => udp,
            _ => return None,
        },
        _ => return None,
    };
    let (host, port) = address.rsplit_once(':')?;
    let is_host = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
    (is_host && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_on_loopback_is_sent_to_from_there() {
        for (daemon, own) in [
            ("127.0.0.1:2000", "127.0.0.1"),
            ("192.0.2.1:2000", "0.0.0.0"),
        ] {
            let (socket, _) = open(daemon).unwrap();
            assert_eq!(socket.local_addr().unwrap().ip().to_string(), own);
        }
    }

    #[test]
    fn every_documented_form_of_the_address_is_read() {
        for (address, udp) in [
            ("127.0.0.1:2000", "127.0.0.1:2000"),
            ("xray.internal:2000", "xray.internal:2000"),
            ("[::1]:2000", "[::1]:2000"),
            ("tcp:127.0.0.1:2000 udp:127.0.0.2:2001", "127.0.0.2:2001"),
            ("udp:127.0.0.2:2001  tcp:127.0.0.1:2000", "127.0.0.2:2001"),
        ] {
            assert_eq!(udp_address(address), Some(udp), "{address}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for address in [
            "",
            "2000",
            ":2000",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "::1:2000",
            "udp:127.0.0.1:2000",
            "tcp:127.0.0.1:2000 tcp:127.0.0.1:2001",
            "127.0.0.1:2000 127.0.0.1:2001",
            "udp:127.0.0.1:2000 tcp:127.0.0.1:2000 udp:127.0.0.1:2001",
        ] {
            assert_eq!(udp_address(address), None, "{address}");
        }
    }
}
