//! What services answer about many names at once.

use super::{Fetched, ProviderError};

/// Gives answers back in the order of what was asked for, each of them once.
pub(super) fn in_order<T>(answers: Vec<Vec<(usize, T)>>) -> Vec<T> {
    let mut answers: Vec<_> = answers.into_iter().flatten().collect();
    answers.sort_unstable_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// What one request answers about its names.
pub(super) struct Answers<'a> {
    names: &'a [&'a str],
    answers: Vec<Option<Result<Fetched, ProviderError>>>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(names: &'a [&'a str]) -> Self {
        Self {
            names,
            answers: vec![None; names.len()],
        }
    }

    /// Sets the answer for each name that it is about, of which there may be two for one thing.
    pub(super) fn set(
        &mut self,
        is_about: impl Fn(&str) -> bool,
        answer: &Result<Fetched, ProviderError>,
    ) {
        for (name, slot) in self.names.iter().zip(&mut self.answers) {
            if is_about(name) {
                *slot = Some(answer.clone());
            }
        }
    }

    /// Returns all answers, this one for names without any.
    pub(super) fn or(self, otherwise: &ProviderError) -> Vec<Result<Fetched, ProviderError>> {
        let answers = self.answers.into_iter();
        answers
            .map(|answer| answer.unwrap_or_else(|| Err(otherwise.clone())))
            .collect()
    }
}
