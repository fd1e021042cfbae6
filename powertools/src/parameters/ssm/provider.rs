use aws_sdk_ssm::{Client, types::Parameter};
use futures_util::future::join_all;

use super::SsmOptions;
use crate::parameters::{
    BatchProvider, Fetched, ParameterProvider, ProviderError, ProviderErrorKind,
    answers::{Answers, in_order},
    map::below,
    sdk::{read_failed, unreadable},
};

/// How many names one request takes.
///
/// Source: <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html>
const NAMES_PER_REQUEST: usize = 10;

/// How many parameters of a path one answer holds at the most.
///
/// Source: <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html>
const PARAMETERS_PER_PAGE: i32 = 10;

/// Fetches parameters from Systems Manager.
///
/// See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct SsmProvider {
    pub(super) client: Client,
}

impl SsmProvider {
    /// Makes a provider. Nothing is fetched before the first parameter is asked for.
    ///
    /// How often a request is tried again, and how long it may take, is set on the client.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Fetches up to [`NAMES_PER_REQUEST`] parameters by one request, or each by one of its own if that
    /// is refused, and answers for each name in turn.
    async fn get_chunk(
        &self,
        names: &[&str],
        with_decryption: bool,
    ) -> Vec<Result<Fetched, ProviderError>> {
        let request = names.iter().map(|name| (*name).to_owned()).collect();
        let answer = self
            .client
            .get_parameters()
            .set_names(Some(request))
            .with_decryption(with_decryption)
            .send()
            .await;
        let answer = match answer.map_err(read_failed) {
            Ok(answer) => answer,
            // One name that is denied or malformed has all others refused.
            Err(error) if names.len() > 1 && is_for_a_name(&error) => {
                let options = SsmOptions::new().with_decryption(with_decryption);
                let each = names.iter().copied().map(|name| self.get(name, &options));
                return join_all(each).await;
            }
            Err(error) => return vec![Err(error); names.len()],
        };
        let mut answers = Answers::new(names);
        for invalid in answer.invalid_parameters.unwrap_or_default() {
            answers.set(|name| name == invalid, &Err(ProviderError::not_found()));
        }
        for mut parameter in answer.parameters.unwrap_or_default() {
            let value = parameter.value.take();
            let answer = fetched(value, parameter.version);
            answers.set(|name| is_named(&parameter, name), &answer);
        }
        answers.or(&unreadable())
    }
}

impl ParameterProvider for SsmProvider {
    type Options = SsmOptions;

    async fn get(&self, name: &str, options: &SsmOptions) -> Result<Fetched, ProviderError> {
        let answer = self
            .client
            .get_parameter()
            .name(name)
            .with_decryption(options.with_decryption)
            .send()
            .await
            .map_err(read_failed)?;
        let parameter = answer.parameter.ok_or_else(unreadable)?;
        fetched(parameter.value, parameter.version)
    }

    async fn get_multiple(
        &self,
        path: &str,
        options: &SsmOptions,
    ) -> Result<Vec<(String, Fetched)>, ProviderError> {
        let mut pages = self
            .client
            .get_parameters_by_path()
            .path(path)
            .recursive(options.recursive)
            .with_decryption(options.with_decryption)
            .into_paginator()
            .page_size(PARAMETERS_PER_PAGE)
            .send();
        let mut values = Vec::new();
        let mut has_more = false;
        while let Some(page) = pages.next().await {
            let page = page.map_err(read_failed)?;
            has_more = page.next_token.is_some_and(|token| !token.is_empty());
            for parameter in page.parameters.unwrap_or_default() {
                let name = parameter.name.ok_or_else(unreadable)?;
                let value = fetched(parameter.value, parameter.version)?;
                let below = below(&name, path).unwrap_or(name.trim_start_matches('/'));
                values.push((below.to_owned(), value.name(name)));
            }
        }
        // The pages end early if one is like that before it.
        if has_more {
            Err(unreadable())
        } else {
            Ok(values)
        }
    }
}

impl BatchProvider for SsmProvider {
    async fn get_by_names(
        &self,
        requests: &[(&str, &SsmOptions)],
    ) -> Vec<Result<Fetched, ProviderError>> {
        let (decrypted, plain): (Vec<_>, Vec<_>) = requests
            .iter()
            .copied()
            .enumerate()
            .partition(|(_, (_, options))| options.with_decryption);
        let decrypted = decrypted.chunks(NAMES_PER_REQUEST);
        let plain = plain.chunks(NAMES_PER_REQUEST);
        let chunks = decrypted.map(|chunk| (chunk, true));
        let chunks = chunks.chain(plain.map(|chunk| (chunk, false)));
        let answers = chunks.map(|(chunk, with_decryption)| async move {
            let names: Vec<_> = chunk.iter().map(|(_, (name, _))| *name).collect();
            let answers = self.get_chunk(&names, with_decryption).await;
            chunk.iter().map(|(at, _)| *at).zip(answers).collect()
        });
        in_order(join_all(answers).await)
    }
}

/// Tells whether a request may have been refused for one of its names.
const fn is_for_a_name(error: &ProviderError) -> bool {
    matches!(
        error.kind(),
        ProviderErrorKind::AccessDenied | ProviderErrorKind::InvalidRequest
    )
}

fn fetched(value: Option<String>, version: i64) -> Result<Fetched, ProviderError> {
    let value = value.ok_or_else(unreadable)?;
    Ok(Fetched::text(value).version(version.to_string()))
}

/// Tells whether a parameter is what this name asks for, which may have a version or a label behind
/// it.
fn is_named(parameter: &Parameter, name: &str) -> bool {
    let selector = parameter.selector().unwrap_or_default();
    let selector = selector.trim_start_matches(':');
    let is = |id: &str| match name.strip_prefix(id) {
        Some("") => selector.is_empty(),
        Some(rest) => rest.strip_prefix(':') == Some(selector),
        None => false,
    };
    parameter.name().is_some_and(is) || parameter.arn().is_some_and(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_asked_for_by_its_name_or_its_arn_with_what_selects_a_version() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/url";
        let parameter = Parameter::builder().name("/shop/url").arn(arn);
        let last = parameter.clone().build();
        let third = parameter.clone().selector(":3").build();
        let stable = parameter.selector("stable").build();
        for (asked, is) in [
            ("/shop/url".to_owned(), [true, false, false]),
            (arn.to_owned(), [true, false, false]),
            ("/shop/url:3".to_owned(), [false, true, false]),
            (format!("{arn}:3"), [false, true, false]),
            ("/shop/url:stable".to_owned(), [false, false, true]),
            ("/shop/url:33".to_owned(), [false; 3]),
            ("/shop/url/3".to_owned(), [false; 3]),
            ("/shop".to_owned(), [false; 3]),
        ] {
            let are = [&last, &third, &stable].map(|parameter| is_named(parameter, &asked));
            assert_eq!(are, is, "{asked}");
        }
    }
}
