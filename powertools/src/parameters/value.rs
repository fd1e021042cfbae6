use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use serde::de::DeserializeOwned;

use super::{
    ParameterError, TransformError, Transformed,
    provider::Data,
    transform::{self, Suffix},
};

/// The value of a parameter.
///
/// Cloning is cheap, and all clones share what the value has been parsed into. Its memory is wiped
/// when the last of them is dropped; what it was parsed into is not, unless that wipes itself.
///
/// Neither its `Debug` text nor anything else shows the value by accident: there is no `Display` and
/// no `Serialize`.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use powertools::parameters::{MapProvider, Parameters};
///
/// let parameters = Parameters::new(MapProvider::from([("db/password", "hunter2")]));
/// let password = parameters.get("db/password").await?;
/// assert_eq!(password.as_str()?, "hunter2");
/// assert_eq!(format!("{password:?}"), r#"Value { name: "db/password", data: [7 bytes], version: None }"#);
/// # Ok::<_, powertools::parameters::ParameterError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Value {
    inner: Arc<Inner>,
}

struct Inner {
    name: Arc<str>,
    data: Data,
    version: Option<String>,
    decoded: OnceLock<Result<Value, TransformError>>,
    /// Values of different types, of which there are few.
    parsed: Mutex<Vec<(TypeId, Parsed)>>,
}

type Parsed = Arc<dyn Any + Send + Sync>;

impl Value {
    pub(super) fn new(name: Arc<str>, data: Data, version: Option<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                name,
                data,
                version,
                decoded: OnceLock::new(),
                parsed: Mutex::default(),
            }),
        }
    }

    /// Returns the parameter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Returns the value's text.
    ///
    /// # Errors
    ///
    /// Fails with [`NotText`](ParameterError::NotText) if it is binary and no UTF-8.
    pub fn as_str(&self) -> Result<&str, ParameterError> {
        self.inner
            .data
            .as_str()
            .ok_or_else(|| ParameterError::NotText {
                name: Arc::clone(&self.inner.name),
            })
    }

    /// Returns the value's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.inner.data.as_bytes()
    }

    /// Returns the parameter's version, if the provider says one.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.inner.version.as_deref()
    }

    /// Returns whether both are one value in memory.
    ///
    /// A value that is fetched again and has not changed stays the same one, so what was made of it
    /// need not be made again.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Parses the value as JSON, once for each type.
    ///
    /// # Errors
    ///
    /// Fails with [`Transform`](ParameterError::Transform) if it is no JSON, or JSON of another type.
    pub fn json<T>(&self) -> Result<Arc<T>, ParameterError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        if let Some(parsed) = find(&self.parsed()) {
            return Ok(parsed);
        }
        // The type's own code runs here, so the lock is free meanwhile.
        let parsed =
            transform::json::<T>(self.as_bytes()).map_err(|source| self.transform_error(source))?;
        let mut all = self.parsed();
        Ok(find(&all).unwrap_or_else(|| {
            let parsed = Arc::new(parsed);
            all.push((TypeId::of::<T>(), Arc::clone(&parsed) as Parsed));
            parsed
        }))
    }

    /// Decodes the value's base64, once. White space in it does not matter.
    ///
    /// What the provider has as bytes already, such as a binary secret, is returned as it is.
    ///
    /// # Errors
    ///
    /// Fails with [`Transform`](ParameterError::Transform) if it is no base64.
    pub fn binary(&self) -> Result<Self, ParameterError> {
        let text = match &self.inner.data {
            Data::Text(text) => text,
            Data::Binary(_) => return Ok(self.clone()),
        };
        let decode = || {
            let bytes = Data::Binary(transform::base64(text)?);
            let (name, version) = (Arc::clone(&self.inner.name), self.inner.version.clone());
            Ok(Self::new(name, bytes, version))
        };
        let decoded = self.inner.decoded.get_or_init(decode);
        decoded
            .clone()
            .map_err(|source| self.transform_error(source))
    }

    /// Transforms the value by the end of its name, see [`Transformed`].
    ///
    /// # Errors
    ///
    /// Fails with [`Transform`](ParameterError::Transform) if the value is not what the name says.
    pub fn auto<T>(&self) -> Result<Transformed<T>, ParameterError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.transform(Suffix::of(&self.inner.name))
    }

    fn transform<T>(&self, suffix: Suffix) -> Result<Transformed<T>, ParameterError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        match suffix {
            Suffix::Json => self.json().map(Transformed::Json),
            Suffix::Binary => self.binary().map(Transformed::Binary),
            Suffix::Other => Ok(Transformed::Unchanged(self.clone())),
        }
    }

    /// Returns whether both have the same content, byte for byte.
    pub(super) fn has_content_of(&self, other: &Self) -> bool {
        self.ptr_eq(other) || self.inner.data == other.inner.data
    }

    pub(super) fn is_unchanged(&self, data: &Data, version: Option<&str>) -> bool {
        self.version() == version && self.inner.data == *data
    }

    fn transform_error(&self, source: TransformError) -> ParameterError {
        ParameterError::Transform {
            name: Arc::clone(&self.inner.name),
            source,
        }
    }

    fn parsed(&self) -> MutexGuard<'_, Vec<(TypeId, Parsed)>> {
        self.inner
            .parsed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<T: Send + Sync + 'static>(all: &[(TypeId, Parsed)]) -> Option<Arc<T>> {
    let of_type = all.iter().find(|(of, _)| *of == TypeId::of::<T>());
    of_type.and_then(|(_, parsed)| Arc::clone(parsed).downcast().ok())
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("name", &self.inner.name)
            .field("data", &self.inner.data)
            .field("version", &self.inner.version)
            .finish()
    }
}

/// The values below a path, by their names relative to it, in the order of the names.
///
/// Cloning is cheap.
///
/// # Examples
///
/// One value that cannot be transformed fails alone; all fail with it when the results are collected
/// as one:
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use powertools::parameters::{MapProvider, ParameterError, Parameters};
/// use std::{collections::BTreeMap, sync::Arc};
///
/// let provider = MapProvider::from([("/app/a", "1"), ("/app/b", "one"), ("/other", "2")]);
/// let values = Parameters::new(provider).get_multiple("/app").await?;
/// assert_eq!(values.get("b").unwrap().as_str()?, "one");
///
/// let numbers: Vec<_> = values.json::<u32>().map(|(name, number)| (name, number.ok())).collect();
/// assert_eq!(numbers, [("a", Some(Arc::new(1))), ("b", None)]);
///
/// let numbers: Result<BTreeMap<&str, Arc<u32>>, ParameterError> = values
///     .json()
///     .map(|(name, number)| Ok((name, number?)))
///     .collect();
/// assert_eq!(numbers.unwrap_err().name(), "/app/b");
/// # Ok::<_, ParameterError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Values {
    values: Arc<BTreeMap<Box<str>, Value>>,
}

impl Values {
    pub(super) fn new(values: BTreeMap<Box<str>, Value>) -> Self {
        Self {
            values: Arc::new(values),
        }
    }

    /// Returns the value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Iterates over names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + '_ {
        self.values.iter().map(|(name, value)| (&**name, value))
    }

    /// Parses each value as JSON, see [`Value::json`].
    pub fn json<T>(&self) -> impl Iterator<Item = (&str, Result<Arc<T>, ParameterError>)> + '_
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.iter().map(|(name, value)| (name, value.json()))
    }

    /// Decodes each value's base64, see [`Value::binary`].
    pub fn binary(&self) -> impl Iterator<Item = (&str, Result<Value, ParameterError>)> + '_ {
        self.iter().map(|(name, value)| (name, value.binary()))
    }

    /// Transforms each value by the end of its relative name, see [`Transformed`].
    pub fn auto<T>(
        &self,
    ) -> impl Iterator<Item = (&str, Result<Transformed<T>, ParameterError>)> + '_
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.iter()
            .map(|(name, value)| (name, value.transform(Suffix::of(name))))
    }

    pub(super) fn is_unchanged(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .zip(other.iter())
                .all(|((name, value), (other_name, other))| {
                    name == other_name && value.ptr_eq(other)
                })
    }

    /// Returns whether both are one collection in memory, as after a fetch that has brought nothing
    /// new.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
    }
}

/// Shows names, and of the values what [`Value`] shows.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
