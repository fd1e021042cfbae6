use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use powertools::parameters::{
    Fetched, ParameterError, ParameterProvider, Parameters, ProviderError, Transformed, Value,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Failure, input, output};

#[derive(Deserialize)]
struct Input {
    name: String,
    value: Stored,
    transform: Option<Transform>,
    raise_on_transform_error: Option<bool>,
}

/// What is stored: one parameter, or many by their names.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Stored {
    One(String),
    Many(BTreeMap<String, String>),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Transform {
    Json,
    Binary,
    Auto,
}

/// A transformed value, as the protocol writes it down.
#[derive(Serialize)]
#[serde(untagged)]
enum Output {
    Text(String),
    Json(Box<RawValue>),
    Bytes {
        #[serde(rename = "$bytes")]
        base64: String,
    },
}

type Transforming = Result<Transformed<Box<RawValue>>, ParameterError>;

impl ParameterProvider for Stored {
    type Options = ();

    async fn get(&self, _: &str, (): &()) -> Result<Fetched, ProviderError> {
        match self {
            Self::One(value) => Ok(Fetched::text(value)),
            Self::Many(_) => Err(ProviderError::not_found()),
        }
    }

    async fn get_multiple(
        &self,
        _: &str,
        (): &(),
    ) -> Result<Vec<(String, Fetched)>, ProviderError> {
        match self {
            Self::One(_) => Err(ProviderError::not_found()),
            Self::Many(values) => {
                let values = values.iter();
                Ok(values
                    .map(|(name, value)| (name.clone(), Fetched::text(value)))
                    .collect())
            }
        }
    }
}

pub(super) fn answer(json: &RawValue) -> Result<Box<RawValue>, Failure> {
    let input: Input = input(json)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|_| Failure("Runtime"))?;
    runtime.block_on(read(&input))
}

async fn read(input: &Input) -> Result<Box<RawValue>, Failure> {
    let raises = input.raise_on_transform_error.unwrap_or(true);
    let parameters = Parameters::new(input.value.clone()).max_age(Duration::from_secs(5));
    match (&input.value, input.transform) {
        (Stored::One(_), transform) => {
            let get = parameters.get(&input.name);
            let value = match transform {
                None => get.await.map(Transformed::Unchanged),
                Some(Transform::Json) => get.json().await.map(Transformed::Json),
                Some(Transform::Binary) => get.binary().await.map(Transformed::Binary),
                Some(Transform::Auto) => get.auto().await,
            };
            output(&written(value, raises)?)
        }
        (Stored::Many(_), transform) => {
            let values = parameters
                .get_multiple(&input.name)
                .await
                .map_err(failure)?;
            let values: Vec<(&str, Transforming)> = match transform {
                None => values
                    .iter()
                    .map(|(name, value)| (name, Ok(Transformed::Unchanged(value.clone()))))
                    .collect(),
                Some(Transform::Json) => values
                    .json()
                    .map(|(name, json)| (name, json.map(Transformed::Json)))
                    .collect(),
                Some(Transform::Binary) => values
                    .binary()
                    .map(|(name, value)| (name, value.map(Transformed::Binary)))
                    .collect(),
                Some(Transform::Auto) => values.auto().collect(),
            };
            let written: Result<BTreeMap<&str, Option<Output>>, Failure> = values
                .into_iter()
                .map(|(name, value)| Ok((name, written(value, raises)?)))
                .collect();
            output(&written?)
        }
    }
}

/// Without raising, what cannot be transformed is nothing.
fn written(value: Transforming, raises: bool) -> Result<Option<Output>, Failure> {
    match value {
        Ok(Transformed::Json(json)) => line(&json).map(Output::Json).map(Some),
        Ok(Transformed::Binary(value)) => Ok(Some(Output::Bytes {
            base64: BASE64_STANDARD.encode(value.as_bytes()),
        })),
        Ok(Transformed::Unchanged(value)) => text(&value).map(Output::Text).map(Some),
        Ok(_) => Err(Failure("UnknownTransform")),
        Err(ParameterError::Transform { .. }) if !raises => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

fn text(value: &Value) -> Result<String, Failure> {
    value.as_str().map(str::to_owned).map_err(failure)
}

/// An answer is one line; in JSON, line breaks are blanks.
fn line(json: &RawValue) -> Result<Box<RawValue>, Failure> {
    let line = json.get().replace(['\n', '\r'], " ");
    RawValue::from_string(line).map_err(|_| Failure("Unserialisable"))
}

fn failure(error: ParameterError) -> Failure {
    match error {
        ParameterError::Transform { .. } => Failure("TransformParameter"),
        error => {
            eprintln!("{error}");
            Failure("Parameter")
        }
    }
}
