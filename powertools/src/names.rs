//! Names that more than one tool goes by.

/// The service of a function that was given no name, as the other toolkits have it.
pub(crate) const SERVICE_UNDEFINED: &str = "service_undefined";

/// A span's fields of this prefix are annotations of its trace document, and log keys.
pub(crate) const ANNOTATION: &str = "annotation.";

/// A span's fields of this prefix are metadata of its trace document.
pub(crate) const METADATA: &str = "metadata.";

/// Returns whether a span is the one that lambda_runtime's own `TracingLayer` opens around every
/// invocation.
pub(crate) fn is_of_runtime(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.name() == "Lambda runtime invoke"
}
