use std::{borrow::Cow, fmt, marker::PhantomData};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use serde_path_to_error::Segment;

use super::{Problem, kind::MALFORMED_JSON};
use crate::validation::{FieldError, Pointer};

/// How much of a parser's message is told, in characters: it repeats what the client wrote.
const MAX_DETAIL: usize = 200;
/// How much of a member's name is told, in characters: an unknown one is the client's.
const MAX_NAME: usize = 100;

/// The body of a request, read as JSON.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .detail("`Content-Type` must be `application/json`.")
                .header(header::ACCEPT, HeaderValue::from_static("application/json")));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| {
                let status = rejection.status();
                let problem = Problem::new(status);
                if status == StatusCode::PAYLOAD_TOO_LARGE {
                    problem.detail(format!(
                        "A body has at most {} bytes.",
                        super::MAX_BODY_BYTES
                    ))
                } else {
                    problem.because(rejection)
                }
            })?;
        read(&body).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            wrong_field(pointer, &error)
        } else {
            malformed(&error)
        }
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::of_kind(&MALFORMED_JSON).detail(error.to_string())
}

fn wrong_field(pointer: Pointer, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    // Where the pointer says it already.
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(message, _)| message);
    Problem::invalid_body(vec![FieldError {
        pointer,
        detail: shortened(message, MAX_DETAIL).into_owned().into(),
    }])
}

fn shortened(text: &str, max_chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> Pointer {
    path.iter()
        .fold(Pointer::root(), |pointer, segment| match segment {
            Segment::Seq { index } => pointer.index(*index),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                pointer.member(&shortened(name, MAX_NAME))
            }
            Segment::Unknown => pointer,
        })
}

/// A `T` that is written as an object: derived code takes an array of a struct's fields as well.
#[derive(Clone, Copy, Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer
            .deserialize_map(ObjectVisitor(PhantomData))
            .map(Self)
    }
}

/// An integer, whatever range the domain gives it.
#[derive(Clone, Copy, Debug)]
pub struct Integer(pub i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntegerVisitor;

        impl Visitor<'_> for IntegerVisitor {
            type Value = Integer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Integer, E> {
                Ok(Integer(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Integer, E> {
                i64::try_from(value).map(Integer).map_err(|_| {
                    E::invalid_value(Unexpected::Unsigned(value), &"a smaller integer")
                })
            }
        }

        deserializer.deserialize_i64(IntegerVisitor)
    }
}
