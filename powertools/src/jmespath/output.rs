use std::fmt;

use serde::{
    Deserializer, Serialize, Serializer,
    de::{
        DeserializeOwned, IntoDeserializer, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{JmespathError, number::Number, value::Value};

/// What an [`Expression`](super::Expression) found.
///
/// It may still refer to the text that was searched. As JSON, by [`Display`](fmt::Display) or
/// [`Serialize`], it keeps the order of members and the exact value of whole numbers.
#[derive(Clone)]
pub struct Output<'a> {
    value: Value<'a>,
}

impl<'a> Output<'a> {
    pub(super) const fn new(value: Value<'a>) -> Self {
        Self { value }
    }

    /// Returns whether nothing was found, or `null`: JMESPath does not tell them apart.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// Returns the string that was found, or `None` if it is not a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Turns what was found into a type of your own.
    ///
    /// # Errors
    ///
    /// Returns [`JmespathError::Deserialize`] if it is not of that type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, JmespathError> {
        T::deserialize(&self.value).map_err(JmespathError::Deserialize)
    }

    /// Returns it as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.value.to_json()
    }
}

impl fmt::Display for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Output")
            .field(&format_args!("{self}"))
            .finish()
    }
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de> Deserializer<'de> for &Value<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(Number::Float(value)) => visitor.visit_f64(*value),
            Value::Number(Number::Int(value)) => {
                match (u64::try_from(*value), i64::try_from(*value)) {
                    (Ok(value), _) => visitor.visit_u64(value),
                    (_, Ok(value)) => visitor.visit_i64(value),
                    _ => visitor.visit_i128(*value),
                }
            }
            Value::String(text) => visitor.visit_str(text),
            Value::Array(elements) => {
                SeqDeserializer::new(elements.iter()).deserialize_any(visitor)
            }
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| (&**name, value));
                MapDeserializer::new(members).deserialize_any(visitor)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self {
            Value::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self {
            Value::String(text) => visitor.visit_enum((&**text).into_deserializer()),
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| (&**name, value));
                let access = MapDeserializer::new(members);
                visitor.visit_enum(MapAccessDeserializer::new(access))
            }
            value => value.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, serde_json::Error> for &Value<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
