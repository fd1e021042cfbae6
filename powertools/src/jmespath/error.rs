use std::fmt;

/// Why an expression cannot be made or found no answer.
///
/// The messages name positions, functions and types, never the data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JmespathError {
    /// The expression is not JMESPath.
    #[error("invalid JMESPath expression at offset {offset}: {message}")]
    #[non_exhaustive]
    Syntax {
        /// Where in the expression, in bytes.
        offset: usize,
        /// What is wrong there.
        message: String,
    },
    /// The expression has more operators than are worth the stack.
    #[error("JMESPath expression has {operators} operators, at most {limit} are allowed")]
    #[non_exhaustive]
    TooComplex {
        /// How many the expression has.
        operators: usize,
        /// How many it may have.
        limit: usize,
    },
    /// The expression calls a function that there is not.
    #[error("no JMESPath function `{function}` at offset {offset}")]
    #[non_exhaustive]
    UnknownFunction {
        /// Where in the expression, in bytes.
        offset: usize,
        /// The function's name.
        function: String,
    },
    /// The expression gives a function more or fewer arguments than it takes.
    #[error("function `{function}` at offset {offset} takes {expected} arguments, not {given}")]
    #[non_exhaustive]
    ArgumentCount {
        /// Where in the expression, in bytes.
        offset: usize,
        /// The function's name.
        function: &'static str,
        /// How many it takes; of a function that takes any number, the least.
        expected: usize,
        /// How many it is given.
        given: usize,
    },
    /// A function was given something of another type than it takes.
    #[error(
        "argument {argument} of function `{function}` at offset {offset} is of type {given}, \
         not {expected}"
    )]
    #[non_exhaustive]
    ArgumentType {
        /// Where in the expression, in bytes.
        offset: usize,
        /// The function's name.
        function: &'static str,
        /// Which argument, counted from 1.
        argument: usize,
        /// What the function takes.
        expected: &'static str,
        /// What it was given.
        given: &'static str,
    },
    /// A function was given a text that it cannot decode.
    #[error("function `{function}` at offset {offset} cannot decode its argument: {reason}")]
    #[non_exhaustive]
    Decode {
        /// Where in the expression, in bytes.
        offset: usize,
        /// The function's name.
        function: &'static str,
        /// What is wrong with the text.
        reason: Undecodable,
    },
    /// A sum or an average is beyond what a number of JSON can say.
    #[error("result of function `{function}` at offset {offset} is too large")]
    #[non_exhaustive]
    Overflow {
        /// Where in the expression, in bytes.
        offset: usize,
        /// The function's name.
        function: &'static str,
    },
    /// What was to be searched cannot be read.
    #[error("cannot search the data: {reason}")]
    #[non_exhaustive]
    Data {
        /// What is wrong with it.
        reason: Undecodable,
    },
    /// What was to be searched cannot be serialised.
    #[error("cannot serialise the data to search it")]
    Serialize(#[source] serde_json::Error),
    /// What was found is not of the type that was asked for.
    ///
    /// Its source may quote the value.
    #[error("what the JMESPath expression found is not of the type asked for")]
    Deserialize(#[source] serde_json::Error),
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undecodable {
    /// It is not JSON, holds half of a surrogate pair, or a number that no `f64` comes near.
    Json,
    /// It is JSON that is nested deeper than 128 levels.
    TooDeep,
    /// It is not base64 of the standard alphabet with its padding.
    Base64,
    /// It is not gzip, or damaged.
    Gzip,
    /// It is larger, decompressed, than [`Expression::max_decompressed`] allows.
    ///
    /// [`Expression::max_decompressed`]: super::Expression::max_decompressed
    TooLarge,
    /// It is not UTF-8.
    Utf8,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "not JSON",
            Self::TooDeep => "JSON nested too deep",
            Self::Base64 => "not base64",
            Self::Gzip => "not gzip",
            Self::TooLarge => "too large when decompressed",
            Self::Utf8 => "not UTF-8",
        })
    }
}
