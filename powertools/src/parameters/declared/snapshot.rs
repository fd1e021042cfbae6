use std::{borrow::Cow, sync::Arc};

use crate::{
    Invocation,
    parameters::{ParameterError, Value},
};

/// What was read for one invocation, which sees the same values from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Snapshot {
    values: Vec<(Cow<'static, str>, Result<Value, ParameterError>)>,
    /// That of a layer further out.
    outer: Option<Arc<Self>>,
}

impl Snapshot {
    pub(super) const fn new(
        values: Vec<(Cow<'static, str>, Result<Value, ParameterError>)>,
        outer: Option<Arc<Self>>,
    ) -> Self {
        Self { values, outer }
    }

    fn find(&self, name: &str) -> Option<&Result<Value, ParameterError>> {
        let here = self.values.iter().find(|(of, _)| of == name);
        match (here, &self.outer) {
            (Some((_, value)), _) => Some(value),
            (None, Some(outer)) => outer.find(name),
            (None, None) => None,
        }
    }
}

/// Returns the value that a [`ParametersLayer`](super::ParametersLayer) has read for the running
/// invocation, by the name that it was declared under.
///
/// It is there already, so nothing is waited for, and it stays the same until the invocation ends.
/// What it has been parsed into as it was declared is kept beside it; asked for another type, it is
/// parsed into that, too.
///
/// # Errors
///
/// Fails with [`NotDeclared`](ParameterError::NotDeclared) if no layer around the running code
/// declares such a name, and with the error of the read if there is no value, which only happens
/// with one that is [optional](super::ParametersLayer::optional).
pub fn declared(name: &str) -> Result<Value, ParameterError> {
    let value = Invocation::with_current(|invocation| {
        let value = invocation.declared()?.find(name)?;
        Some(value.clone())
    });
    value
        .flatten()
        .unwrap_or_else(|| Err(ParameterError::NotDeclared { name: name.into() }))
}
