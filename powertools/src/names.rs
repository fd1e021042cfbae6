//! Names that more than one tool goes by.

/// The service of a function that was given no name, as the other toolkits have it.
pub(crate) const SERVICE_UNDEFINED: &str = "service_undefined";

/// A span's fields of this prefix are annotations of its trace document, and log keys.
pub(crate) const ANNOTATION: &str = "annotation.";

/// A span's fields of this prefix are metadata of its trace document.
pub(crate) const METADATA: &str = "metadata.";
