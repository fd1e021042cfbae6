//! How the values of a schema are laid out, one after the other.

use std::collections::HashMap;

use apache_avro::schema::{Name, Namespace, Schema};

/// The layout of a schema's values.
#[derive(Debug)]
pub(super) struct Layout {
    /// The first is the whole; others are within it, or within each other.
    nodes: Vec<Node>,
}

/// The place of a node in its layout.
pub(super) type Place = usize;

/// The layout of a value.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    /// So many bytes.
    Fixed(usize),
    Bytes,
    String,
    /// One of these symbols.
    Enum(Vec<String>),
    Array(Place),
    Map(Place),
    /// One of these.
    Union(Vec<Place>),
    /// All of these, by name.
    Record(Vec<(String, Place)>),
}

impl Layout {
    /// The node of the whole.
    pub(super) const WHOLE: Place = 0;

    /// Lays a schema out; `None` if it refers to a type that it does not define before.
    pub(super) fn of(schema: &Schema) -> Option<Self> {
        let mut builder = Builder::default();
        builder.add(schema, &None)?;
        Some(Self {
            nodes: builder.nodes,
        })
    }

    pub(super) fn node(&self, place: Place) -> &Node {
        &self.nodes[place]
    }
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    /// The places of named types, which others may refer to.
    names: HashMap<Name, Place>,
}

impl Builder {
    fn add(&mut self, schema: &Schema, namespace: &Namespace) -> Option<Place> {
        if let Schema::Ref { name } = schema {
            let name = name.fully_qualified_name(namespace);
            return self.names.get(&name).copied();
        }
        let place = self.nodes.len();
        self.nodes.push(Node::Null);
        // Known before what is in it, which may refer to it.
        let name = match schema {
            Schema::Decimal(decimal) => decimal.inner.name(),
            schema => schema.name(),
        };
        if let Some(name) = name {
            self.names
                .insert(name.fully_qualified_name(namespace), place);
        }
        self.nodes[place] = self.node(schema, namespace)?;
        Some(place)
    }

    fn node(&mut self, schema: &Schema, namespace: &Namespace) -> Option<Node> {
        Some(match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Node::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes | Schema::BigDecimal => Node::Bytes,
            Schema::String | Schema::Uuid => Node::String,
            Schema::Fixed(fixed) => Node::Fixed(fixed.size),
            Schema::Duration => Node::Fixed(DURATION),
            Schema::Decimal(decimal) => self.node(&decimal.inner, namespace)?,
            Schema::Enum(schema) => Node::Enum(schema.symbols.clone()),
            Schema::Array(array) => Node::Array(self.add(&array.items, namespace)?),
            Schema::Map(map) => Node::Map(self.add(&map.types, namespace)?),
            Schema::Union(union) => {
                let mut variants = Vec::new();
                for variant in union.variants() {
                    variants.push(self.add(variant, namespace)?);
                }
                Node::Union(variants)
            }
            Schema::Record(record) => {
                let namespace = record.name.fully_qualified_name(namespace).namespace;
                let mut fields = Vec::new();
                for field in &record.fields {
                    fields.push((field.name.clone(), self.add(&field.schema, &namespace)?));
                }
                Node::Record(fields)
            }
            // Only within a decimal: it is kept in a type that was defined elsewhere.
            Schema::Ref { .. } => return None,
        })
    }
}

/// Months, days and milliseconds, in four bytes each.
///
/// Source: <https://avro.apache.org/docs/1.12.0/specification/#duration>
const DURATION: usize = 12;
