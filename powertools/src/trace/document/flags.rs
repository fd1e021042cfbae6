use opentelemetry::Value;

use super::attributes;

/// Whose mistake it was, as far as the span says so itself.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-errors>
#[derive(Debug, Default)]
pub(super) struct Flags {
    error: Option<bool>,
    throttle: Option<bool>,
    fault: Option<bool>,
}

impl Flags {
    /// Takes an attribute in if it is a flag, and says whether it is.
    pub(super) fn add(&mut self, name: &str, value: &Value) -> bool {
        let flag = match name {
            attributes::ERROR => &mut self.error,
            attributes::THROTTLE => &mut self.throttle,
            attributes::FAULT => &mut self.fault,
            _ => return false,
        };
        let Value::Bool(is_set) = *value else {
            return false;
        };
        *flag = Some(is_set);
        true
    }

    /// Returns `error`, `throttle` and `fault`: as the span says; if it does not, by the status of
    /// HTTP; otherwise by whether the span has failed.
    pub(super) fn decide(&self, status: Option<u16>, has_failed: bool) -> (bool, bool, bool) {
        if self.error.or(self.throttle).or(self.fault).is_some() {
            let throttle = self.throttle == Some(true);
            let error = self.error == Some(true) || throttle;
            return (error, throttle, self.fault == Some(true));
        }
        match status {
            Some(429) => (true, true, false),
            Some(400..=499) => (true, false, false),
            Some(500..) => (false, false, true),
            _ => (false, false, has_failed),
        }
    }
}
