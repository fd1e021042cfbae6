use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aws_sdk_ssm::{
    error::{ProvideErrorMetadata as _, SdkError},
    operation::put_parameter::PutParameterError,
    types::{ParameterTier, ParameterType},
};
use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

use super::SsmProvider;
use crate::parameters::{Parameters, SetError, sdk::write_failed, set::Forget};

impl Parameters<SsmProvider> {
    /// Sets a parameter to a text, and forgets what is cached of it.
    ///
    /// Unless more is said, the parameter is made as a `String` of the standard tier, and it fails if
    /// there is one already. The result is the number of the version that was made.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use powertools::parameters::{Parameters, ssm::SsmProvider};
    ///
    /// # async fn run(parameters: Parameters<SsmProvider>) -> Result<(), Box<dyn std::error::Error>> {
    /// parameters.set("/shop/page-size", "20").await?;
    ///
    /// let version = parameters.set("/shop/db/password", "hunter2").secure().overwrite().await?;
    /// let password = parameters.get(&format!("/shop/db/password:{version}")).decrypt().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The result is an error if the parameter exists and is not to be overwritten, if the service
    /// refuses the request, or if it cannot be reached. The time that this may take is set on the
    /// client; the [time for a fetch](Self::timeout) does not matter here.
    pub fn set(&self, name: impl Into<Arc<str>>, value: impl Into<String>) -> SetParameter<'_> {
        SetParameter {
            parameters: self,
            name: name.into(),
            value: Zeroizing::new(value.into()),
            of_type: None,
            tier: None,
            overwrite: false,
            description: None,
            kms_key: None,
        }
    }
}

/// A parameter that is about to be [set](Parameters::set). It is set when this is awaited.
#[derive(Clone)]
#[must_use = "nothing is set before this is awaited"]
pub struct SetParameter<'a> {
    parameters: &'a Parameters<SsmProvider>,
    name: Arc<str>,
    value: Zeroizing<String>,
    of_type: Option<ParameterType>,
    tier: Option<ParameterTier>,
    overwrite: bool,
    description: Option<String>,
    kms_key: Option<String>,
}

impl SetParameter<'_> {
    /// Makes a new version, if there is such a parameter.
    ///
    /// By default the parameter has to be new. What is not said stays as it is then: a `SecureString`
    /// is never turned into a `String` because `secure` was forgotten.
    pub fn overwrite(mut self) -> Self {
        self.overwrite = true;
        self
    }

    /// Stores the value encrypted, as a `SecureString`.
    ///
    /// Defaults to a `String`.
    pub fn secure(mut self) -> Self {
        self.of_type = Some(ParameterType::SecureString);
        self
    }

    /// Stores the value as a `StringList`: texts with commas between them.
    ///
    /// Defaults to a `String`.
    pub fn list(mut self) -> Self {
        self.of_type = Some(ParameterType::StringList);
        self
    }

    /// Stores the value encrypted, as a `SecureString`, with this key of KMS: its id, its ARN or its
    /// alias.
    ///
    /// Defaults to the account's key for Systems Manager, `alias/aws/ssm`.
    pub fn kms_key(mut self, key: impl Into<String>) -> Self {
        self.kms_key = Some(key.into());
        self.secure()
    }

    /// Sets the tier, on which depend the value's size and the price.
    ///
    /// Defaults to the standard tier, which takes 4 KB and costs nothing. The advanced one takes 8 KB.
    ///
    /// Source: <https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html>
    pub fn tier(mut self, tier: ParameterTier) -> Self {
        self.tier = Some(tier);
        self
    }

    /// Sets what is said about the parameter to people. It is no secret.
    ///
    /// Defaults to nothing.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    async fn send(&self) -> Result<i64, SetError> {
        if !self.overwrite {
            return self.create().await.map_err(|error| self.error(error));
        }
        let error = match self
            .put(true, self.of_type.clone(), self.tier.clone())
            .await
        {
            Ok(version) => return Ok(version),
            Err(error) => error,
        };
        // A parameter that is new needs a type, and the service has no error of its own for that.
        if self.of_type.is_none() && error.code() == Some("ValidationException") {
            match self.create().await {
                Err(error) if is_already_exists(&error) => {}
                created => return created.map_err(|error| self.error(error)),
            }
        }
        Err(self.error(error))
    }

    async fn create(&self) -> Result<i64, SdkError<PutParameterError>> {
        let of_type = self.of_type.clone().unwrap_or(ParameterType::String);
        let tier = self.tier.clone().unwrap_or(ParameterTier::Standard);
        self.put(false, Some(of_type), Some(tier)).await
    }

    async fn put(
        &self,
        overwrite: bool,
        of_type: Option<ParameterType>,
        tier: Option<ParameterTier>,
    ) -> Result<i64, SdkError<PutParameterError>> {
        let put = self.parameters.provider().client.put_parameter();
        let answer = put
            .name(&*self.name)
            .value(&*self.value)
            .overwrite(overwrite)
            .set_type(of_type)
            .set_tier(tier)
            .set_description(self.description.clone())
            .set_key_id(self.kms_key.clone())
            .send()
            .await?;
        Ok(answer.version)
    }

    fn error(&self, error: SdkError<PutParameterError>) -> SetError {
        let name = Arc::clone(&self.name);
        let exists = is_already_exists(&error);
        let error = write_failed(error);
        if exists {
            SetError::already_exists(name, error)
        } else {
            SetError::of_provider(name, error)
        }
    }
}

fn is_already_exists(error: &SdkError<PutParameterError>) -> bool {
    let error = error.as_service_error();
    error.is_some_and(PutParameterError::is_parameter_already_exists)
}

impl<'a> IntoFuture for SetParameter<'a> {
    type Output = Result<i64, SetError>;
    type IntoFuture = SetParameterFuture<'a>;

    fn into_future(self) -> Self::IntoFuture {
        SetParameterFuture {
            setting: Box::pin(async move {
                let _forget = Forget {
                    parameters: self.parameters,
                    name: &self.name,
                };
                self.send().await
            }),
        }
    }
}

/// The future of a [`SetParameter`].
#[must_use = "futures do nothing unless they are polled"]
pub struct SetParameterFuture<'a> {
    setting: BoxFuture<'a, Result<i64, SetError>>,
}

impl Future for SetParameterFuture<'_> {
    type Output = Result<i64, SetError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.setting.as_mut().poll(cx)
    }
}

/// Does not show the value.
impl fmt::Debug for SetParameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetParameter")
            .field("name", &self.name)
            .field("type", &self.of_type)
            .field("tier", &self.tier)
            .field("overwrite", &self.overwrite)
            .field("description", &self.description)
            .field("kms_key", &self.kms_key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SetParameterFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetParameterFuture").finish_non_exhaustive()
    }
}
