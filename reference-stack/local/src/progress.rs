use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What happens while the local cloud is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step has begun.
    Started(&'a str),
    /// The step that runs has something to say: what it does at the moment.
    Detail(&'a str),
    /// The step is done.
    Finished(&'a str, Duration),
}

/// Who hears of the steps of the set-up. Nobody, by default.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event<'_>) + Send + Sync>);

impl Progress {
    /// Calls `listener` for each event.
    pub fn new(listener: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Begins a step.
    pub(crate) fn start(&self, name: &'static str) -> Step<'_> {
        (self.0)(Event::Started(name));
        Step {
            progress: self,
            name,
            began: Instant::now(),
        }
    }

    pub(crate) fn detail(&self, text: &str) {
        (self.0)(Event::Detail(text));
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new(|_| ())
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// A step that runs; one that fails is never finished.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    progress: &'a Progress,
    name: &'static str,
    began: Instant,
}

impl Step<'_> {
    pub(crate) fn finish(self) {
        (self.progress.0)(Event::Finished(self.name, self.began.elapsed()));
    }
}
