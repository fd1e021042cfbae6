use std::{collections::BTreeMap, fmt};

use super::{Fetched, ParameterProvider, ProviderError};

/// Values that are known when the program starts, by name.
///
/// The values [below a path](ParameterProvider::get_multiple) are those whose names go on after the
/// path with a `/`.
///
/// # Examples
///
/// ```
/// use powertools::parameters::{Fetched, MapProvider, Parameters};
///
/// let provider = MapProvider::from([("/app/db/url", "postgres://localhost")])
///     .with("/app/db/key", Fetched::binary([0xff, 0xfe]).version("2"));
/// let parameters = Parameters::new(provider);
/// ```
#[derive(Clone, Default)]
pub struct MapProvider {
    values: BTreeMap<String, Fetched>,
}

impl MapProvider {
    /// Makes one without values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value, or replaces that of the same name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Fetched) -> Self {
        self.values.insert(name.into(), value);
        self
    }
}

impl ParameterProvider for MapProvider {
    type Options = ();

    async fn get(&self, name: &str, (): &()) -> Result<Fetched, ProviderError> {
        let value = self.values.get(name);
        value.cloned().ok_or_else(ProviderError::not_found)
    }

    async fn get_multiple(
        &self,
        path: &str,
        (): &(),
    ) -> Result<Vec<(String, Fetched)>, ProviderError> {
        let values = self.values.iter();
        Ok(values
            .filter_map(|(name, value)| Some((below(name, path)?.to_owned(), value.clone())))
            .collect())
    }
}

/// Returns what follows a path in a name, if the name is below it.
pub(crate) fn below<'a>(name: &'a str, path: &str) -> Option<&'a str> {
    let path = path.trim_end_matches('/');
    let relative = name.strip_prefix(path)?.strip_prefix('/')?;
    (!relative.is_empty()).then_some(relative)
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for MapProvider {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(values: I) -> Self {
        let values = values
            .into_iter()
            .map(|(name, value)| (name.into(), Fetched::text(value)));
        Self {
            values: values.collect(),
        }
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for MapProvider {
    fn from(values: [(K, V); N]) -> Self {
        values.into_iter().collect()
    }
}

/// Shows the names only.
impl fmt::Debug for MapProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_below_a_path_if_it_goes_on_after_a_slash() {
        for (name, path, relative) in [
            ("/app/db/url", "/app", Some("db/url")),
            ("/app/db/url", "/app/", Some("db/url")),
            ("/app/db/url", "/", Some("app/db/url")),
            ("/app/db/url", "/app/db/url", None),
            ("/app/", "/app", None),
            ("/application", "/app", None),
            ("app", "/app", None),
        ] {
            assert_eq!(below(name, path), relative, "{name} below {path}");
        }
    }
}
