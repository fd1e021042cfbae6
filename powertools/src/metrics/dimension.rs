use std::{borrow::Cow, fmt};

use super::{MetricsError, limits};

/// What tells one series of a metric from another; its name and value are such as CloudWatch takes.
#[derive(Clone, Debug)]
pub(super) struct Dimension {
    pub(super) name: Cow<'static, str>,
    pub(super) value: String,
}

impl Dimension {
    /// Runs the value's own code, so no lock may be held.
    pub(super) fn new(
        name: impl Into<Cow<'static, str>>,
        value: &impl fmt::Display,
    ) -> Result<Self, MetricsError> {
        let name = name.into();
        let value = value.to_string();
        if let Err(violation) = limits::check_dimension_name(&name) {
            let name = name.into_owned();
            return Err(MetricsError::DimensionName { name, violation });
        }
        if let Err(violation) = limits::check_dimension_value(&value) {
            let name = name.into_owned();
            return Err(MetricsError::DimensionValue { name, violation });
        }
        Ok(Self { name, value })
    }
}

/// Replaces the dimension of the same name, or adds one.
pub(super) fn set(dimensions: &mut Vec<Dimension>, dimension: Dimension) {
    match dimensions.iter_mut().find(|set| set.name == dimension.name) {
        Some(set) => set.value = dimension.value,
        None => dimensions.push(dimension),
    }
}

/// Returns the dimensions of an object: the configured ones, those of the invocation, and the
/// service last, unless it is among them. Each name is there once, with its last value.
pub(super) fn effective<'a>(
    configured: &'a [Dimension],
    added: &'a [Dimension],
    service: Option<&'a Dimension>,
) -> impl Iterator<Item = &'a Dimension> + Clone {
    let find = |dimensions: &'a [Dimension], name: &str| {
        dimensions.iter().find(|dimension| dimension.name == name)
    };
    configured
        .iter()
        .map(move |dimension| find(added, &dimension.name).unwrap_or(dimension))
        .chain(
            added
                .iter()
                .filter(move |dimension| find(configured, &dimension.name).is_none()),
        )
        .chain(service.filter(|service| {
            find(configured, &service.name).is_none() && find(added, &service.name).is_none()
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimensions(pairs: &[(&'static str, &str)]) -> Vec<Dimension> {
        pairs
            .iter()
            .map(|(name, value)| Dimension::new(*name, value).unwrap())
            .collect()
    }

    fn effective_of(
        configured: &[(&'static str, &str)],
        added: &[(&'static str, &str)],
    ) -> Vec<String> {
        let service = Dimension::new("service", &"orders").unwrap();
        effective(&dimensions(configured), &dimensions(added), Some(&service))
            .map(|dimension| format!("{}={}", dimension.name, dimension.value))
            .collect()
    }

    #[test]
    fn the_service_comes_last() {
        assert_eq!(
            effective_of(&[("stage", "prod")], &[("shop", "a")]),
            ["stage=prod", "shop=a", "service=orders"]
        );
    }

    #[test]
    fn an_added_dimension_replaces_a_configured_one_in_its_place() {
        assert_eq!(
            effective_of(
                &[("stage", "prod"), ("shop", "a")],
                &[("x", "1"), ("stage", "test")]
            ),
            ["stage=test", "shop=a", "x=1", "service=orders"]
        );
    }

    #[test]
    fn a_service_that_was_set_as_a_dimension_is_there_once() {
        assert_eq!(
            effective_of(&[], &[("service", "users"), ("shop", "a")]),
            ["service=users", "shop=a"]
        );
        assert_eq!(
            effective_of(&[("service", "users")], &[]),
            ["service=users"]
        );
    }
}
