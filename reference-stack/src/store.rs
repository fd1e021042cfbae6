//! What can go wrong with any store or stream.

/// The error type of what lies behind a port.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else changed the same thing first; nothing was written.
    #[error("the stored version is another one")]
    Conflict,
    /// The store is throttled, too slow or cannot be reached: the same may succeed later. A write
    /// may have been done nevertheless, by an attempt whose answer was lost.
    #[error("the store is unavailable")]
    Unavailable(#[source] BoxError),
    /// The store refused, or holds what cannot be read: the same will fail again.
    #[error("the store failed")]
    Failed(#[source] BoxError),
}
