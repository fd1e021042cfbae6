//! Parameters that a layer has ready before the handler runs.

mod declaration;
mod error;
mod future;
mod layer;
mod service;
mod snapshot;

pub use declaration::Declare;
pub use error::ParametersError;
pub use future::ResponseFuture;
pub use layer::ParametersLayer;
pub use service::ParametersService;
pub(crate) use snapshot::Snapshot;
pub use snapshot::declared;
