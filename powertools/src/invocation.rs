use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use lambda_runtime::Context;
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;

use crate::cold_start;

tokio::task_local! {
    static CURRENT: Invocation;
}

/// The invocation that the running code belongs to.
///
/// The outermost layer of this crate opens it, and everything recorded until the handler's future
/// is gone finds it by a task-local: two invocations that run at once never mix. A task that the
/// handler spawns is another task, so it takes the invocation along:
///
/// ```
/// use powertools::Invocation;
///
/// async fn handler() {
///     let work = async { /* logs and metrics in here belong to the invocation */ };
///     match Invocation::current() {
///         Some(invocation) => tokio::spawn(invocation.scope(work)),
///         None => tokio::spawn(work),
///     };
/// }
/// ```
///
/// Cloning is cheap; every clone is the same invocation.
#[derive(Clone)]
pub struct Invocation {
    inner: Arc<Inner>,
    /// Those of the innermost layer around, which may be around one record of a batch: two that run
    /// at once have each its own.
    #[cfg(feature = "feature-flags")]
    flags: Option<crate::feature_flags::Evaluator>,
    /// Those of the innermost layer around, likewise.
    #[cfg(feature = "parameters")]
    declared: Option<Arc<crate::parameters::Snapshot>>,
}

struct Inner {
    context: Context,
    cold_start: bool,
    #[cfg(feature = "deadline")]
    deadline: crate::deadline::State,
    #[cfg(feature = "http")]
    body: crate::body::State,
    #[cfg(feature = "logging")]
    logging: crate::logging::State,
    #[cfg(feature = "metrics")]
    metrics: crate::metrics::State,
    #[cfg(feature = "trace")]
    trace: crate::trace::State,
    #[cfg(feature = "decode")]
    raw_event: std::sync::OnceLock<Box<serde_json::value::RawValue>>,
}

impl Invocation {
    /// Returns the invocation that the running code belongs to, or `None` outside of one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Returns the invocation's context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// Returns whether this is the first invocation of its execution environment.
    ///
    /// Never true under provisioned concurrency or after a SnapStart restore, where the
    /// environment was initialised before the request came, and never without a context.
    #[must_use]
    pub fn is_cold_start(&self) -> bool {
        self.inner.cold_start
    }

    /// Returns the event as Lambda sent it, if a [`DecodeLayer`](crate::decode::DecodeLayer) kept it.
    #[cfg(feature = "decode")]
    #[must_use]
    pub fn raw_event(&self) -> Option<&serde_json::value::RawValue> {
        self.inner.raw_event.get().map(|event| &**event)
    }

    /// Makes this the invocation that `future` belongs to, for a task that is spawned.
    pub fn scope<F: Future>(&self, future: F) -> InvocationFuture<F> {
        InvocationFuture {
            inner: CURRENT.scope(self.clone(), future),
        }
    }

    /// Makes this the invocation that `f` belongs to, for work on a thread of its own.
    pub fn sync_scope<R>(&self, f: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self.clone(), f)
    }

    /// Returns the running invocation if `context` is its own, and opens a new one otherwise.
    ///
    /// Every layer of this crate calls this first, so the outermost opens the invocation and the
    /// others join it. For a layer of your own it is the way to do the same, and for a test the way
    /// to have an invocation at all. Without a context, it joins whatever is running.
    #[must_use]
    pub fn current_or_open(context: Option<&Context>) -> Self {
        let joined = Self::current().filter(|current| {
            context.is_none_or(|context| context.request_id == current.context().request_id)
        });
        joined.unwrap_or_else(|| Self::open(context))
    }

    fn open(context: Option<&Context>) -> Self {
        // A call without a context comes from elsewhere: a router that is warmed up during start-up,
        // say. It must not use up what the first request is to be told.
        let cold_start = context.is_some() && cold_start::take();
        Self::new(context.cloned().unwrap_or_default(), cold_start)
    }

    pub(crate) fn new(context: Context, cold_start: bool) -> Self {
        Self {
            #[cfg(feature = "feature-flags")]
            flags: None,
            #[cfg(feature = "parameters")]
            declared: None,
            inner: Arc::new(Inner {
                context,
                cold_start,
                #[cfg(feature = "deadline")]
                deadline: Default::default(),
                #[cfg(feature = "http")]
                body: Default::default(),
                #[cfg(feature = "logging")]
                logging: Default::default(),
                #[cfg(feature = "metrics")]
                metrics: Default::default(),
                #[cfg(feature = "trace")]
                trace: Default::default(),
                #[cfg(feature = "decode")]
                raw_event: Default::default(),
            }),
        }
    }

    /// Runs `f` with the running invocation without counting a reference.
    #[cfg(any(
        feature = "feature-flags",
        feature = "logging",
        feature = "metrics",
        feature = "parameters",
        feature = "trace"
    ))]
    pub(crate) fn with_current<R>(f: impl FnOnce(&Self) -> R) -> Option<R> {
        CURRENT.try_with(f).ok()
    }

    /// Keeps `guard` to the invocation's end, or gives it back when that is now: unless the response
    /// has a body that is still to come, it is when the handler has answered.
    ///
    /// For what a tool drops to end its part of an invocation. Where the handler has not answered, as
    /// after a panic, nothing is to be waited for.
    #[cfg(any(
        feature = "deadline",
        feature = "logging",
        feature = "metrics",
        feature = "trace"
    ))]
    #[cfg_attr(
        not(feature = "http"),
        expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "no bodies")
    )]
    pub(crate) fn keep_to_end<G: Send + 'static>(&self, guard: G) -> Option<G> {
        #[cfg(feature = "http")]
        return self.inner.body.keep(guard);
        #[cfg(not(feature = "http"))]
        Some(guard)
    }

    /// Returns whether the handler has answered with a body that is still to come.
    #[cfg(feature = "deadline")]
    #[cfg_attr(
        not(feature = "http"),
        expect(clippy::unused_self, reason = "no bodies")
    )]
    pub(crate) fn has_body(&self) -> bool {
        #[cfg(feature = "http")]
        return self.inner.body.is_waiting();
        #[cfg(not(feature = "http"))]
        false
    }

    #[cfg(feature = "http")]
    pub(crate) fn body(&self) -> &crate::body::State {
        &self.inner.body
    }

    /// Keeps the event; the first one counts.
    #[cfg(feature = "decode")]
    pub(crate) fn keep_raw_event(&self, event: Box<serde_json::value::RawValue>) {
        // An invocation has one event, so another can only be the same or a test's.
        let _ = self.inner.raw_event.set(event);
    }

    #[cfg(feature = "feature-flags")]
    pub(crate) const fn flags(&self) -> Option<&crate::feature_flags::Evaluator> {
        self.flags.as_ref()
    }

    /// Returns the same invocation with the flags of a scope inside of it.
    #[cfg(feature = "feature-flags")]
    pub(crate) fn with_flags(&self, flags: crate::feature_flags::Evaluator) -> Self {
        Self {
            flags: Some(flags),
            ..self.clone()
        }
    }

    #[cfg(feature = "parameters")]
    pub(crate) const fn declared(&self) -> Option<&Arc<crate::parameters::Snapshot>> {
        self.declared.as_ref()
    }

    /// Returns the same invocation with the parameters of a scope inside of it.
    #[cfg(feature = "parameters")]
    pub(crate) fn with_declared(&self, declared: Arc<crate::parameters::Snapshot>) -> Self {
        Self {
            declared: Some(declared),
            ..self.clone()
        }
    }

    #[cfg(feature = "deadline")]
    pub(crate) fn deadline(&self) -> &crate::deadline::State {
        &self.inner.deadline
    }

    #[cfg(feature = "logging")]
    pub(crate) fn logging(&self) -> &crate::logging::State {
        &self.inner.logging
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn metrics(&self) -> &crate::metrics::State {
        &self.inner.metrics
    }

    #[cfg(feature = "trace")]
    pub(crate) fn trace(&self) -> &crate::trace::State {
        &self.inner.trace
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("request_id", &self.inner.context.request_id)
            .field("cold_start", &self.inner.cold_start)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A future that belongs to an invocation, also while it is dropped.
    ///
    /// Returned by [`Invocation::scope`].
    pub struct InvocationFuture<F> {
        #[pin]
        inner: TaskLocalFuture<Invocation, F>,
    }
}

impl<F: Future> Future for InvocationFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl<F> fmt::Debug for InvocationFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(request_id: &str) -> Context {
        let mut context = Context::default();
        context.request_id = request_id.to_owned();
        context
    }

    fn current_id() -> Option<String> {
        Invocation::current().map(|invocation| invocation.context().request_id.clone())
    }

    #[test]
    fn there_is_no_invocation_outside_of_one() {
        assert_eq!(current_id(), None);
    }

    #[tokio::test]
    async fn a_layer_inside_joins_the_invocation_of_the_layer_outside() {
        let outer = Invocation::open(Some(&context("one")));
        outer
            .scope(async {
                let joined = Invocation::current_or_open(Some(&context("one")));
                assert!(Arc::ptr_eq(&joined.inner, &outer.inner));
                let without_context = Invocation::current_or_open(None);
                assert!(Arc::ptr_eq(&without_context.inner, &outer.inner));
            })
            .await;
    }

    #[tokio::test]
    async fn a_request_of_another_invocation_opens_its_own() {
        let outer = Invocation::open(Some(&context("one")));
        let inner = outer.sync_scope(|| Invocation::current_or_open(Some(&context("two"))));
        assert_eq!(inner.context().request_id, "two");
    }

    #[tokio::test]
    async fn a_spawned_task_finds_the_invocation_it_was_given() {
        let invocation = Invocation::open(Some(&context("one")));
        let (without, with) = invocation
            .scope(async {
                let without = tokio::spawn(async { current_id() });
                let with =
                    tokio::spawn(Invocation::current().unwrap().scope(async { current_id() }));
                (without.await.unwrap(), with.await.unwrap())
            })
            .await;
        assert_eq!(without, None);
        assert_eq!(with.as_deref(), Some("one"));
    }

    #[tokio::test]
    async fn a_future_that_is_dropped_still_belongs_to_its_invocation() {
        struct OnDrop(Arc<std::sync::Mutex<Option<String>>>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                *self.0.lock().unwrap() = current_id();
            }
        }

        let seen = Arc::default();
        let guard = OnDrop(Arc::clone(&seen));
        let future = Invocation::open(Some(&context("one"))).scope(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        let mut future = Box::pin(future);
        assert!(futures_poll_once(future.as_mut()).is_pending());
        drop(future);
        assert_eq!(seen.lock().unwrap().as_deref(), Some("one"));
    }

    fn futures_poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut task::Context::from_waker(task::Waker::noop()))
    }
}
