use std::fmt;
use std::future::Future;
use std::time::Duration;

use local_cloud::Error;
use tokio::time::{sleep, timeout};

/// How long something may take that follows asynchronously; usually a second or two.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A step that did not turn out as it should.
#[derive(Debug)]
pub(crate) struct Failure {
    expected: String,
    seen: String,
}

impl Failure {
    pub(crate) fn new(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            seen: seen.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a check failed\n  expected: {}\n  seen:     {}",
            self.expected,
            self.seen.replace('\n', "\n            ")
        )
    }
}

/// Fails unless `condition` holds; `seen` is what is shown then.
pub(crate) fn check(
    condition: bool,
    expected: &str,
    seen: impl fmt::Display,
) -> Result<(), Failure> {
    if condition {
        Ok(())
    } else {
        Err(Failure::new(expected, seen.to_string()))
    }
}

/// Asks again and again until the answer is there; the error shows what was seen last.
pub(crate) async fn eventually<T, F>(
    expected: &str,
    mut ask: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<Result<T, String>, Error>>,
{
    let mut seen = "no answer at all".to_owned();
    let asking = async {
        loop {
            match ask().await? {
                Ok(answer) => return Ok(answer),
                Err(other) => seen = other,
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let answer = timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| {
        let expected = format!("{expected} within {} s", PATIENCE.as_secs());
        Err(Failure::new(expected, seen))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_late_is_an_answer() {
        let asked = Cell::new(0);
        let answer = eventually("three", || {
            asked.set(asked.get() + 1);
            let asked = asked.get();
            async move {
                Ok(if asked == 3 {
                    Ok(asked)
                } else {
                    Err("not yet".to_owned())
                })
            }
        });
        assert_eq!(answer.await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stops_answering_is_a_failure_that_shows_what_was_seen_last() {
        let asked = Cell::new(false);
        let failure = eventually::<(), _>("three", || {
            let again = asked.replace(true);
            async move {
                if again {
                    std::future::pending::<()>().await;
                }
                Ok(Err("two".to_owned()))
            }
        });
        assert_eq!(
            failure.await.unwrap_err().to_string(),
            "a check failed\n  expected: three within 30 s\n  seen:     two"
        );
    }

    #[test]
    fn a_failed_check_shows_what_was_seen() {
        check(true, "x", "y").unwrap();
        let failure = check(false, "status 201", "500\nbody").unwrap_err();
        assert_eq!(
            failure.to_string(),
            "a check failed\n  expected: status 201\n  seen:     500\n            body"
        );
    }
}
