use super::{Fetched, ParameterProvider, ProviderError};
use crate::Env;

/// Environment variables as parameters, for what is set with the function.
///
/// A value is what the variable holds, with the white space around it; an empty one is a value too.
/// The values [below a path](ParameterProvider::get_multiple) are those of the variables whose names
/// begin with it: `HOST` for `DB_HOST`, below `DB_`.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use powertools::{Env, parameters::{EnvironmentProvider, Parameters}};
///
/// let env = Env::from([("DB_HOST", "localhost"), ("DB_PORT", "5432")]);
/// let parameters = Parameters::new(EnvironmentProvider::new(env));
/// assert_eq!(*parameters.get("DB_PORT").json::<u16>().await?, 5432);
/// assert_eq!(parameters.get_multiple("DB_").await?.get("HOST").unwrap().as_str()?, "localhost");
/// # Ok::<_, powertools::parameters::ParameterError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct EnvironmentProvider {
    env: Env,
}

impl EnvironmentProvider {
    /// Makes one of the variables that the process has now.
    #[must_use]
    pub fn process() -> Self {
        Self::new(Env::process())
    }

    /// Makes one of variables made by hand.
    #[must_use]
    pub const fn new(env: Env) -> Self {
        Self { env }
    }
}

impl ParameterProvider for EnvironmentProvider {
    type Options = ();

    async fn get(&self, name: &str, (): &()) -> Result<Fetched, ProviderError> {
        let value = self.env.variables().find(|(of, _)| *of == name);
        value.map_or(Err(ProviderError::not_found()), |(_, value)| {
            Ok(Fetched::text(value))
        })
    }

    async fn get_multiple(
        &self,
        path: &str,
        (): &(),
    ) -> Result<Vec<(String, Fetched)>, ProviderError> {
        let below = self.env.variables().filter_map(|(name, value)| {
            let relative = name.strip_prefix(path).filter(|name| !name.is_empty())?;
            Some((relative.to_owned(), Fetched::text(value).name(name)))
        });
        Ok(below.collect())
    }
}
