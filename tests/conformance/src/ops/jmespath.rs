use std::borrow::Cow;

use powertools::jmespath::{Expression, JmespathError};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Failure, input, output};

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    expression: Cow<'a, str>,
}

pub(super) fn answer(json: &RawValue) -> Result<Box<RawValue>, Failure> {
    let input: Input<'_> = input(json)?;
    let expression = Expression::new(&input.expression).map_err(failure)?;
    let found = expression.search(input.data).map_err(failure)?;
    output(&found)
}

fn failure(_: JmespathError) -> Failure {
    Failure("InvalidExpression")
}
