//! The tasks of a mapping, with sources, functions and queues that live in memory.

mod delivery;
mod ending;
mod failure;
mod fakes;
mod reading;

use std::time::Duration;

use self::fakes::World;
use super::Settings;

/// A world whose function succeeds, with a batch size of ten.
fn world() -> World {
    World::new(Settings {
        batch_size: 10,
        poll_interval: Duration::from_millis(100),
        ..Settings::default()
    })
}
