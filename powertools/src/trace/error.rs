/// Why a text is no trace header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceHeaderError {
    /// There is no `Root`.
    #[error("the trace header has no `Root`")]
    MissingRoot,
    /// `Root` is not a trace id.
    #[error("the trace header's `Root` is not of the form `1-<8 hex digits>-<24 hex digits>`")]
    InvalidRoot,
    /// `Parent` is not a span id.
    #[error("the trace header's `Parent` is not of the form `<16 hex digits>`")]
    InvalidParent,
}
