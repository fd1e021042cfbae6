use std::cmp::Ordering;

use serde_json::value::RawValue;

use super::{
    JmespathError, decoders,
    evaluate::{Evaluation, Result},
    number::Number,
    signature::Function,
    syntax::{Argument, Call, Node},
    value::{Object, Text, Value},
};

impl Evaluation {
    pub(super) fn call<'a>(&mut self, call: &Call, current: &Value<'a>) -> Result<Value<'a>> {
        let mut values = Vec::with_capacity(call.arguments.len());
        let mut by = &Node::Current;
        for (index, argument) in call.arguments.iter().enumerate() {
            match argument {
                Argument::Value(node) => {
                    let value = self.evaluate(node, current)?;
                    call.signature.check_type(call.offset, index, &value)?;
                    values.push(value);
                }
                Argument::Expression(node) => by = node,
            }
        }
        self.apply(call, &values, by)
    }

    fn apply<'a>(&mut self, call: &Call, values: &[Value<'a>], by: &Node) -> Result<Value<'a>> {
        let undecodable = |reason| JmespathError::Decode {
            offset: call.offset,
            function: call.signature.name,
            reason,
        };
        let overflow = || JmespathError::Overflow {
            offset: call.offset,
            function: call.signature.name,
        };

        use Value::{Array, Number as Num, Object as Obj, String as Str};
        Ok(match (call.signature.function, values) {
            (Function::Abs, [Num(number)]) => Num(number.abs()),
            (Function::Ceil, [Num(number)]) => Num(number.ceil()),
            (Function::Floor, [Num(number)]) => Num(number.floor()),
            (Function::Sum, [Array(numbers)]) => Num(sum(numbers).ok_or_else(overflow)?),
            (Function::Avg, [Array(numbers)]) if numbers.is_empty() => Value::Null,
            (Function::Avg, [Array(numbers)]) => {
                let sum = sum(numbers).ok_or_else(overflow)?;
                let average = Number::float(sum.as_f64() / numbers.len() as f64);
                Num(average.ok_or_else(overflow)?)
            }

            (Function::Contains, [Array(elements), wanted]) => {
                Value::Bool(elements.contains(wanted))
            }
            (Function::Contains, [Str(text), wanted]) => {
                Value::Bool(matches!(wanted, Str(wanted) if text.contains(&**wanted)))
            }
            (Function::StartsWith, [Str(text), Str(prefix)]) => {
                Value::Bool(text.starts_with(&**prefix))
            }
            (Function::EndsWith, [Str(text), Str(suffix)]) => {
                Value::Bool(text.ends_with(&**suffix))
            }
            (Function::Join, [Str(glue), Array(texts)]) => Value::text(join(glue, texts)),
            (Function::Length, [Str(text)]) => whole(text.chars().count()),
            (Function::Length, [Array(elements)]) => whole(elements.len()),
            (Function::Length, [Obj(members)]) => whole(members.len()),
            (Function::Reverse, [Str(text)]) => Value::text(text.chars().rev().collect::<String>()),
            (Function::Reverse, [Array(elements)]) => {
                Value::array(elements.iter().rev().cloned().collect())
            }

            (Function::Keys, [Obj(members)]) => {
                Value::array(members.keys().cloned().map(Str).collect())
            }
            (Function::Values, [Obj(members)]) => Value::array(members.values().cloned().collect()),
            (Function::Merge, objects) => {
                let members = objects.iter().filter_map(|object| match object {
                    Obj(members) => Some(members.iter()),
                    _ => None,
                });
                let members = members.flatten();
                Value::object(
                    members
                        .map(|(k, v)| (k.clone(), v.clone()))
                        .collect::<Object<'_>>(),
                )
            }

            (Function::Map, [Array(elements)]) => Value::array(self.each(by, elements)?),
            (Function::Max, [Array(elements)]) => best(elements, elements, Ordering::Greater),
            (Function::Min, [Array(elements)]) => best(elements, elements, Ordering::Less),
            (Function::MaxBy, [Array(elements)]) => {
                let keys = self.keys(call, by, elements)?;
                best(elements, &keys, Ordering::Greater)
            }
            (Function::MinBy, [Array(elements)]) => {
                let keys = self.keys(call, by, elements)?;
                best(elements, &keys, Ordering::Less)
            }
            (Function::Sort, [Array(elements)]) => Value::array(sorted(elements, elements)),
            (Function::SortBy, [Array(elements)]) => {
                let keys = self.keys(call, by, elements)?;
                Value::array(sorted(elements, &keys))
            }

            (Function::NotNull, values) => {
                let first = values.iter().find(|value| !value.is_null());
                first.cloned().unwrap_or(Value::Null)
            }
            (Function::ToArray, [value]) => to_array(value),
            (Function::ToNumber, [value]) => to_number(value),
            (Function::ToString, [value]) => to_string(value),
            (Function::Type, [value]) => Str(Text::Borrowed(value.kind())),

            (Function::PowertoolsJson, [Str(text)]) => decoders::json(text).map_err(undecodable)?,
            (Function::PowertoolsBase64, [Str(text)]) => {
                decoders::base64(text).map_err(undecodable)?
            }
            (Function::PowertoolsBase64Gzip, [Str(text)]) => {
                decoders::base64_gzip(text, &mut self.decompression_budget).map_err(undecodable)?
            }
            (function, _) => unreachable!("the signature of {function:?} admits no other values"),
        })
    }

    fn each<'a>(&mut self, node: &Node, elements: &[Value<'a>]) -> Result<Vec<Value<'a>>> {
        elements
            .iter()
            .map(|element| self.evaluate(node, element))
            .collect()
    }

    /// Returns what to compare elements by: all numbers or all strings.
    fn keys<'a>(
        &mut self,
        call: &Call,
        by: &Node,
        elements: &[Value<'a>],
    ) -> Result<Vec<Value<'a>>> {
        const BY: usize = 1;
        let keys = self.each(by, elements)?;
        let is_number = matches!(keys.first(), Some(Value::Number(_)));
        let wrong = keys.iter().find(|key| match key {
            Value::Number(_) => !is_number,
            Value::String(_) => is_number,
            _ => true,
        });
        match wrong {
            Some(key) => Err(call.signature.wrong_type(call.offset, BY, key.kind())),
            None => Ok(keys),
        }
    }
}

fn whole<'a>(count: usize) -> Value<'a> {
    Value::Number(Number::int(count as i128))
}

fn to_array<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Array(_) => value.clone(),
        value => Value::array(vec![value.clone()]),
    }
}

fn to_number<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Number(_) => value.clone(),
        Value::String(text) => {
            let json = serde_json::from_str::<&RawValue>(text).ok();
            let number = json.and_then(|json| Number::parse(json.get()));
            number.map_or(Value::Null, Value::Number)
        }
        _ => Value::Null,
    }
}

fn to_string<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::String(_) => value.clone(),
        value => Value::text(value.to_json()),
    }
}

/// The order of keys, which are all numbers or all strings; strings by code point.
fn order(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => str::cmp(a, b),
        _ => Ordering::Equal,
    }
}

/// Returns the first element whose key no other surpasses, or null of none.
fn best<'a>(elements: &[Value<'a>], keys: &[Value<'a>], wanted: Ordering) -> Value<'a> {
    let best = elements.iter().zip(keys).reduce(|best, candidate| {
        if order(candidate.1, best.1) == wanted {
            candidate
        } else {
            best
        }
    });
    best.map_or(Value::Null, |(element, _)| element.clone())
}

/// Returns the elements in the order of their keys; those with the same key stay in theirs.
fn sorted<'a>(elements: &[Value<'a>], keys: &[Value<'a>]) -> Vec<Value<'a>> {
    let mut pairs: Vec<_> = elements.iter().zip(keys).collect();
    pairs.sort_by(|a, b| order(a.1, b.1));
    pairs
        .into_iter()
        .map(|(element, _)| element.clone())
        .collect()
}

fn sum(numbers: &[Value<'_>]) -> Option<Number> {
    let numbers = numbers.iter().filter_map(|value| match value {
        Value::Number(number) => Some(*number),
        _ => None,
    });
    let mut sum = Number::int(0);
    for number in numbers {
        sum = sum.add(number)?;
    }
    Some(sum)
}

fn join(glue: &str, texts: &[Value<'_>]) -> String {
    let mut joined = String::new();
    for (index, text) in texts.iter().enumerate() {
        if let Value::String(text) = text {
            if index > 0 {
                joined.push_str(glue);
            }
            joined.push_str(text);
        }
    }
    joined
}
