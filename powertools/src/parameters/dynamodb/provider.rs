use std::{collections::HashMap, error::Error};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{get_item::GetItemError, query::QueryError},
    types::AttributeValue,
};

use super::DynamoDbOptions;
use crate::parameters::{Fetched, ParameterProvider, ProviderError, sdk::read_failed};

/// The names that the attributes have in the expressions of a request.
const KEY: &str = "#key";
const SORT: &str = "#sort";
const VALUE: &str = "#value";
/// The name that the key's value has in them.
const NAME: &str = ":name";

type Item = HashMap<String, AttributeValue>;

/// Parameters in a DynamoDB table, one an item. See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct DynamoDbProvider {
    client: Client,
    table: String,
    key: String,
    sort: String,
    value: String,
}

impl DynamoDbProvider {
    /// Makes a provider of what is in `table`, given by its name or ARN.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
            key: "id".to_owned(),
            sort: "sk".to_owned(),
            value: "value".to_owned(),
        }
    }

    /// Sets the attribute that holds a parameter's name, or what many have in common: the table's
    /// partition key, a string.
    ///
    /// Defaults to `id`.
    pub fn key_attribute(mut self, name: impl Into<String>) -> Self {
        self.key = name.into();
        self
    }

    /// Sets the attribute that tells those apart which have the key in common: the table's sort key.
    ///
    /// Defaults to `sk`. Only [`get_multiple`](crate::parameters::Parameters::get_multiple) uses it.
    pub fn sort_attribute(mut self, name: impl Into<String>) -> Self {
        self.sort = name.into();
        self
    }

    /// Sets the attribute that holds a parameter's value.
    ///
    /// Defaults to `value`.
    pub fn value_attribute(mut self, name: impl Into<String>) -> Self {
        self.value = name.into();
        self
    }

    /// A table that does not exist says nothing of a parameter.
    fn failed<E>(&self, error: SdkError<E>, is_table: fn(&E) -> bool) -> ProviderError
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        if error.as_service_error().is_some_and(is_table) {
            let problem = format!("table `{}` does not exist", self.table);
            return ProviderError::other().with_source(problem);
        }
        read_failed(error)
    }

    fn value(&self, item: &mut Item) -> Result<Fetched, ProviderError> {
        let Some(value) = item.remove(&self.value) else {
            let problem = format!("the item has no attribute `{}`", self.value);
            return Err(ProviderError::other().with_source(problem));
        };
        match value {
            AttributeValue::B(bytes) => Ok(Fetched::binary(bytes.into_inner())),
            AttributeValue::Bool(flag) => Ok(Fetched::text(flag.to_string())),
            AttributeValue::N(text) | AttributeValue::S(text) => Ok(Fetched::text(text)),
            _ => Err(self.not_a_value(&self.value)),
        }
    }

    fn sort_key(&self, item: &mut Item) -> Result<String, ProviderError> {
        match item.remove(&self.sort) {
            Some(AttributeValue::N(text) | AttributeValue::S(text)) => Ok(text),
            _ => Err(self.not_a_value(&self.sort)),
        }
    }

    /// Without what the attribute holds.
    fn not_a_value(&self, attribute: &str) -> ProviderError {
        let problem = format!("attribute `{attribute}` is of a type that is no parameter's");
        ProviderError::other().with_source(problem)
    }
}

impl ParameterProvider for DynamoDbProvider {
    type Options = DynamoDbOptions;

    async fn get(&self, name: &str, options: &Self::Options) -> Result<Fetched, ProviderError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(&self.key, AttributeValue::S(name.to_owned()))
            .projection_expression(VALUE)
            .expression_attribute_names(VALUE, &self.value)
            .consistent_read(options.consistent_read)
            .send()
            .await
            .map_err(|error| self.failed(error, GetItemError::is_resource_not_found_exception))?;
        let mut item = answer.item.ok_or_else(ProviderError::not_found)?;
        self.value(&mut item)
    }

    async fn get_multiple(
        &self,
        path: &str,
        options: &Self::Options,
    ) -> Result<Vec<(String, Fetched)>, ProviderError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression(format!("{KEY} = {NAME}"))
            .projection_expression(format!("{SORT}, {VALUE}"))
            .expression_attribute_names(KEY, &self.key)
            .expression_attribute_names(SORT, &self.sort)
            .expression_attribute_names(VALUE, &self.value)
            .expression_attribute_values(NAME, AttributeValue::S(path.to_owned()))
            .consistent_read(options.consistent_read)
            .into_paginator()
            .items()
            .send();
        let mut values = Vec::new();
        while let Some(item) = pages.next().await {
            let mut item = item
                .map_err(|error| self.failed(error, QueryError::is_resource_not_found_exception))?;
            values.push((self.sort_key(&mut item)?, self.value(&mut item)?));
        }
        Ok(values)
    }
}
