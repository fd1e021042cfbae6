//! The functions an expression can call, and what they take.

use super::{JmespathError, value::Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Avg,
    Ceil,
    Contains,
    EndsWith,
    Floor,
    Join,
    Keys,
    Length,
    Map,
    Max,
    MaxBy,
    Merge,
    Min,
    MinBy,
    NotNull,
    PowertoolsBase64,
    PowertoolsBase64Gzip,
    PowertoolsJson,
    Reverse,
    Sort,
    SortBy,
    StartsWith,
    Sum,
    ToArray,
    ToNumber,
    ToString,
    Type,
    Values,
}

/// What a function takes as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Any,
    Number,
    String,
    Array,
    Object,
    ArrayOrString,
    ArrayObjectOrString,
    Numbers,
    Strings,
    NumbersOrStrings,
    /// `&…`
    Expression,
}

impl Parameter {
    const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
            Self::ArrayOrString => "array or string",
            Self::ArrayObjectOrString => "array, object or string",
            Self::Numbers => "array of numbers",
            Self::Strings => "array of strings",
            Self::NumbersOrStrings => "array of numbers or array of strings",
            Self::Expression => "expression",
        }
    }

    fn takes(self, value: &Value<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Number => matches!(value, Value::Number(_)),
            Self::String => matches!(value, Value::String(_)),
            Self::Array => matches!(value, Value::Array(_)),
            Self::Object => matches!(value, Value::Object(_)),
            Self::ArrayOrString => matches!(value, Value::Array(_) | Value::String(_)),
            Self::ArrayObjectOrString => {
                matches!(value, Value::Array(_) | Value::Object(_) | Value::String(_))
            }
            Self::Numbers => is_array_of(value, Self::Number),
            Self::Strings => is_array_of(value, Self::String),
            Self::NumbersOrStrings => Self::Numbers.takes(value) || Self::Strings.takes(value),
            Self::Expression => false,
        }
    }
}

fn is_array_of(value: &Value<'_>, element: Parameter) -> bool {
    matches!(value, Value::Array(elements) if elements.iter().all(|value| element.takes(value)))
}

#[derive(Debug)]
pub(super) struct Signature {
    pub(super) function: Function,
    pub(super) name: &'static str,
    parameters: &'static [Parameter],
    /// Whether the last parameter may come again and again.
    is_variadic: bool,
}

impl Signature {
    const fn new(name: &'static str, parameters: &'static [Parameter], function: Function) -> Self {
        Self {
            function,
            name,
            parameters,
            is_variadic: false,
        }
    }

    const fn variadic(mut self) -> Self {
        self.is_variadic = true;
        self
    }

    pub(super) fn parameter(&self, index: usize) -> Parameter {
        let last = self.parameters.len() - 1;
        self.parameters[index.min(last)]
    }

    pub(super) fn check_count(&self, offset: usize, given: usize) -> Result<(), JmespathError> {
        let expected = self.parameters.len();
        if given == expected || (self.is_variadic && given > expected) {
            return Ok(());
        }
        Err(JmespathError::ArgumentCount {
            offset,
            function: self.name,
            expected,
            given,
        })
    }

    pub(super) fn check_type(
        &self,
        offset: usize,
        index: usize,
        value: &Value<'_>,
    ) -> Result<(), JmespathError> {
        if self.parameter(index).takes(value) {
            Ok(())
        } else {
            Err(self.wrong_type(offset, index, value.kind()))
        }
    }

    pub(super) fn wrong_type(
        &self,
        offset: usize,
        index: usize,
        given: &'static str,
    ) -> JmespathError {
        JmespathError::ArgumentType {
            offset,
            function: self.name,
            argument: index + 1,
            expected: self.parameter(index).name(),
            given,
        }
    }
}

pub(super) fn find(name: &str) -> Option<&'static Signature> {
    SIGNATURES.iter().find(|signature| signature.name == name)
}

/// Source: <https://jmespath.org/specification.html#built-in-functions>, and the other toolkits'
/// `powertools_*`.
static SIGNATURES: [Signature; 29] = {
    use Parameter::{
        Any, Array, ArrayObjectOrString, ArrayOrString, Expression, Number, Numbers,
        NumbersOrStrings, Object, String, Strings,
    };
    [
        Signature::new("abs", &[Number], Function::Abs),
        Signature::new("avg", &[Numbers], Function::Avg),
        Signature::new("ceil", &[Number], Function::Ceil),
        Signature::new("contains", &[ArrayOrString, Any], Function::Contains),
        Signature::new("ends_with", &[String, String], Function::EndsWith),
        Signature::new("floor", &[Number], Function::Floor),
        Signature::new("join", &[String, Strings], Function::Join),
        Signature::new("keys", &[Object], Function::Keys),
        Signature::new("length", &[ArrayObjectOrString], Function::Length),
        Signature::new("map", &[Expression, Array], Function::Map),
        Signature::new("max", &[NumbersOrStrings], Function::Max),
        Signature::new("max_by", &[Array, Expression], Function::MaxBy),
        Signature::new("merge", &[Object], Function::Merge).variadic(),
        Signature::new("min", &[NumbersOrStrings], Function::Min),
        Signature::new("min_by", &[Array, Expression], Function::MinBy),
        Signature::new("not_null", &[Any], Function::NotNull).variadic(),
        Signature::new("powertools_base64", &[String], Function::PowertoolsBase64),
        Signature::new(
            "powertools_base64_gzip",
            &[String],
            Function::PowertoolsBase64Gzip,
        ),
        Signature::new("powertools_json", &[String], Function::PowertoolsJson),
        Signature::new("reverse", &[ArrayOrString], Function::Reverse),
        Signature::new("sort", &[NumbersOrStrings], Function::Sort),
        Signature::new("sort_by", &[Array, Expression], Function::SortBy),
        Signature::new("starts_with", &[String, String], Function::StartsWith),
        Signature::new("sum", &[Numbers], Function::Sum),
        Signature::new("to_array", &[Any], Function::ToArray),
        Signature::new("to_number", &[Any], Function::ToNumber),
        Signature::new("to_string", &[Any], Function::ToString),
        Signature::new("type", &[Any], Function::Type),
        Signature::new("values", &[Object], Function::Values),
    ]
};
