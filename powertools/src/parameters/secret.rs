use std::{error::Error, future::poll_fn};

use tracing::warn;

use super::{
    Get, ParameterProvider, SecretError, Value,
    cache::{Joined, Purpose},
    get::{Request, own_request},
};

impl<P: ParameterProvider> Get<'_, P> {
    /// Runs something with a secret, and once more with a newer one if the first was refused, see
    /// [`Parameters::with_secret`](super::Parameters::with_secret).
    ///
    /// # Errors
    ///
    /// Fails if there is no secret to begin with, or with the error of what was run.
    pub async fn with_secret<T, E, F>(
        self,
        mut run: impl FnMut(Value) -> F,
        is_refused: impl Fn(&E) -> bool,
    ) -> Result<T, SecretError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut reading = self.request.into_reading();
        let served = poll_fn(|cx| reading.poll(cx)).await?;
        let flight = served.flight();
        let secret = served.value()?;
        let refusal = match run(secret.clone()).await {
            Err(error) if is_refused(&error) => error,
            result => return result.map_err(SecretError::Operation),
        };
        match newer(&reading.request, &secret, flight).await {
            Some(newer) => run(newer).await.map_err(SecretError::Operation),
            None => Err(SecretError::Operation(refusal)),
        }
    }
}

/// Returns a secret that is another than the refused one, which came from a fetch.
async fn newer<P: ParameterProvider>(
    request: &Request<'_, P>,
    refused: &Value,
    flight: u64,
) -> Option<Value> {
    let purpose = if request.max_age.is_zero() {
        Purpose::Alone
    } else {
        Purpose::Refused {
            value: refused,
            flight,
        }
    };
    let fetched = match request.join(purpose, &own_request) {
        Joined::Served(served) => Ok(served),
        Joined::Flight(flight) => flight.await,
    };
    match fetched.and_then(|served| served.value()) {
        Ok(value) => (!value.has_content_of(refused)).then_some(value),
        Err(error) => {
            let source: &(dyn Error + 'static) = &error;
            warn!(
                parameter = request.name,
                error = source,
                "a refused secret could not be fetched again"
            );
            None
        }
    }
}
