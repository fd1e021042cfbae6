use lambda_runtime::{LambdaEvent, LambdaInvocation};
use serde_json::{Value, value::RawValue};
use tracing::level_filters::LevelFilter;

/// Finds the level that a request is to be logged at.
///
/// Implemented for closures `Fn(&Request) -> Option<Level>`, and for `()`, which finds none.
pub trait RequestLevel<Request> {
    /// Returns the level that the request asks for.
    fn level(&self, request: &Request) -> Option<LevelFilter>;
}

impl<Request> RequestLevel<Request> for () {
    fn level(&self, _: &Request) -> Option<LevelFilter> {
        None
    }
}

impl<F, Request> RequestLevel<Request> for F
where
    F: Fn(&Request) -> Option<tracing::Level>,
{
    fn level(&self, request: &Request) -> Option<LevelFilter> {
        self(request).map(Into::into)
    }
}

/// Finds the event in a request, so that it can be logged.
///
/// Implemented for [`RawEvent`], for closures `Fn(&Request) -> serde_json::Value`, and for `()`,
/// which finds none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` finds no event in `{Request}`",
    note = "`RawEvent` needs the event's JSON text: put a `DecodeLayer::<T>::new()` inside of the \
            logging layer, and give the stack `LambdaEvent<Box<RawValue>>`"
)]
pub trait EventJson<Request> {
    /// Returns the event as JSON.
    fn event(&self, request: &Request) -> Option<Box<RawValue>>;
}

impl<Request> EventJson<Request> for () {
    fn event(&self, _: &Request) -> Option<Box<RawValue>> {
        None
    }
}

impl<F, Request> EventJson<Request> for F
where
    F: Fn(&Request) -> Value,
{
    fn event(&self, request: &Request) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(&self(request)).ok()
    }
}

/// Finds the event where the request holds its JSON text: `LambdaEvent<Box<RawValue>>` and
/// `LambdaInvocation`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawEvent;

impl RawEvent {
    /// Makes the finder.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl EventJson<LambdaEvent<Box<RawValue>>> for RawEvent {
    fn event(&self, request: &LambdaEvent<Box<RawValue>>) -> Option<Box<RawValue>> {
        Some(request.payload.clone())
    }
}

impl EventJson<LambdaInvocation> for RawEvent {
    fn event(&self, request: &LambdaInvocation) -> Option<Box<RawValue>> {
        serde_json::from_slice(&request.body).ok()
    }
}
