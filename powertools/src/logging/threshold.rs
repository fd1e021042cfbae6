use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_log::log;
use tracing_subscriber::{
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{buffer::Buffer, level::Levels, sampling::Sampler, subscriber::invocation_of};
use crate::Invocation;

/// Whether some layer may ask for more lines for a single request. Only then is a call below the
/// logger's level more than the check of a constant.
static LEVELS_BY_REQUEST: AtomicBool = AtomicBool::new(false);

/// Says that from now on requests may have levels of their own.
pub(super) fn expect_levels_by_request() {
    if !LEVELS_BY_REQUEST.swap(true, Ordering::Relaxed) {
        tracing::callsite::rebuild_interest_cache();
        // What a subscriber that is installed later sets by itself.
        log::set_max_level(log::LevelFilter::Trace);
    }
}

/// Decides which events become lines.
#[derive(Clone, Debug)]
pub(super) struct Threshold {
    pub(super) levels: Levels,
    /// The level of Lambda's advanced logging controls. Lambda drops what is below it, so nothing
    /// else counts.
    pub(super) set_by_lambda: Option<Levels>,
    pub(super) sampler: Option<Sampler>,
    pub(super) buffer: Option<Buffer>,
}

impl Threshold {
    /// Returns the level up to which an event is logged whatever invocation it belongs to.
    fn always(&self, target: &str) -> LevelFilter {
        match &self.set_by_lambda {
            // A target may be given less than Lambda lets pass.
            Some(lambda) => {
                let own = self.levels.of_own(target);
                own.map_or(lambda.max(), |own| own.min(lambda.max()))
            }
            None => self.levels.of(target),
        }
    }

    /// Returns the level up to which an event may be logged in some invocation.
    fn sometimes(&self, target: &str) -> LevelFilter {
        // A target that was given a level has that level in every invocation.
        if self.set_by_lambda.is_some() || self.levels.of_own(target).is_some() {
            return LevelFilter::OFF;
        }
        self.most_verbose()
    }

    /// Returns whether of a target's `ERROR` lines only the fatal ones are written.
    pub(super) fn is_fatal_only(&self, target: &str) -> bool {
        match &self.set_by_lambda {
            Some(lambda) => lambda.is_fatal_only(),
            None => self.levels.is_fatal_only() && self.levels.of_own(target).is_none(),
        }
    }

    fn most_verbose(&self) -> LevelFilter {
        if LEVELS_BY_REQUEST.load(Ordering::Relaxed) {
            LevelFilter::TRACE
        } else if self.buffer.is_some() || self.sampler.is_some() {
            LevelFilter::DEBUG
        } else {
            LevelFilter::OFF
        }
    }

    /// Returns the level up to which an event is logged in the running invocation.
    fn now<S>(&self, ctx: &Context<'_, S>) -> LevelFilter
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let invocation = Invocation::current().or_else(|| invocation_of(&ctx.lookup_current()?));
        invocation.map_or(LevelFilter::OFF, |invocation| {
            let state = invocation.logging();
            let level = state.verbosity(self.sampler.as_ref());
            if self.buffer.is_some() && state.is_running() {
                level.max(LevelFilter::DEBUG)
            } else {
                level
            }
        })
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for Threshold {
    fn enabled(&self, metadata: &Metadata<'_>, ctx: &Context<'_, S>) -> bool {
        let target = metadata.target();
        if metadata.is_span() {
            return is_span_kept(metadata, self.always(target))
                || (*metadata.level() <= self.sometimes(target)
                    && is_span_kept(metadata, self.now(ctx)));
        }
        let level = *metadata.level();
        level <= self.always(target) || (level <= self.sometimes(target) && level <= self.now(ctx))
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let target = metadata.target();
        let (always, sometimes) = (self.always(target), self.sometimes(target));
        let level = *metadata.level();
        let is_always = if metadata.is_span() {
            is_span_kept(metadata, always)
        } else {
            level <= always
        };
        // A record of the crate `log` is asked for under another target than its callsite's.
        if is_always && target != "log" {
            Interest::always()
        } else if level <= sometimes || target == "log" {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let events = match &self.set_by_lambda {
            Some(levels) => levels.max(),
            None => self.levels.max().max(self.most_verbose()),
        };
        Some(events.max(Level::INFO.into()))
    }
}

/// A span is made at `INFO` as a rule; its keys belong on a `WARN` line also when the level is
/// `WARN`. Spans of this crate's own layers say nothing that the lines don't say already.
fn is_span_kept(metadata: &Metadata<'_>, level: LevelFilter) -> bool {
    *metadata.level() <= level.max(LevelFilter::INFO)
        && !metadata.target().starts_with("powertools::")
}
