use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aws_sdk_secretsmanager::{
    operation::{create_secret::CreateSecretError, put_secret_value::PutSecretValueError},
    primitives::Blob,
};
use futures_util::future::BoxFuture;
use serde::Serialize;
use zeroize::Zeroizing;

use super::SecretsManagerProvider;
use crate::parameters::{
    Parameters, ProviderError, SetError,
    provider::Data,
    sdk::{unreadable, write_failed},
    set::Forget,
};

impl Parameters<SecretsManagerProvider> {
    /// Sets a secret to a text: makes a new version, or the secret if there is none, and forgets what is
    /// cached of it.
    ///
    /// The new version is the current one, and the one before it gets the label `AWSPREVIOUS`. The
    /// result is the id of the new version.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use powertools::parameters::{Parameters, secrets_manager::SecretsManagerProvider};
    ///
    /// # async fn run(secrets: Parameters<SecretsManagerProvider>) -> Result<(), Box<dyn std::error::Error>> {
    /// let version = secrets.set("shop/signing-key", "hunter2").await?;
    /// let key = secrets.get("shop/signing-key").version_id(version).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The result is an error if the service refuses the request, or if it cannot be reached. The time
    /// that this may take is set on the client; the [time for a fetch](Self::timeout) does not matter
    /// here.
    pub fn set(&self, name: impl Into<Arc<str>>, value: impl Into<String>) -> SetSecret<'_> {
        let value = Data::Text(Zeroizing::new(value.into()));
        SetSecret::new(self, name.into(), Ok(value))
    }

    /// Sets a secret to bytes, otherwise as [`set`](Self::set) does.
    pub fn set_binary(
        &self,
        name: impl Into<Arc<str>>,
        value: impl Into<Vec<u8>>,
    ) -> SetSecret<'_> {
        let value = Data::Binary(Zeroizing::new(value.into()));
        SetSecret::new(self, name.into(), Ok(value))
    }

    /// Sets a secret to JSON, as the console and rotations have it, otherwise as [`set`](Self::set)
    /// does.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use powertools::parameters::{Parameters, secrets_manager::SecretsManagerProvider};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Login<'a> {
    ///     username: &'a str,
    ///     password: &'a str,
    /// }
    ///
    /// # async fn run(secrets: Parameters<SecretsManagerProvider>) -> Result<(), Box<dyn std::error::Error>> {
    /// let login = Login { username: "shop", password: "hunter2" };
    /// secrets.set_json("shop/db", &login).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_json<T>(&self, name: impl Into<Arc<str>>, value: &T) -> SetSecret<'_>
    where
        T: Serialize + ?Sized,
    {
        let name = name.into();
        let value = match serde_json::to_string(value) {
            Ok(json) => Ok(Data::Text(Zeroizing::new(json))),
            // What a type says that cannot be written may quote the value.
            Err(_) => Err(SetError::Json {
                name: Arc::clone(&name),
            }),
        };
        SetSecret::new(self, name, value)
    }
}

/// A secret that is about to be [set](Parameters::set). It is set when this is awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing is set before this is awaited"]
pub struct SetSecret<'a> {
    parameters: &'a Parameters<SecretsManagerProvider>,
    name: Arc<str>,
    value: Result<Data, SetError>,
    token: Option<String>,
    description: Option<String>,
    kms_key: Option<String>,
}

impl<'a> SetSecret<'a> {
    const fn new(
        parameters: &'a Parameters<SecretsManagerProvider>,
        name: Arc<str>,
        value: Result<Data, SetError>,
    ) -> Self {
        Self {
            parameters,
            name,
            value,
            token: None,
            description: None,
            kms_key: None,
        }
    }

    /// Sets the new version's id, of 32 to 64 characters, which makes it safe to set the same value
    /// again: a second time with the same id does nothing. With another value it fails with
    /// [`AlreadyExists`](SetError::AlreadyExists).
    ///
    /// Take one that belongs to the occasion, such as a message's id, where a whole invocation may
    /// run twice. Defaults to a random one for each request, which makes the client's own retries
    /// safe.
    ///
    /// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
    pub fn client_request_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets what is said about the secret to people, if there is none yet. It is no secret.
    ///
    /// Defaults to nothing.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets the key of KMS that encrypts the secret, by its id, its ARN or its alias, if there is none
    /// yet. A secret that exists keeps its key.
    ///
    /// Defaults to the account's key for Secrets Manager, `alias/aws/secretsmanager`.
    pub fn kms_key(mut self, key: impl Into<String>) -> Self {
        self.kms_key = Some(key.into());
        self
    }

    async fn send(&self) -> Result<String, SetError> {
        let value = self.value.as_ref().map_err(Clone::clone)?;
        match self.put(value).await {
            // A name that is an ARN has an end that only the service can make.
            Err(SetError::NotFound { .. }) if !self.name.starts_with("arn:") => {}
            put => return put,
        }
        match self.create(value).await {
            // Somebody else has made it since.
            Err(SetError::AlreadyExists { .. }) => self.put(value).await,
            created => created,
        }
    }

    async fn put(&self, value: &Data) -> Result<String, SetError> {
        let (text, binary) = parts(value);
        let put = self.parameters.provider().client.put_secret_value();
        let answer = put
            .secret_id(&*self.name)
            .set_client_request_token(self.token.clone())
            .set_secret_string(text)
            .set_secret_binary(binary)
            .send()
            .await
            .map_err(|error| {
                let exists = error
                    .as_service_error()
                    .is_some_and(PutSecretValueError::is_resource_exists_exception);
                self.error(exists, write_failed(error))
            })?;
        self.version(answer.version_id)
    }

    async fn create(&self, value: &Data) -> Result<String, SetError> {
        let (text, binary) = parts(value);
        let create = self.parameters.provider().client.create_secret();
        let answer = create
            .name(&*self.name)
            .set_client_request_token(self.token.clone())
            .set_description(self.description.clone())
            .set_kms_key_id(self.kms_key.clone())
            .set_secret_string(text)
            .set_secret_binary(binary)
            .send()
            .await
            .map_err(|error| {
                let exists = error
                    .as_service_error()
                    .is_some_and(CreateSecretError::is_resource_exists_exception);
                self.error(exists, write_failed(error))
            })?;
        self.version(answer.version_id)
    }

    fn version(&self, version_id: Option<String>) -> Result<String, SetError> {
        version_id.ok_or_else(|| self.error(false, unreadable()))
    }

    fn error(&self, exists: bool, error: ProviderError) -> SetError {
        let name = Arc::clone(&self.name);
        if exists {
            SetError::already_exists(name, error)
        } else {
            SetError::of_provider(name, error)
        }
    }
}

fn parts(value: &Data) -> (Option<String>, Option<Blob>) {
    match value {
        Data::Text(text) => (Some(text.to_string()), None),
        Data::Binary(bytes) => (None, Some(Blob::new(bytes.to_vec()))),
    }
}

impl<'a> IntoFuture for SetSecret<'a> {
    type Output = Result<String, SetError>;
    type IntoFuture = SetSecretFuture<'a>;

    fn into_future(self) -> Self::IntoFuture {
        SetSecretFuture {
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

/// The future of a [`SetSecret`].
#[must_use = "futures do nothing unless they are polled"]
pub struct SetSecretFuture<'a> {
    setting: BoxFuture<'a, Result<String, SetError>>,
}

impl Future for SetSecretFuture<'_> {
    type Output = Result<String, SetError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.setting.as_mut().poll(cx)
    }
}

impl fmt::Debug for SetSecretFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetSecretFuture").finish_non_exhaustive()
    }
}
