//! Expressions into nodes.
//!
//! The grammar is that of the crate `jmespath`, whose syntax tree is turned into one of our own:
//! names of functions, numbers of arguments and literals are settled here, once.

use ::jmespath::{
    ErrorReason,
    ast::{Ast, Comparator, KeyValuePair},
};
use serde_json::value::RawValue;

use super::{
    JmespathError, read,
    signature::{self, Parameter, Signature},
    value::{Text, Value},
};

/// How many operators an expression may have.
///
/// Each may nest the expression by one level, and levels are calls on the stack. The envelopes of
/// the other toolkits have a dozen.
const MAX_OPERATORS: usize = 128;

/// A part of an expression.
pub(super) enum Node {
    Current,
    Literal(Value<'static>),
    Field(Box<str>),
    Index(i32),
    Slice {
        start: Option<i32>,
        stop: Option<i32>,
        step: i32,
    },
    /// The second, searched in what the first finds.
    Then(Box<Node>, Box<Node>),
    /// The second, searched in each element that the first finds.
    Each(Box<Node>, Box<Node>),
    /// The second, if the first is truthy.
    If(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Compare(Comparator, Box<Node>, Box<Node>),
    Values(Box<Node>),
    Flatten(Box<Node>),
    List(Vec<Node>),
    Hash(Vec<(Text<'static>, Node)>),
    Call(Call),
}

pub(super) struct Call {
    pub(super) signature: &'static Signature,
    pub(super) arguments: Vec<Argument>,
    pub(super) offset: usize,
}

pub(super) enum Argument {
    Value(Node),
    /// `&…`: searched by the function itself.
    Expression(Node),
}

impl Node {
    /// Returns the names of an expression that only goes from member to member.
    pub(super) fn path(&self) -> Option<Vec<Box<str>>> {
        match self {
            Self::Field(name) => Some(vec![name.clone()]),
            Self::Then(first, second) => {
                let mut path = first.path()?;
                path.extend(second.path()?);
                Some(path)
            }
            _ => None,
        }
    }
}

pub(super) fn parse(expression: &str) -> Result<Node, JmespathError> {
    let is_operator = |byte: &u8| b".[({!&*|=<>".contains(byte);
    let operators = expression.bytes().filter(|byte| is_operator(byte)).count();
    if operators > MAX_OPERATORS {
        return Err(JmespathError::TooComplex {
            operators,
            limit: MAX_OPERATORS,
        });
    }
    let ast = ::jmespath::parse(expression).map_err(|error| {
        let message = match error.reason {
            ErrorReason::Parse(message) => message,
            ErrorReason::Runtime(error) => error.to_string(),
        };
        syntax_error(error.offset, message)
    })?;
    Lowering { expression }.node(ast)
}

fn syntax_error(offset: usize, message: impl Into<String>) -> JmespathError {
    JmespathError::Syntax {
        offset,
        message: message.into(),
    }
}

struct Lowering<'e> {
    expression: &'e str,
}

impl Lowering<'_> {
    fn node(&self, ast: Ast) -> Result<Node, JmespathError> {
        match ast {
            Ast::Identity { .. } => Ok(Node::Current),
            Ast::Field { name, .. } => Ok(Node::Field(name.into())),
            Ast::Index { idx, .. } => Ok(Node::Index(idx)),
            Ast::Literal { value, offset } => match value.as_string() {
                Some(text) => Ok(Node::Literal(Value::text(&**text))),
                None => self.literal(offset),
            },
            Ast::Slice {
                step: 0, offset, ..
            } => Err(syntax_error(offset, "the step of a slice cannot be 0")),
            Ast::Slice {
                start, stop, step, ..
            } => Ok(Node::Slice { start, stop, step }),
            Ast::Subexpr { lhs, rhs, .. } => self.two(Node::Then, *lhs, *rhs),
            Ast::Projection { lhs, rhs, .. } => self.two(Node::Each, *lhs, *rhs),
            Ast::Condition {
                predicate, then, ..
            } => self.two(Node::If, *predicate, *then),
            Ast::Or { lhs, rhs, .. } => self.two(Node::Or, *lhs, *rhs),
            Ast::And { lhs, rhs, .. } => self.two(Node::And, *lhs, *rhs),
            Ast::Comparison {
                comparator,
                lhs,
                rhs,
                ..
            } => self.two(|a, b| Node::Compare(comparator, a, b), *lhs, *rhs),
            Ast::Not { node, .. } => self.one(Node::Not, *node),
            Ast::ObjectValues { node, .. } => self.one(Node::Values, *node),
            Ast::Flatten { node, .. } => self.one(Node::Flatten, *node),
            Ast::MultiList { elements, .. } => self.list(elements),
            Ast::MultiHash { elements, .. } => self.hash(elements),
            Ast::Function { name, args, offset } => self.call(&name, args, offset),
            Ast::Expref { offset, .. } => Err(syntax_error(
                offset,
                "an expression reference is only an argument of a function",
            )),
        }
    }

    fn one(&self, make: fn(Box<Node>) -> Node, ast: Ast) -> Result<Node, JmespathError> {
        Ok(make(Box::new(self.node(ast)?)))
    }

    fn two(
        &self,
        make: impl FnOnce(Box<Node>, Box<Node>) -> Node,
        first: Ast,
        second: Ast,
    ) -> Result<Node, JmespathError> {
        let first = Box::new(self.node(first)?);
        Ok(make(first, Box::new(self.node(second)?)))
    }

    fn list(&self, elements: Vec<Ast>) -> Result<Node, JmespathError> {
        let nodes = elements.into_iter().map(|element| self.node(element));
        nodes.collect::<Result<_, _>>().map(Node::List)
    }

    fn hash(&self, elements: Vec<KeyValuePair>) -> Result<Node, JmespathError> {
        let members = elements
            .into_iter()
            .map(|KeyValuePair { key, value }| Ok((Text::Shared(key.into()), self.node(value)?)));
        members.collect::<Result<_, _>>().map(Node::Hash)
    }

    /// Reads a literal again, for the sake of its numbers and the order of its members.
    fn literal(&self, offset: usize) -> Result<Node, JmespathError> {
        let invalid = || syntax_error(offset, "the literal is not JSON");
        let text = self.expression.get(offset..).and_then(quoted);
        let json = text.ok_or_else(invalid)?.replace("\\`", "`");
        let json: &RawValue = serde_json::from_str(&json).map_err(|_| invalid())?;
        read::shared(json).map(Node::Literal).map_err(|_| invalid())
    }

    fn call(&self, name: &str, args: Vec<Ast>, parenthesis: usize) -> Result<Node, JmespathError> {
        let before = self.expression.get(..parenthesis).unwrap_or_default();
        let offset = before.rfind(name).unwrap_or(parenthesis);
        let signature = signature::find(name).ok_or_else(|| JmespathError::UnknownFunction {
            offset,
            function: name.to_owned(),
        })?;
        signature.check_count(offset, args.len())?;
        let arguments = args
            .into_iter()
            .enumerate()
            .map(
                |(index, argument)| match (argument, signature.parameter(index)) {
                    (Ast::Expref { ast, .. }, Parameter::Expression) => {
                        Ok(Argument::Expression(self.node(*ast)?))
                    }
                    (Ast::Expref { .. }, _) => {
                        Err(signature.wrong_type(offset, index, "expression"))
                    }
                    (_, Parameter::Expression) => Err(signature.wrong_type(offset, index, "value")),
                    (argument, _) => Ok(Argument::Value(self.node(argument)?)),
                },
            )
            .collect::<Result<_, _>>()?;
        Ok(Node::Call(Call {
            signature,
            arguments,
            offset,
        }))
    }
}

/// Returns what stands between the backtick that `text` begins with and the next.
fn quoted(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('`')?;
    let mut is_escaped = false;
    let end = inside.find(|c| {
        let ends = c == '`' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })?;
    Some(&inside[..end])
}
