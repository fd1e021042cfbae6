use std::{borrow::Cow, time::SystemTime};

use jiff::Timestamp;
use powertools::feature_flags::{EvaluationContext, FlagDocument, SchemaErrors};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Failure, input, output};

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    schema: &'a RawValue,
    #[serde(borrow)]
    context: &'a RawValue,
    now: Option<Timestamp>,
    /// Of `flags.evaluate` only.
    #[serde(borrow, default)]
    flag: Cow<'a, str>,
    /// Of `flags.evaluate` only.
    #[serde(borrow)]
    default: Option<&'a RawValue>,
}

impl Input<'_> {
    fn document(&self) -> Result<FlagDocument, Failure> {
        FlagDocument::parse(self.schema.get()).map_err(|errors| failure(&errors))
    }

    fn context(&self) -> Result<EvaluationContext, Failure> {
        EvaluationContext::from_json(self.context.get()).map_err(|problem| {
            eprintln!("a context that the protocol does not allow: {problem}");
            Failure("InvalidCase")
        })
    }

    fn now(&self) -> SystemTime {
        self.now.map_or_else(SystemTime::now, SystemTime::from)
    }
}

pub(super) fn evaluate(json: &RawValue) -> Result<Box<RawValue>, Failure> {
    let input: Input<'_> = input(json)?;
    let (document, context) = (input.document()?, input.context()?);
    match document.evaluate(&input.flag, &context, input.now()) {
        Some(evaluation) => output(evaluation.value()),
        None => output(&input.default),
    }
}

pub(super) fn enabled(json: &RawValue) -> Result<Box<RawValue>, Failure> {
    let input: Input<'_> = input(json)?;
    let (document, context) = (input.document()?, input.context()?);
    output(&document.enabled(&context, input.now()))
}

fn failure(errors: &SchemaErrors) -> Failure {
    for problem in errors {
        eprintln!("{problem}");
    }
    Failure("SchemaValidation")
}
