use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{task::JoinHandle, time::timeout};

/// Waits until spans are out, or until there is no more time for it. The spans go on also when it is
/// dropped.
pub(in crate::trace) struct Flush {
    inner: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Flush {
    pub(super) fn new(requests: Vec<JoinHandle<()>>, limit: Option<Duration>) -> Self {
        let all = async {
            for request in requests {
                // One that panics has told so.
                let _ = request.await;
            }
        };
        let inner = async move {
            match limit {
                Some(limit) => timeout(limit, all).await.unwrap_or_default(),
                None => all.await,
            }
        };
        Self {
            inner: Box::pin(inner),
        }
    }
}

impl Future for Flush {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.as_mut().poll(cx)
    }
}

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flush").finish_non_exhaustive()
    }
}
