use std::{borrow::Cow, fmt, time::Duration};

use super::RecordError;

/// What is to become of a record that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// It is reported, and delivered again as its source does that.
    Retry,
    /// It is reported, and delivered again not before this time has passed.
    ///
    /// For SQS it takes a [`FailureSink`] that can change a message's visibility; without one, and
    /// for other sources, this is [`Retry`](Self::Retry).
    RetryAfter(Duration),
    /// It is handed to the [`FailureSink`] with the reason, and not reported if that has taken it.
    ///
    /// Without a sink this is [`Retry`](Self::Retry): nothing is ever dropped. Taken, it is no failure
    /// any more, so where order is kept its group goes on.
    #[non_exhaustive]
    GiveUp {
        /// Why it is of no use to try again.
        reason: Cow<'static, str>,
    },
}

impl Disposition {
    /// Gives up, for this reason.
    pub fn give_up(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::GiveUp {
            reason: reason.into(),
        }
    }
}

/// Decides what is to become of a record that failed.
///
/// Implemented for closures `Fn(&RecordError<E>) -> Disposition`, and for `()`, which retries all. `E`
/// is the error of the service inside, so a [`lambda_runtime::Error`] around tower's `TimeoutLayer`,
/// which boxes errors.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not classify failures of the handler with error `{E}`",
    note = "a closure is of the form `|error: &RecordError<Error>| Disposition::Retry`"
)]
pub trait ClassifyFailure<E>: Send + Sync + 'static {
    /// Returns what is to become of the record. Where it panics, that is [`Disposition::Retry`].
    fn classify(&self, error: &RecordError<E>) -> Disposition;
}

impl<E> ClassifyFailure<E> for () {
    fn classify(&self, _: &RecordError<E>) -> Disposition {
        Disposition::Retry
    }
}

impl<F, E> ClassifyFailure<E> for F
where
    F: Fn(&RecordError<E>) -> Disposition + Send + Sync + 'static,
{
    fn classify(&self, error: &RecordError<E>) -> Disposition {
        self(error)
    }
}

/// Takes records that failed and are not simply to be tried again.
///
/// It is called before the batch is answered, with the records whose [`Disposition`] is
/// [`RetryAfter`](Disposition::RetryAfter) or [`GiveUp`](Disposition::GiveUp): with all at once, or,
/// where order is kept, with a record that is given up at once and alone, as the next of its group
/// waits for that.
pub trait FailureSink: Send + Sync + 'static {
    /// Does what was decided, and says for each record, in order, what became of it. A record without
    /// an answer counts as [`Settlement::Reported`], as do all where it panics or has not answered
    /// shortly before the deadline.
    fn settle<'a>(
        &'a self,
        records: &'a [FailedRecord<'a>],
    ) -> impl Future<Output = Vec<Settlement>> + Send + 'a;
}

/// What became of a record that a [`FailureSink`] was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Somebody else has it: its source may forget it.
    Taken,
    /// It is reported as failed.
    Reported,
}

/// A record that failed, as a [`FailureSink`] gets it.
pub struct FailedRecord<'a> {
    raw: &'a str,
    disposition: &'a Disposition,
}

impl<'a> FailedRecord<'a> {
    /// Makes one, for the tests of a sink.
    #[must_use]
    pub const fn new(raw: &'a str, disposition: &'a Disposition) -> Self {
        Self { raw, disposition }
    }

    /// Returns the record as it is in the event: a JSON object. Where it holds
    /// [several in one](super::BatchLayer::deaggregate), that is all of them.
    #[must_use]
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Returns what was decided.
    #[must_use]
    pub const fn disposition(&self) -> &'a Disposition {
        self.disposition
    }
}

/// Shows nothing of the record.
impl fmt::Debug for FailedRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailedRecord")
            .field("disposition", &self.disposition)
            .finish_non_exhaustive()
    }
}
