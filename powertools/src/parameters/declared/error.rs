use std::{error::Error, fmt};

use lambda_runtime::Diagnostic;

use crate::parameters::ParameterError;

/// Lambda's `errorType` of an invocation that lacks a parameter.
const ERROR_TYPE: &str = "powertools::parameters::ParametersError";

/// Why an invocation under a [`ParametersLayer`](super::ParametersLayer) has no response.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ParametersError<E> {
    /// A parameter that is required could not be had; the handler was not called.
    #[error("the function lacks parameter `{}`, which it requires", .0.name())]
    Parameter(#[source] ParameterError),
    /// The handler failed; its error passes through untouched.
    #[error("{0}")]
    Handler(E),
}

/// The runtime logs a failure by its `Debug` text: that shows the handler's own error as if it were
/// returned bare.
impl<E: fmt::Debug> fmt::Debug for ParametersError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(error) => f.debug_tuple("Parameter").field(error).finish(),
            Self::Handler(error) => error.fmt(f),
        }
    }
}

/// The handler's own diagnostic stays what it is.
impl<E: Into<Diagnostic>> From<ParametersError<E>> for Diagnostic {
    fn from(error: ParametersError<E>) -> Self {
        match error {
            ParametersError::Handler(error) => error.into(),
            ParametersError::Parameter(error) => {
                let mut error_message = error.to_string();
                let mut source = error.source();
                // Lambda shows this text only, and "denied" alone says too little.
                while let Some(error) = source {
                    error_message.push_str(": ");
                    error_message.push_str(&error.to_string());
                    source = error.source();
                }
                Self {
                    error_type: ERROR_TYPE.to_owned(),
                    error_message,
                }
            }
        }
    }
}
