//! Batches that add up to a window of time.

mod layer;
mod service;
mod step;

pub use layer::WindowLayer;
pub use service::WindowService;
pub use step::{Window, WindowEnd, WindowStep};
