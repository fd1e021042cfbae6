use std::{sync::Mutex, time::SystemTime};

use serde::de::DeserializeOwned;

use super::{
    Evaluation, EvaluationContext, FeatureFlagsError, FlagDocument,
    config::Config,
    report::{self, Reported},
};

/// All that it takes to decide flags.
#[derive(Clone, Copy)]
pub(super) struct Decider<'a> {
    /// Without one, the callers' defaults hold.
    pub(super) document: Option<&'a FlagDocument>,
    pub(super) context: &'a EvaluationContext,
    pub(super) now: SystemTime,
    pub(super) config: &'a Config,
    /// What is not reported again.
    pub(super) reported: Option<&'a Mutex<Reported>>,
}

impl<'a> Decider<'a> {
    pub(super) fn is_enabled(&self, flag: &str, default: bool) -> Result<bool, FeatureFlagsError> {
        let evaluation = self.evaluate(flag)?;
        Ok(evaluation.map_or(default, |evaluation| evaluation.is_enabled()))
    }

    pub(super) fn value<T: DeserializeOwned>(
        &self,
        flag: &str,
        default: T,
    ) -> Result<T, FeatureFlagsError> {
        let Some(evaluation) = self.evaluate(flag)? else {
            return Ok(default);
        };
        let value = evaluation.value();
        // What serde says quotes the value.
        T::deserialize(value).map_err(|_| FeatureFlagsError::wrong_type::<T>(flag, value))
    }

    /// Decides a flag; with `None` the caller's default holds.
    pub(super) fn evaluate(&self, flag: &str) -> Result<Option<Evaluation<'a>>, FeatureFlagsError> {
        let evaluation = match self.document {
            Some(document) => self.evaluate_in(document, flag)?,
            None => None,
        };
        report::evaluated(self.config, self.reported, flag, evaluation.as_ref());
        Ok(evaluation)
    }

    fn evaluate_in(
        &self,
        document: &'a FlagDocument,
        flag: &str,
    ) -> Result<Option<Evaluation<'a>>, FeatureFlagsError> {
        let evaluation = match self.config.on_mismatch.as_deref() {
            Some(decide) => document.evaluate_with(flag, self.context, self.now, decide),
            None => document
                .evaluate(flag, self.context, self.now)
                .inspect(|evaluation| report::mismatches(self.config, flag, evaluation)),
        };
        if evaluation.is_none() {
            if self.config.fail_on_unknown_flag {
                return Err(FeatureFlagsError::unknown_flag(flag));
            }
            report::unknown_flag(self.config, flag);
        }
        Ok(evaluation)
    }

    pub(super) fn enabled(&self) -> Vec<&'a str> {
        match (self.document, self.config.on_mismatch.as_deref()) {
            (Some(document), Some(decide)) => document.enabled_with(self.context, self.now, decide),
            (Some(document), None) => document.enabled(self.context, self.now),
            (None, _) => Vec::new(),
        }
    }
}
