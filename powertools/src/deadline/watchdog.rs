//! The thread that watches over handlers which block theirs.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;
use tracing::{Dispatch, Span, dispatcher, warn};

use super::flush;
use crate::Invocation;

/// One thread serves the process.
static WATCHDOG: Watchdog = Watchdog::new();

struct Watchdog {
    state: Mutex<State>,
    /// Told when a call is to be looked after earlier than the thread knows.
    changed: Condvar,
}

struct State {
    /// The calls that are under way: whoever takes one out is the one to fire.
    calls: BTreeMap<Key, Call>,
    next_id: u64,
    thread: Thread,
    /// When the thread will look by itself, at the latest.
    wakes_at: Option<Instant>,
}

/// When a call is to be looked after, and a number to tell equal ones apart.
type Key = (Instant, u64);

#[derive(Clone, Copy, PartialEq)]
enum Thread {
    NotStarted,
    Started,
    /// The system had none to give.
    Refused,
}

/// What it takes to bring out what a call has recorded, from another thread.
struct Call {
    invocation: Invocation,
    deadline: Instant,
    metric: bool,
    dispatch: Dispatch,
    span: Span,
    /// Where what is sent over a network goes on.
    runtime: Option<Handle>,
}

/// A call that is watched. Dropping it ends that.
pub(super) struct Registration {
    key: Key,
}

/// Has the thread look after a call that is due in `remaining`, unless somebody else does.
pub(super) fn register(
    invocation: &Invocation,
    remaining: Duration,
    margin: Duration,
    metric: bool,
) -> Option<Registration> {
    let deadline = Instant::now().checked_add(remaining)?;
    // The timer comes first if it can, inside the handler's own task.
    let due = deadline - margin + margin / 4;
    let call = Call {
        invocation: invocation.clone(),
        deadline,
        metric,
        dispatch: dispatcher::get_default(Dispatch::clone),
        span: Span::current(),
        runtime: Handle::try_current().ok(),
    };
    WATCHDOG.register(due, call)
}

impl Watchdog {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                calls: BTreeMap::new(),
                next_id: 0,
                thread: Thread::NotStarted,
                wakes_at: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn register(&'static self, due: Instant, call: Call) -> Option<Registration> {
        let mut state = self.lock();
        if state.thread == Thread::NotStarted {
            let thread = thread::Builder::new()
                .name("powertools-deadline".to_owned())
                .spawn(|| self.watch());
            match thread {
                Ok(_) => state.thread = Thread::Started,
                Err(error) => {
                    state.thread = Thread::Refused;
                    drop(state);
                    warn!(%error, "handlers that block are not watched: no thread could be started");
                    return None;
                }
            }
        }
        if state.thread == Thread::Refused {
            return None;
        }
        let key = (due, state.next_id);
        state.next_id += 1;
        state.calls.insert(key, call);
        // Most invocations come and go before the thread would look, and need not wake it.
        if state.wakes_at.is_none_or(|wakes_at| due < wakes_at) {
            state.wakes_at = Some(due);
            self.changed.notify_one();
        }
        Some(Registration { key })
    }

    fn take(&self, key: Key) -> Option<Call> {
        self.lock().calls.remove(&key)
    }

    fn watch(&self) -> ! {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let due = state.calls.first_key_value().map(|(&(due, _), _)| due);
            state.wakes_at = due;
            state = match due {
                Some(due) if due <= now => {
                    let call = state.calls.pop_first();
                    // Calls begin and end meanwhile, however long it takes.
                    drop(state);
                    // The end of a span runs other people's code as well, and may panic.
                    let _ = catch_unwind(AssertUnwindSafe(|| call.map(|(_, call)| call.fire())));
                    self.lock()
                }
                Some(due) => {
                    let woken = self.changed.wait_timeout(state, due - now);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let woken = self.changed.wait(state);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    fn fire(self) {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        let _runtime = self.runtime.as_ref().map(Handle::enter);
        dispatcher::with_default(&self.dispatch, || {
            flush::flush(&self.invocation, remaining, self.metric, &self.span);
        });
    }
}

impl Registration {
    /// Returns whether the thread has left the call alone, and will.
    pub(super) fn cancel(self) -> bool {
        WATCHDOG.take(self.key).is_some()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Dropped outside of the lock: a span that closes runs other people's code.
        drop(WATCHDOG.take(self.key));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use lambda_runtime::Context;
    use tracing::{Event, Metadata, Subscriber, span};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn register_for(remaining: Duration, margin: Duration) -> Registration {
        let invocation = Invocation::new(Context::default(), false);
        register(&invocation, remaining, margin, true).unwrap()
    }

    fn is_watched(key: Key) -> bool {
        WATCHDOG.lock().calls.contains_key(&key)
    }

    #[test]
    fn a_call_is_watched_until_it_ends() {
        let registration = register_for(HOUR, HOUR / 2);
        let key = registration.key;
        assert!(is_watched(key));
        drop(registration);
        assert!(!is_watched(key));

        let registration = register_for(HOUR, HOUR / 2);
        let key = registration.key;
        assert!(registration.cancel());
        assert!(!is_watched(key));
    }

    #[test]
    fn a_call_that_is_due_earlier_than_others_does_not_wait_for_them() {
        let _later = register_for(HOUR, HOUR / 2);
        let registration = register_for(Duration::from_millis(20), Duration::from_millis(10));
        let start = Instant::now();
        while is_watched(registration.key) {
            assert!(start.elapsed() < Duration::from_secs(10));
            thread::yield_now();
        }
        assert!(!registration.cancel());
    }

    #[test]
    fn every_call_is_fired_by_the_thread_or_taken_back_and_never_both() {
        const THREADS: usize = 4;
        const CALLS: usize = 2000;

        struct Count(Arc<AtomicUsize>);

        impl Subscriber for Count {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                true
            }

            fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
                span::Id::from_u64(1)
            }

            fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

            fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

            fn event(&self, event: &Event<'_>) {
                if event.metadata().target() == "powertools::deadline" {
                    self.0.fetch_add(1, Ordering::SeqCst);
                }
            }

            fn enter(&self, _: &span::Id) {}

            fn exit(&self, _: &span::Id) {}
        }

        let fired = Arc::new(AtomicUsize::new(0));
        let dispatch = Dispatch::new(Count(Arc::clone(&fired)));
        let cancelled: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let dispatch = dispatch.clone();
                    scope.spawn(move || {
                        let _guard = dispatcher::set_default(&dispatch);
                        // So close to the moment that either may come first.
                        (0..CALLS)
                            .filter(|number| {
                                let wait = Duration::from_micros(*number as u64 % 50);
                                let call = register_for(wait, Duration::ZERO);
                                let start = Instant::now();
                                while start.elapsed() < wait {
                                    std::hint::spin_loop();
                                }
                                call.cancel()
                            })
                            .count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        // The last may still be under way.
        let start = Instant::now();
        while fired.load(Ordering::SeqCst) + cancelled < THREADS * CALLS {
            assert!(start.elapsed() < Duration::from_secs(10), "{fired:?}");
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(10));
        let fired = fired.load(Ordering::SeqCst);
        assert_eq!(fired + cancelled, THREADS * CALLS, "{fired} fired");
        assert!(fired > 0 && cancelled > 0, "{fired} fired");
    }
}
