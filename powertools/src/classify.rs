//! Which answers of a handler are successes, and which are not.
//!
//! Metrics and traces tell four [`Outcome`]s apart, as X-Ray does. A [`Classify`] decides: by
//! default [`ByResult`], for which every `Err` is a fault; for handlers of HTTP `ByStatus` (with
//! feature `http`), which also looks at the status; or a closure.
//!
//! ```
//! use powertools::classify::{ByResult, Classify, Outcome};
//!
//! assert_eq!(ByResult.classify(Ok::<_, &String>(&42)), Outcome::Success);
//! assert_eq!(ByResult.classify(Err::<&u8, _>(&"no".to_owned())), Outcome::Fault);
//!
//! // A queue's message that is refused is the sender's mistake.
//! let by_kind = |result: Result<&u8, &std::io::Error>| match result {
//!     Ok(_) => Outcome::Success,
//!     Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Outcome::Error,
//!     Err(_) => Outcome::Fault,
//! };
//! let refused = std::io::Error::from(std::io::ErrorKind::InvalidData);
//! assert_eq!(by_kind.classify(Err(&refused)), Outcome::Error);
//! ```

/// How an invocation ended.
///
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-errors>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what it was asked.
    Success,
    /// The caller's mistake: an HTTP status of 400 to 499.
    Error,
    /// The caller asked too often: an HTTP status of 429.
    Throttle,
    /// The function's own failure: an error, a panic, an HTTP status of 500 to 599.
    Fault,
}

/// Decides how an invocation ended by what its handler returned.
///
/// Implemented for [`ByResult`], `ByStatus`, and closures
/// `Fn(Result<&Response, &Error>) -> Outcome`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not classify `Result<{Response}, {Error}>`",
    note = "a closure is of the form `|result: Result<&Response, &Error>| Outcome::Success`"
)]
pub trait Classify<Response, Error> {
    /// Returns how the invocation ended.
    fn classify(&self, result: Result<&Response, &Error>) -> Outcome;
}

impl<F, Response, Error> Classify<Response, Error> for F
where
    F: Fn(Result<&Response, &Error>) -> Outcome,
{
    fn classify(&self, result: Result<&Response, &Error>) -> Outcome {
        self(result)
    }
}

/// Takes every `Ok` for a success and every `Err` for a fault.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResult;

impl<Response, Error> Classify<Response, Error> for ByResult {
    fn classify(&self, result: Result<&Response, &Error>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Fault,
        }
    }
}

/// Goes by the status of an `http::Response`; an `Err` is a fault.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug, Default)]
pub struct ByStatus;

#[cfg(feature = "http")]
impl<Body, Error> Classify<http::Response<Body>, Error> for ByStatus {
    fn classify(&self, result: Result<&http::Response<Body>, &Error>) -> Outcome {
        result.map_or(Outcome::Fault, |response| response.status().into())
    }
}

#[cfg(feature = "http")]
impl From<http::StatusCode> for Outcome {
    fn from(status: http::StatusCode) -> Self {
        if status == http::StatusCode::TOO_MANY_REQUESTS {
            Self::Throttle
        } else if status.is_client_error() {
            Self::Error
        } else if status.is_server_error() {
            Self::Fault
        } else {
            Self::Success
        }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use http::{Response, StatusCode};

    use super::*;

    #[test]
    fn a_status_says_whose_mistake_it_is() {
        for (status, outcome) in [
            (StatusCode::OK, Outcome::Success),
            (StatusCode::NOT_MODIFIED, Outcome::Success),
            (StatusCode::NOT_FOUND, Outcome::Error),
            (StatusCode::TOO_MANY_REQUESTS, Outcome::Throttle),
            (StatusCode::BAD_GATEWAY, Outcome::Fault),
        ] {
            let response = Response::builder().status(status).body(()).unwrap();
            let result: Result<_, &String> = Ok(&response);
            assert_eq!(ByStatus.classify(result), outcome, "{status}");
        }
    }

    #[test]
    fn an_error_is_a_fault() {
        let result: Result<&Response<()>, _> = Err(&"no");
        assert_eq!(ByStatus.classify(result), Outcome::Fault);
        let result: Result<&(), _> = Err(&"no");
        assert_eq!(ByResult.classify(result), Outcome::Fault);
    }
}
