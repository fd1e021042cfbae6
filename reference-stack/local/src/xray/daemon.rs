use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::document::Segment;
use super::tree::TraceTree;

/// More than a datagram can hold.
const BUFFER_BYTES: usize = 65_536;

/// Receives segments on a port of the loopback interface until it is dropped.
#[derive(Debug)]
pub struct XRayDaemon {
    address: SocketAddr,
    received: Arc<Received>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Received {
    segments: Mutex<Vec<Segment>>,
    refused: AtomicUsize,
}

impl XRayDaemon {
    /// Opens a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn bind() -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let received = Arc::new(Received::default());
        let task = tokio::spawn(receive(socket, Arc::clone(&received)));
        Ok(Self {
            address,
            received,
            task,
        })
    }

    /// What `AWS_XRAY_DAEMON_ADDRESS` has to be.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All segments so far, in the order of their arrival.
    pub fn segments(&self) -> Vec<Segment> {
        self.received
            .segments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many datagrams were no segments.
    pub fn refused(&self) -> usize {
        self.received.refused.load(Ordering::Relaxed)
    }

    /// What was received of one trace, as a tree.
    pub fn trace(&self, trace_id: &str) -> TraceTree {
        TraceTree::new(trace_id, self.segments())
    }
}

impl Drop for XRayDaemon {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(socket: UdpSocket, received: Arc<Received>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // An error here is an earlier answer's, that nobody listened any more: nothing to stop for.
        let Ok(length) = socket.recv(&mut buffer).await else {
            continue;
        };
        match Segment::parse(&buffer[..length]) {
            Ok(segment) => received
                .segments
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(segment),
            Err(_) => {
                received.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn garbage_is_counted_and_the_next_segment_still_arrives() {
        let daemon = XRayDaemon::bind().await.unwrap();
        assert!(daemon.address().ip().is_loopback());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(daemon.address()).await.unwrap();
        let segment = b"{\"format\":\"json\",\"version\":1}\n{\"name\":\"orders\",\"id\":\"a\",\"trace_id\":\"1-a-b\",\"start_time\":1,\"end_time\":2}";
        for datagram in [&b"\xff\xfe"[..], b"", segment] {
            socket.send(datagram).await.unwrap();
        }
        let wait = async {
            while daemon.segments().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait)
            .await
            .expect("the segment arrives");
        assert_eq!(daemon.refused(), 2);
        assert_eq!(daemon.trace("1-a-b").roots.len(), 1);
    }
}
