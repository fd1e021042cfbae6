use std::borrow::Cow;

/// What a [`TraceLayer`](super::TraceLayer) hands over to its services.
#[derive(Clone)]
pub(super) struct Config<C, D> {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) capture_error: bool,
    pub(super) classify: C,
    pub(super) details: D,
}
