//! What a function's answer says about the records it was invoked with.

use std::ops::Range;

use serde::Deserialize;

use super::batch::Outcome;
use super::source::Record;

/// What the `Invoke` API answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// Which version ran.
    pub(super) executed_version: Option<String>,
    /// `Unhandled` or `Handled` when the function failed; a timeout is `Unhandled`, too.
    pub(super) function_error: Option<String>,
    /// The function's response, or its error.
    pub(super) payload: Vec<u8>,
    /// The id of the invocation.
    pub(super) request_id: Option<String>,
}

/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamsEventResponse {
    #[serde(default)]
    batch_item_failures: Option<Vec<BatchItemFailure>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

impl Answer {
    /// What the answer to an invocation with these records means.
    pub(super) fn outcome(
        &self,
        records: &[Record],
        invoked: Range<usize>,
        reports_failures: bool,
    ) -> Outcome {
        if self.function_error.is_some() || !(200..300).contains(&self.status) {
            return Outcome::Failure;
        }
        if !reports_failures {
            return Outcome::Success;
        }
        let Some(failures) = self.failures() else {
            return Outcome::Failure;
        };
        let mut lowest = invoked.end;
        for failure in failures {
            let position = records[invoked.clone()]
                .iter()
                .position(|record| record.sequence_number == failure.item_identifier);
            let Some(position) = position else {
                return Outcome::Failure;
            };
            lowest = lowest.min(invoked.start + position);
        }
        if lowest == invoked.end {
            Outcome::Success
        } else {
            Outcome::FailedAt(lowest)
        }
    }

    /// The reported failures; `None` when the response is not a report.
    fn failures(&self) -> Option<Vec<BatchItemFailure>> {
        if self.payload.trim_ascii().is_empty() {
            return Some(Vec::new());
        }
        // An array would do for serde, whose structs can be read from one, but it is not what AWS documents.
        if self.payload.trim_ascii_start().first() == Some(&b'[') {
            return None;
        }
        let response: Option<StreamsEventResponse> = serde_json::from_slice(&self.payload).ok()?;
        Some(
            response
                .unwrap_or_default()
                .batch_item_failures
                .unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the answer `payload` to an invocation with the records 1, 2 and 3 of the batch 0, 1, 2, 3, 4 means.
    fn outcome(payload: &str) -> Outcome {
        let answer = Answer {
            status: 200,
            payload: payload.into(),
            ..Answer::default()
        };
        answer.outcome(&records(), 1..4, true)
    }

    fn records() -> Vec<Record> {
        (0..5)
            .map(|number| Record::for_test(&format!("seq-{number}")))
            .collect()
    }

    #[test]
    fn what_aws_calls_a_complete_success_is_one() {
        for payload in [
            "",
            " \n",
            "null",
            "{}",
            r#"{"batchItemFailures":[]}"#,
            r#"{"batchItemFailures":null}"#,
            r#"{"something":"else"}"#,
        ] {
            assert_eq!(outcome(payload), Outcome::Success, "{payload}");
        }
    }

    #[test]
    fn what_is_no_report_is_a_complete_failure() {
        for payload in [
            "not json",
            r#""text""#,
            "[]",
            "[[]]",
            "true",
            r#"{"batchItemFailures":"seq-1"}"#,
            r#"{"batchItemFailures":{}}"#,
            r#"{"batchItemFailures":["seq-1"]}"#,
            r#"{"batchItemFailures":[null]}"#,
            r#"{"batchItemFailures":[{}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":1}]}"#,
            r#"{"batchItemFailures":[{"item_identifier":"seq-2"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"seq-9"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"seq-2"},{"itemIdentifier":"seq-9"}]}"#,
        ] {
            assert_eq!(outcome(payload), Outcome::Failure, "{payload}");
        }
    }

    #[test]
    fn records_that_were_not_in_the_invocation_cannot_be_reported() {
        for identifier in ["seq-0", "seq-4"] {
            let payload =
                format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{identifier}"}}]}}"#);
            assert_eq!(outcome(&payload), Outcome::Failure, "{identifier}");
        }
    }

    #[test]
    fn the_lowest_failure_counts_in_whatever_order_they_are_reported() {
        for (reported, lowest) in [
            (&[3, 2][..], 2),
            (&[2, 3], 2),
            (&[3, 1, 2, 1], 1),
            (&[3], 3),
        ] {
            let failures = reported
                .iter()
                .map(|number| format!(r#"{{"itemIdentifier":"seq-{number}"}}"#));
            let failures = failures.collect::<Vec<_>>().join(",");
            let payload = format!(r#"{{"batchItemFailures":[{failures}]}}"#);
            assert_eq!(outcome(&payload), Outcome::FailedAt(lowest), "{payload}");
        }
    }

    #[test]
    fn without_reports_any_answer_is_a_success_and_any_error_a_failure() {
        let report = br#"{"batchItemFailures":[{"itemIdentifier":"seq-2"}]}"#.to_vec();
        let mut answer = Answer {
            status: 200,
            payload: report,
            ..Answer::default()
        };
        assert_eq!(answer.outcome(&records(), 1..4, false), Outcome::Success);
        answer.function_error = Some("Unhandled".to_owned());
        assert_eq!(answer.outcome(&records(), 1..4, false), Outcome::Failure);
        assert_eq!(answer.outcome(&records(), 1..4, true), Outcome::Failure);
    }
}
