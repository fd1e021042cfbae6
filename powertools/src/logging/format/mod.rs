//! The forms a line can have.

mod ecs;
mod json;
mod pretty;
mod time;

pub use ecs::EcsFormat;
pub use json::JsonFormat;
pub(super) use json::{Members, SERVICE, fields_but_service, service};
pub use pretty::PrettyFormat;
pub(super) use time::{TimeStyle, Zone};
