use crate::parameters::{Get, GetMultiple};

use super::DynamoDbProvider;

/// How a table is read. See the [module docs](super).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct DynamoDbOptions {
    pub(super) consistent_read: bool,
}

impl DynamoDbOptions {
    /// Sets whether what was written just before is read in any case; such a read costs twice as much.
    ///
    /// Defaults to `false`.
    ///
    /// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html>
    pub fn consistent_read(mut self, consistent: bool) -> Self {
        self.consistent_read = consistent;
        self
    }
}

impl Get<'_, DynamoDbProvider> {
    /// Reads what was written just before, too: see [`DynamoDbOptions::consistent_read`].
    pub fn consistent_read(self) -> Self {
        self.with(|options| options.consistent_read(true))
    }
}

impl GetMultiple<'_, DynamoDbProvider> {
    /// Reads what was written just before, too: see [`DynamoDbOptions::consistent_read`].
    pub fn consistent_read(self) -> Self {
        self.with(|options| options.consistent_read(true))
    }
}
