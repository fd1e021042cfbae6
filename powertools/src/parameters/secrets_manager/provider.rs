use aws_sdk_secretsmanager::{
    Client, error::ErrorMetadata, operation::batch_get_secret_value::BatchGetSecretValueOutput,
    primitives::Blob,
};
use futures_util::future::{join, join_all};

use super::SecretsManagerOptions;
use crate::parameters::{
    BatchProvider, Fetched, ParameterProvider, ProviderError, ProviderErrorKind,
    answers::{Answers, in_order},
    sdk::{self, unreadable},
};

/// How many secrets one request takes.
///
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html>
const SECRETS_PER_REQUEST: usize = 20;

/// Fetches secrets from Secrets Manager.
///
/// See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct SecretsManagerProvider {
    pub(super) client: Client,
}

impl SecretsManagerProvider {
    /// Makes a provider. Nothing is fetched before the first secret is asked for.
    ///
    /// How often a request is tried again, and how long it may take, is set on the client.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Fetches the current versions of up to [`SECRETS_PER_REQUEST`] secrets by one request, or each by
    /// one of its own if that is denied, and answers for each name in turn.
    async fn get_chunk(&self, names: &[&str]) -> Vec<Result<Fetched, ProviderError>> {
        let request = names.iter().map(|name| (*name).to_owned()).collect();
        let mut pages = self
            .client
            .batch_get_secret_value()
            .set_secret_id_list(Some(request))
            .into_paginator()
            .send();
        let mut answers = Answers::new(names);
        let mut rest = unreadable();
        let mut is_first = true;
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => take(page, &mut answers),
                Err(error) => rest = sdk::failed(error, refused),
            }
            // Whoever may not ask for many may still ask for each.
            if is_first && rest.kind() == ProviderErrorKind::AccessDenied {
                let options = SecretsManagerOptions::new();
                let each = names.iter().copied().map(|name| self.get(name, &options));
                return join_all(each).await;
            }
            is_first = false;
        }
        answers.or(&rest)
    }
}

impl ParameterProvider for SecretsManagerProvider {
    type Options = SecretsManagerOptions;

    async fn get(
        &self,
        name: &str,
        options: &SecretsManagerOptions,
    ) -> Result<Fetched, ProviderError> {
        let answer = self
            .client
            .get_secret_value()
            .secret_id(name)
            .set_version_id(options.version_id.clone())
            .set_version_stage(options.version_stage.clone())
            .send()
            .await
            .map_err(|error| sdk::failed(error, refused))?;
        fetched(
            answer.secret_string,
            answer.secret_binary,
            answer.version_id,
        )
    }
}

impl BatchProvider for SecretsManagerProvider {
    /// Only current versions come many at once.
    async fn get_by_names(
        &self,
        requests: &[(&str, &SecretsManagerOptions)],
    ) -> Vec<Result<Fetched, ProviderError>> {
        let (current, others): (Vec<_>, Vec<_>) = requests
            .iter()
            .copied()
            .enumerate()
            .partition(|(_, (_, options))| options.is_current());
        let current = current.chunks(SECRETS_PER_REQUEST).map(|chunk| async move {
            let names: Vec<_> = chunk.iter().map(|(_, (name, _))| *name).collect();
            let answers = self.get_chunk(&names).await;
            chunk.iter().map(|(at, _)| *at).zip(answers).collect()
        });
        let others = others
            .into_iter()
            .map(|(at, (name, options))| async move { vec![(at, self.get(name, options).await)] });
        let (mut answers, others) = join(join_all(current), join_all(others)).await;
        answers.extend(others);
        in_order(answers)
    }
}

/// Makes an error of what is said about a secret that is read.
fn refused(meta: &ErrorMetadata) -> ProviderError {
    match meta.code() {
        // It is scheduled for deletion: nothing else of a secret's state stops a read.
        Some("InvalidRequestException") => sdk::refused_as(ProviderErrorKind::NotFound, meta),
        _ => sdk::refused(meta),
    }
}

/// Takes what an answer says.
fn take(page: BatchGetSecretValueOutput, answers: &mut Answers<'_>) {
    for error in page.errors.unwrap_or_default() {
        let mut meta = ErrorMetadata::builder();
        if let Some(code) = error.error_code() {
            meta = meta.code(code);
        }
        if let Some(message) = error.message() {
            meta = meta.message(message);
        }
        let id = error.secret_id();
        let answer = Err(refused(&meta.build()));
        answers.set(
            |name| id.is_some_and(|id| is_named(Some(id), Some(id), name)),
            &answer,
        );
    }
    for mut secret in page.secret_values.unwrap_or_default() {
        let answer = fetched(
            secret.secret_string.take(),
            secret.secret_binary.take(),
            secret.version_id.take(),
        );
        answers.set(|name| is_named(secret.name(), secret.arn(), name), &answer);
    }
}

fn fetched(
    text: Option<String>,
    binary: Option<Blob>,
    version_id: Option<String>,
) -> Result<Fetched, ProviderError> {
    let fetched = match (text, binary) {
        (Some(text), _) => Fetched::text(text),
        (None, Some(binary)) => Fetched::binary(binary.into_inner()),
        (None, None) => return Err(unreadable()),
    };
    Ok(match version_id {
        Some(id) => fetched.version(id),
        None => fetched,
    })
}

/// Tells whether a secret is what this asks for: its name, its ARN, or that without the six characters
/// at its end.
///
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen>
fn is_named(name: Option<&str>, arn: Option<&str>, asked: &str) -> bool {
    if !asked.starts_with("arn:") {
        return name == Some(asked);
    }
    let rest = arn.and_then(|arn| arn.strip_prefix(asked));
    rest.is_some_and(|rest| rest.is_empty() || rest.len() == 7 && rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_asked_for_by_its_name_or_its_arn() {
        let name = Some("shop/db");
        let whole = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/db-a1B2c3";
        let arn = Some(whole);
        for asked in ["shop/db", whole, whole.trim_end_matches("-a1B2c3")] {
            assert!(is_named(name, arn, asked), "{asked}");
        }
        for asked in [
            "shop/d",
            "shop/db-a1B2c3",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop",
            "",
        ] {
            assert!(!is_named(name, arn, asked), "{asked}");
        }
        assert!(!is_named(Some("db-reader"), Some("db-reader"), "db"));
        assert!(!is_named(None, None, "shop/db"));
    }
}
