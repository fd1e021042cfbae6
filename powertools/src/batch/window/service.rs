use std::{
    fmt,
    future::poll_fn,
    marker::PhantomData,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use lambda_runtime::LambdaEvent;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tower_service::Service;
use tracing::warn;

use super::{Window, WindowEnd, WindowStep};
use crate::{
    Invocation,
    batch::{
        BatchError, BatchEvent, Decode, Json, Kinesis, Record, ResponseFuture, Source,
        WindowResponse,
        config::Config,
        event::WindowMembers,
        run::{Batch, check},
    },
};

/// The service that [`WindowLayer`](super::super::WindowLayer) makes.
///
/// As [`BatchService`](super::super::BatchService), it is always ready.
pub struct WindowService<Inner, T, State, S: Source = Kinesis, F = Json> {
    inner: Inner,
    config: Arc<Config<T, S, F, ()>>,
    state: PhantomData<fn() -> State>,
}

impl<Inner, T, State, S: Source, F> WindowService<Inner, T, State, S, F> {
    pub(super) const fn new(inner: Inner, config: Arc<Config<T, S, F, ()>>) -> Self {
        Self {
            inner,
            config,
            state: PhantomData,
        }
    }
}

impl<Inner, T, State, S, F> Service<LambdaEvent<BatchEvent>>
    for WindowService<Inner, T, State, S, F>
where
    Inner: Service<WindowStep<T, State, S::Record>, Response = State> + Clone + Send + 'static,
    Inner::Future: Send,
    Inner::Error: fmt::Debug + Send + 'static,
    T: Send + 'static,
    State: Clone + Default + DeserializeOwned + Send + 'static,
    S: Source,
    F: Decode<S, T>,
{
    type Response = WindowResponse<State>;
    type Error = BatchError<Inner::Error>;
    type Future = ResponseFuture<WindowResponse<State>, Inner::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: LambdaEvent<BatchEvent>) -> Self::Future {
        let LambdaEvent { payload, context } = event;
        let invocation = Invocation::current_or_open(Some(&context));
        let batch = run(
            self.inner.clone(),
            payload,
            invocation.clone(),
            Arc::clone(&self.config),
        );
        ResponseFuture::new(invocation.scope(batch))
    }
}

async fn run<Inner, T, State, S, F>(
    mut inner: Inner,
    mut event: BatchEvent,
    invocation: Invocation,
    config: Arc<Config<T, S, F, ()>>,
) -> Result<WindowResponse<State>, BatchError<Inner::Error>>
where
    Inner: Service<WindowStep<T, State, S::Record>, Response = State> + Clone,
    Inner::Error: fmt::Debug,
    State: Clone + Default + DeserializeOwned,
    S: Source,
    F: Decode<S, T>,
{
    let members = std::mem::take(&mut event.window);
    let records = check::<S, _>(event, config.settings.refuse_empty && !members.is_final)?;
    if members.bounds.is_none() && !records.is_empty() {
        warn!("a batch without a window: does the mapping have `TumblingWindowInSeconds`?");
    }
    let batch = Batch {
        config: &config,
        records: &records,
        invocation: &invocation,
    };
    // What all records that are wholly handled have come to, and what the parts of the last have.
    let mut state: State = read(members.state.as_deref())?;
    let mut in_parts = None;

    let mut progress = batch.begin();
    while !progress.deadline.is_over()
        && let Some(work) = progress.schedule.next()
    {
        let index = work.index;
        let fold = Fold {
            inner: inner.clone(),
            state: Some(in_parts.as_ref().unwrap_or(&state).clone()),
        };
        let handled = pin!(batch.handle_one(fold, work));
        let Some(done) = progress.deadline.limit(handled).await else {
            break;
        };
        if let Some(next) = batch.note(&mut progress, done) {
            in_parts = Some(next);
        }
        if progress.schedule.is_handled(index)
            && let Some(next) = in_parts.take()
        {
            state = next;
        }
    }
    let is_over = members.is_final && progress.schedule.is_all_handled();
    let failures = batch.end(progress).await?;
    if is_over {
        let is_early = members.is_early;
        let end = WindowEnd::of(state, window(members), is_early, invocation.clone());
        let end = async {
            poll_fn(|cx| inner.poll_ready(cx)).await?;
            inner.call(WindowStep::End(end)).await
        };
        state = end.await.map_err(BatchError::Handler)?;
    }
    Ok(WindowResponse::new(state, failures))
}

/// At its beginning Lambda gives a window an empty object.
fn read<State: Default + DeserializeOwned, E>(
    state: Option<&RawValue>,
) -> Result<State, BatchError<E>> {
    let Some(state) = state.filter(|state| state.get() != "null") else {
        return Ok(State::default());
    };
    serde_json::from_str(state.get()).or_else(|error| {
        let is_empty = state
            .get()
            .chars()
            .filter(|it| !it.is_whitespace())
            .eq("{}".chars());
        if is_empty {
            return Ok(State::default());
        }
        Err(BatchError::State {
            line: error.line(),
            column: error.column(),
        })
    })
}

fn window(members: WindowMembers) -> Window {
    let (start, end) = members
        .bounds
        .map(|it| (it.start, it.end))
        .unwrap_or_default();
    Window {
        start,
        end,
        shard_id: members.shard_id.unwrap_or_default(),
    }
}

/// The service inside, for one record.
struct Fold<Inner, State> {
    inner: Inner,
    state: Option<State>,
}

impl<Inner, T, State, M> Service<Record<T, M>> for Fold<Inner, State>
where
    Inner: Service<WindowStep<T, State, M>>,
{
    type Response = Inner::Response;
    type Error = Inner::Error;
    type Future = Inner::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, record: Record<T, M>) -> Self::Future {
        let state = self.state.take().expect("it is called once");
        self.inner.call(WindowStep::Record { record, state })
    }
}

impl<Inner: Clone, T, State, S: Source, F> Clone for WindowService<Inner, T, State, S, F> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.config))
    }
}

impl<Inner: fmt::Debug, T, State, S: Source, F> fmt::Debug
    for WindowService<Inner, T, State, S, F>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowService")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish()
    }
}
