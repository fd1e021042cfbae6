use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::Value;
use tokio::{net::UdpSocket, task::JoinHandle};

/// What stands before every document.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html>
const HEADER: &[u8] = br#"{"format":"json","version":1}"#;

/// A UDP socket in the place of the X-Ray daemon. Dropping it closes the socket.
#[derive(Debug)]
pub struct XrayDaemon {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    receiver: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Received {
    documents: Vec<Value>,
    senders: BTreeSet<SocketAddr>,
}

impl XrayDaemon {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    ///
    /// Returns an error if loopback has no free port.
    pub async fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let received = Arc::<Mutex<Received>>::default();
        let shared = Arc::clone(&received);
        let receiver = tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok((length, sender)) = socket.recv_from(&mut buffer).await {
                let document = parse(&buffer[..length]);
                let mut received = shared.lock().expect("no holder of the lock panics");
                received.senders.insert(sender);
                unfold(document, &mut received.documents);
            }
        });
        Ok(Self {
            address,
            received,
            receiver,
        })
    }

    /// Returns what `AWS_XRAY_DAEMON_ADDRESS` has to be.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until as many documents have come, and returns them, with any that are too many.
    ///
    /// A subsegment that came inside of another counts as a document of its own, and has the ids that
    /// it would have as such.
    ///
    /// # Panics
    ///
    /// Panics if they do not come within five seconds.
    pub async fn documents(&self, expected: usize) -> Vec<Value> {
        for _ in 0..500 {
            if self.received().len() >= expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let documents = self.received();
        assert!(
            documents.len() >= expected,
            "{} of {expected} documents came: {documents:#?}",
            documents.len()
        );
        documents
    }

    /// Returns the documents that have come so far.
    #[must_use]
    pub fn received(&self) -> Vec<Value> {
        self.lock().documents.clone()
    }

    /// Returns how many sockets documents have come from so far.
    #[must_use]
    pub fn senders(&self) -> usize {
        self.lock().senders.len()
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().expect("no holder of the lock panics")
    }
}

impl Drop for XrayDaemon {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

/// Keeps a document, and those inside of it as well.
fn unfold(document: Value, documents: &mut Vec<Value>) {
    let inner = document["subsegments"].as_array().cloned();
    for mut subsegment in inner.into_iter().flatten() {
        subsegment["type"] = "subsegment".into();
        subsegment["trace_id"] = document["trace_id"].clone();
        subsegment["parent_id"] = document["id"].clone();
        unfold(subsegment, documents);
    }
    documents.push(document);
}

fn parse(datagram: &[u8]) -> Value {
    let document = datagram
        .strip_prefix(HEADER)
        .and_then(|rest| rest.strip_prefix(b"\n"))
        .unwrap_or_else(|| panic!("no header: {}", String::from_utf8_lossy(datagram)));
    serde_json::from_slice(document).expect("a document is JSON")
}
