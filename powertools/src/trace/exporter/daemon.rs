//! The way to the X-Ray daemon.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::warn;

use crate::env;

/// The X-Ray daemon; found when the first datagram is ready for it.
#[derive(Debug)]
pub(super) struct Daemon {
    address: String,
    socket: Mutex<Socket>,
}

#[derive(Clone, Debug)]
enum Socket {
    Unopened,
    Open(Arc<(UdpSocket, SocketAddr)>),
    Failed,
}

impl Daemon {
    pub(super) const fn new(address: String) -> Self {
        Self {
            address,
            socket: Mutex::new(Socket::Unopened),
        }
    }

    /// Sends a datagram; only the first waits, if the daemon's host has to be resolved. Tracing
    /// never fails an invocation.
    pub(super) fn send(&self, datagram: &[u8]) {
        if let Some((socket, daemon)) = self.socket().as_deref() {
            // Not connected, so that a daemon that was away for one datagram gets the next.
            let _ = socket.send_to(datagram, daemon);
        }
    }

    /// Forgets the socket, so that the next datagram opens one.
    pub(super) fn reset(&self) {
        *self.lock() = Socket::Unopened;
    }

    fn socket(&self) -> Option<Arc<(UdpSocket, SocketAddr)>> {
        let mut socket = self.lock();
        let error = match &*socket {
            Socket::Open(socket) => return Some(Arc::clone(socket)),
            Socket::Failed => return None,
            Socket::Unopened => match open(&self.address) {
                Ok(opened) => {
                    let opened = Arc::new(opened);
                    *socket = Socket::Open(Arc::clone(&opened));
                    return Some(opened);
                }
                Err(error) => error,
            },
        };
        *socket = Socket::Failed;
        // Afterwards: who listens to warnings may have spans, and send them.
        drop(socket);
        let (variable, value) = (env::XRAY_DAEMON_ADDRESS, &self.address);
        warn!(variable, value, %error, "no traces are sent: no X-Ray daemon");
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_daemon_is_found_again_after_a_reset() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let daemon = Daemon::new(receiver.local_addr().unwrap().to_string());
        let sender = || {
            daemon.send(b"datagram");
            receiver.recv_from(&mut [0; 16]).unwrap().1
        };
        let first = sender();
        assert_eq!(sender(), first);
        let stale = daemon.socket().unwrap();
        daemon.reset();
        assert_ne!(sender(), first);
        drop(stale);
    }

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
