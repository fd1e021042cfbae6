//! The X-Ray daemon: functions send it their segments over UDP; here they are kept and joined into trace trees.

mod daemon;
mod document;
mod tree;

pub use self::daemon::XRayDaemon;
pub use self::document::{DocumentError, Link, Segment};
pub use self::tree::{Node, TraceTree};
