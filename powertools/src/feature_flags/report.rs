//! What is told about flags: warnings, log lines and a metric.

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;
use tracing::{info, warn};

use super::{
    Evaluation, FlagStoreError, Reason,
    config::{Config, Warning},
};

/// The flags that an evaluator has reported.
pub(super) type Reported = Vec<String>;

/// The variant of a flag that was not decided.
const FALLBACK: &str = "fallback";

pub(super) fn unavailable(error: &FlagStoreError) {
    let error: &(dyn Error + 'static) = error;
    warn!(error, "feature flags have their defaults");
}

pub(super) fn broken(error: &FlagStoreError) {
    let error: &(dyn Error + 'static) = error;
    warn!(error, "feature flags stay those of the last good document");
}

pub(super) fn unknown_flag(config: &Config, flag: &str) {
    if config
        .warned
        .is_first(Warning::UnknownFlag(flag.to_owned()))
    {
        warn!(flag, "there is no such feature flag");
    }
}

pub(super) fn mismatches(config: &Config, flag: &str, evaluation: &Evaluation<'_>) {
    for mismatch in evaluation.mismatches() {
        let (rule, key) = (mismatch.rule(), mismatch.key());
        let warning = Warning::Mismatch {
            flag: flag.to_owned(),
            rule: rule.to_owned(),
            key: key.to_owned(),
        };
        if config.warned.is_first(warning) {
            let (action, found) = (mismatch.action(), mismatch.found());
            warn!(
                flag,
                rule, key, action, found, "a feature flag's condition makes no sense"
            );
        }
    }
}

/// Counts and logs an evaluation, if that is chosen; an evaluator's once for each flag.
pub(super) fn evaluated(
    config: &Config,
    reported: Option<&Mutex<Reported>>,
    flag: &str,
    evaluation: Option<&Evaluation<'_>>,
) {
    if !config.metrics && !config.log {
        return;
    }
    if let Some(reported) = reported {
        let mut reported = reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.iter().any(|it| it == flag) {
            return;
        }
        reported.push(flag.to_owned());
    }
    let variant = evaluation.map_or(FALLBACK, variant);
    if config.metrics {
        count(flag, variant);
    }
    if config.log {
        let rule = evaluation.and_then(|evaluation| evaluation.reason().rule());
        let reason = evaluation.map_or("error", |evaluation| reason(evaluation.reason()));
        info!(flag, variant, reason, rule, "feature flag evaluated");
    }
}

/// Names the value that a flag has, without quoting it.
pub(super) fn variant<'a>(evaluation: &Evaluation<'a>) -> &'a str {
    evaluation.variant().unwrap_or(match evaluation.value() {
        Value::Bool(true) => "on",
        Value::Bool(false) => "off",
        _ => evaluation.reason().rule().unwrap_or("default"),
    })
}

fn reason(reason: Reason<'_>) -> &'static str {
    match reason {
        Reason::Static => "static",
        Reason::Default => "default",
        Reason::RuleMatch { .. } => "rule_match",
        Reason::Rollout { .. } => "rollout",
    }
}

#[cfg(feature = "metrics")]
fn count(flag: &str, variant: &str) {
    use crate::metrics::{Metric, Unit};

    const EVALUATIONS: Metric = Metric::new("FeatureFlagEvaluations", Unit::Count);

    EVALUATIONS
        .single(1)
        .dimension("flag", flag)
        .dimension("variant", variant)
        .emit();
}

#[cfg(not(feature = "metrics"))]
const fn count(_: &str, _: &str) {}
