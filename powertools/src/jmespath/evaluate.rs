use ::jmespath::ast::Comparator;

use super::{JmespathError, syntax::Node, value::Value};

/// One search.
pub(super) struct Evaluation {
    /// How many bytes may still be decompressed.
    pub(super) decompression_budget: usize,
}

pub(super) type Result<T, E = JmespathError> = std::result::Result<T, E>;

impl Evaluation {
    pub(super) fn evaluate<'a>(&mut self, node: &Node, current: &Value<'a>) -> Result<Value<'a>> {
        Ok(match node {
            Node::Current => current.clone(),
            Node::Literal(value) => value.clone(),
            Node::Field(name) => match current {
                Value::Object(members) => members.get(&**name).cloned().unwrap_or(Value::Null),
                _ => Value::Null,
            },
            Node::Index(index) => match current {
                Value::Array(elements) => element(elements, *index).unwrap_or(Value::Null),
                _ => Value::Null,
            },
            Node::Slice { start, stop, step } => match current {
                Value::Array(elements) => Value::array(slice(elements, *start, *stop, *step)),
                _ => Value::Null,
            },
            Node::Then(first, second) => {
                let found = self.evaluate(first, current)?;
                self.evaluate(second, &found)?
            }
            Node::Each(first, second) => match self.evaluate(first, current)? {
                Value::Array(elements) => {
                    let mut found = Vec::with_capacity(elements.len());
                    for element in elements.iter() {
                        let value = self.evaluate(second, element)?;
                        if !value.is_null() {
                            found.push(value);
                        }
                    }
                    Value::array(found)
                }
                _ => Value::Null,
            },
            Node::If(condition, then) => {
                if self.evaluate(condition, current)?.is_truthy() {
                    self.evaluate(then, current)?
                } else {
                    Value::Null
                }
            }
            Node::Or(first, second) => {
                let found = self.evaluate(first, current)?;
                if found.is_truthy() {
                    found
                } else {
                    self.evaluate(second, current)?
                }
            }
            Node::And(first, second) => {
                let found = self.evaluate(first, current)?;
                if found.is_truthy() {
                    self.evaluate(second, current)?
                } else {
                    found
                }
            }
            Node::Not(node) => Value::Bool(!self.evaluate(node, current)?.is_truthy()),
            Node::Compare(comparator, first, second) => {
                let first = self.evaluate(first, current)?;
                let second = self.evaluate(second, current)?;
                compare(comparator, &first, &second).map_or(Value::Null, Value::Bool)
            }
            Node::Values(node) => match self.evaluate(node, current)? {
                Value::Object(members) => Value::array(members.values().cloned().collect()),
                _ => Value::Null,
            },
            Node::Flatten(node) => match self.evaluate(node, current)? {
                Value::Array(elements) => {
                    let mut flat = Vec::with_capacity(elements.len());
                    for element in elements.iter() {
                        match element {
                            Value::Array(inner) => flat.extend_from_slice(inner),
                            element => flat.push(element.clone()),
                        }
                    }
                    Value::array(flat)
                }
                _ => Value::Null,
            },
            Node::List(_) | Node::Hash(_) if current.is_null() => Value::Null,
            Node::List(nodes) => Value::array(
                nodes
                    .iter()
                    .map(|node| self.evaluate(node, current))
                    .collect::<Result<_>>()?,
            ),
            Node::Hash(members) => Value::object(
                members
                    .iter()
                    .map(|(name, node)| Ok((name.clone(), self.evaluate(node, current)?)))
                    .collect::<Result<_>>()?,
            ),
            Node::Call(call) => self.call(call, current)?,
        })
    }
}

fn element<'a>(elements: &[Value<'a>], index: i32) -> Option<Value<'a>> {
    let index = i64::from(index);
    let index = if index < 0 {
        index + length(elements)
    } else {
        index
    };
    elements.get(usize::try_from(index).ok()?).cloned()
}

fn slice<'a>(
    elements: &[Value<'a>],
    start: Option<i32>,
    stop: Option<i32>,
    step: i32,
) -> Vec<Value<'a>> {
    let length = length(elements);
    let step = i64::from(step);
    // Going backwards, the end is before the first element.
    let (first, last) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let bound = |bound: Option<i32>, default| {
        let bound = bound.map(|bound| match i64::from(bound) {
            bound if bound < 0 => bound + length,
            bound => bound,
        });
        bound.map_or(default, |bound| bound.clamp(first, last))
    };
    let (start, stop) = if step > 0 {
        (bound(start, first), bound(stop, last))
    } else {
        (bound(start, last), bound(stop, first))
    };
    let mut found = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        found.extend(
            usize::try_from(at)
                .ok()
                .and_then(|at| elements.get(at))
                .cloned(),
        );
        at += step;
    }
    found
}

fn length(elements: &[Value<'_>]) -> i64 {
    i64::try_from(elements.len()).unwrap_or(i64::MAX)
}

/// Compares by value; only numbers have an order.
fn compare(comparator: &Comparator, a: &Value<'_>, b: &Value<'_>) -> Option<bool> {
    match (comparator, a, b) {
        (Comparator::Equal, ..) => Some(a == b),
        (Comparator::NotEqual, ..) => Some(a != b),
        (_, Value::Number(a), Value::Number(b)) => Some(match comparator {
            Comparator::LessThan => a < b,
            Comparator::LessThanEqual => a <= b,
            Comparator::GreaterThan => a > b,
            _ => a >= b,
        }),
        _ => None,
    }
}
