use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
#[cfg(any(feature = "logging", feature = "metrics", feature = "trace"))]
use tracing::Span;

use super::hold::Hold;
use crate::Invocation;

pin_project! {
    /// The body of a response, which keeps its invocation open until it has ended or is dropped.
    ///
    /// It hands everything through as it is; made by [`BodyLayer`](super::BodyLayer).
    pub struct InvocationBody<B> {
        // `None` once it has ended: what it holds belongs to the invocation, and goes before it ends.
        #[pin]
        inner: Option<B>,
        scope: Option<Scope>,
    }

    impl<B> PinnedDrop for InvocationBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            end(this.inner, this.scope);
        }
    }
}

impl<B: Body> InvocationBody<B> {
    pub(super) fn new(inner: B, invocation: &Invocation) -> Self {
        Self {
            scope: (!inner.is_end_stream()).then(|| Scope::new(invocation.clone())),
            inner: Some(inner),
        }
    }
}

impl<B: Body> Body for InvocationBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let Some(scope) = this.scope.as_ref() else {
            return inner.poll_frame(cx);
        };
        let (frame, has_ended) = scope.run(|| {
            let frame = inner.as_mut().poll_frame(cx);
            let has_ended = match &frame {
                Poll::Pending => false,
                Poll::Ready(None) => true,
                // Who sends the body may not ask again for what it knows already.
                Poll::Ready(Some(_)) => inner.is_end_stream(),
            };
            (frame, has_ended)
        });
        if let Poll::Ready(Some(Err(_))) = &frame {
            scope.fail();
        }
        if has_ended {
            end(this.inner, this.scope);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref().map(Body::size_hint);
        inner.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

/// Ends the body, and then the invocation.
fn end<B>(mut inner: Pin<&mut Option<B>>, scope: &mut Option<Scope>) {
    match scope {
        Some(scope) => scope.run(|| inner.set(None)),
        None => inner.set(None),
    }
    scope.take();
}

/// What the body's own work is done in, as if it were the handler's.
struct Scope {
    hold: Hold,
    #[cfg(any(feature = "logging", feature = "metrics", feature = "trace"))]
    span: Span,
}

impl Scope {
    fn new(invocation: Invocation) -> Self {
        Self {
            hold: Hold::new(invocation),
            #[cfg(any(feature = "logging", feature = "metrics", feature = "trace"))]
            span: Span::current(),
        }
    }

    /// Runs a part of the body's work, which has failed if it panics: who catches the panic may drop
    /// the body later, when nothing panics any more.
    fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        struct FailOnPanic<'a> {
            scope: &'a Scope,
            is_armed: bool,
        }

        impl Drop for FailOnPanic<'_> {
            fn drop(&mut self) {
                if self.is_armed {
                    self.scope.fail();
                }
            }
        }

        let mut guard = FailOnPanic {
            scope: self,
            is_armed: true,
        };
        #[cfg(any(feature = "logging", feature = "metrics", feature = "trace"))]
        let f = || self.span.in_scope(f);
        let result = self.hold.in_scope(f);
        guard.is_armed = false;
        result
    }

    /// The body failed, after a head that may have told of a success.
    #[cfg_attr(
        not(feature = "trace"),
        expect(clippy::unused_self, reason = "no span")
    )]
    fn fail(&self) {
        #[cfg(feature = "trace")]
        crate::trace::SpanExt::record_outcome(&self.span, crate::classify::Outcome::Fault);
    }
}

impl<B: fmt::Debug> fmt::Debug for InvocationBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
