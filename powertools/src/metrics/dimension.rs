use std::{borrow::Cow, fmt, slice};

use super::{MetricsError, limits};

/// What tells one series of a metric from another; its name and value are such as CloudWatch takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dimension {
    pub(super) name: Cow<'static, str>,
    pub(super) value: String,
}

/// The dimension sets of an object. CloudWatch keeps every metric of it once for each set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DimensionSets<'a> {
    /// In every set, unless another of the same name is there.
    pub(super) configured: &'a [Dimension],
    /// Those that follow in the first set.
    pub(super) added: &'a [Dimension],
    /// Those of this object's metrics only, last in the first set.
    pub(super) own: &'a [Dimension],
    /// At the first set's end, unless it is in there already.
    pub(super) service: Option<&'a Dimension>,
    /// What further sets have besides the configured dimensions.
    pub(super) more: &'a [Vec<Dimension>],
    /// Whether a set may give a dimension another value than the sets before it. At the object's
    /// root it has one only: the last. Otherwise there is none that does, and no set is repeated.
    pub(super) later_sets_win: bool,
}

/// One dimension set; each name is there once.
#[derive(Clone, Copy, Debug)]
pub(super) struct DimensionSet<'a> {
    configured: &'a [Dimension],
    /// What replaces configured dimensions, without being in the set itself.
    replacing: &'a [Dimension],
    added: &'a [Dimension],
    own: &'a [Dimension],
    service: Option<&'a Dimension>,
}

/// The dimensions of a set: each where its name comes first, with the value that comes last.
#[derive(Clone, Debug)]
pub(super) struct Dimensions<'a> {
    set: DimensionSet<'a>,
    /// Of which list the next one is, and which of it.
    list: usize,
    index: usize,
}

impl Dimension {
    /// Runs the value's own code, so no lock may be held.
    pub(super) fn new(
        name: impl Into<Cow<'static, str>>,
        value: &impl fmt::Display,
    ) -> Result<Self, MetricsError> {
        let dimension = Self {
            name: name.into(),
            value: value.to_string(),
        };
        dimension.check(limits::check_dimension_name, limits::check_dimension_value)
    }

    pub(super) fn check(
        self,
        check_name: impl FnOnce(&str) -> Result<(), limits::Violation>,
        check_value: impl FnOnce(&str) -> Result<(), limits::Violation>,
    ) -> Result<Self, MetricsError> {
        if let Err(violation) = check_name(&self.name) {
            let name = self.name.into_owned();
            return Err(MetricsError::DimensionName { name, violation });
        }
        if let Err(violation) = check_value(&self.value) {
            let name = self.name.into_owned();
            return Err(MetricsError::DimensionValue { name, violation });
        }
        Ok(self)
    }
}

impl<'a> DimensionSets<'a> {
    /// Returns the first set.
    pub(super) fn primary(self) -> DimensionSet<'a> {
        DimensionSet {
            configured: self.configured,
            replacing: &[],
            added: self.added,
            own: self.own,
            service: self.service,
        }
    }

    /// Returns all sets, the first one first.
    pub(super) fn iter(self) -> impl Iterator<Item = DimensionSet<'a>> {
        let is_there = move |index: usize| {
            self.later_sets_win || !(0..index).any(|earlier| self.set(earlier) == self.set(index))
        };
        (0..=self.more.len())
            .filter(move |index| is_there(*index))
            .map(move |index| self.set(index))
    }

    /// Returns the dimensions as members of the object: each name once, with its last value.
    pub(super) fn members(self) -> Vec<&'a Dimension> {
        let mut members: Vec<_> = self.primary().iter().collect();
        for set in self.iter().skip(1) {
            for dimension in set.iter() {
                match members
                    .iter_mut()
                    .find(|known| known.name == dimension.name)
                {
                    Some(known) => *known = dimension,
                    None => members.push(dimension),
                }
            }
        }
        members
    }

    /// Returns whether a dimension of this name is there, or may be added.
    pub(super) fn takes(self, name: &str, limit: usize) -> bool {
        fn takes<'a>(
            members: impl Iterator<Item = &'a Dimension> + Clone,
            name: &str,
            limit: usize,
        ) -> bool {
            members.clone().any(|member| member.name == name) || members.count() < limit
        }
        if self.more.is_empty() {
            takes(self.primary().iter(), name, limit)
        } else {
            takes(self.members().into_iter(), name, limit)
        }
    }

    fn set(self, index: usize) -> DimensionSet<'a> {
        let Some(own) = index.checked_sub(1).map(|index| &*self.more[index]) else {
            return self.primary();
        };
        DimensionSet {
            configured: self.configured,
            replacing: if self.later_sets_win { &[] } else { self.added },
            added: &[],
            own,
            service: None,
        }
    }
}

impl<'a> DimensionSet<'a> {
    pub(super) const fn iter(self) -> Dimensions<'a> {
        Dimensions {
            set: self,
            list: 0,
            index: 0,
        }
    }

    fn contains(self, name: &str) -> bool {
        self.iter().any(|dimension| dimension.name == name)
    }
}

impl<'a> Iterator for Dimensions<'a> {
    type Item = &'a Dimension;

    fn next(&mut self) -> Option<&'a Dimension> {
        let set = self.set;
        let service = set.service.map_or(&[][..], slice::from_ref);
        let lists = [set.configured, set.added, set.own, service];
        while let Some(list) = lists.get(self.list) {
            let Some(dimension) = list.get(self.index) else {
                self.list += 1;
                self.index = 0;
                continue;
            };
            self.index += 1;
            let same_name = |dimensions: &'a [Dimension]| find(dimensions, &dimension.name);
            let mut earlier = lists[..self.list].iter();
            if earlier.all(|dimensions| same_name(dimensions).is_none()) {
                let mut replacing = [set.own, set.added, set.replacing].into_iter();
                return Some(replacing.find_map(same_name).unwrap_or(dimension));
            }
        }
        None
    }
}

/// Sets are equal if their names are.
impl PartialEq for DimensionSet<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().count() == other.iter().count()
            && self.iter().all(|dimension| other.contains(&dimension.name))
    }
}

pub(super) fn find<'a>(dimensions: &'a [Dimension], name: &str) -> Option<&'a Dimension> {
    dimensions.iter().find(|dimension| dimension.name == name)
}

/// Replaces the dimension of the same name, or adds one.
pub(super) fn set(dimensions: &mut Vec<Dimension>, dimension: Dimension) {
    match dimensions.iter_mut().find(|set| set.name == dimension.name) {
        Some(set) => set.value = dimension.value,
        None => dimensions.push(dimension),
    }
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

    fn shown<'a>(dimensions: impl IntoIterator<Item = &'a Dimension>) -> String {
        let pairs: Vec<_> = dimensions
            .into_iter()
            .map(|dimension| format!("{}={}", dimension.name, dimension.value))
            .collect();
        pairs.join(" ")
    }

    fn first_set(
        configured: &[(&'static str, &str)],
        added: &[(&'static str, &str)],
        own: &[(&'static str, &str)],
    ) -> String {
        let sets = DimensionSets {
            configured: &dimensions(configured),
            added: &dimensions(added),
            own: &dimensions(own),
            service: Some(&Dimension::new("service", &"orders").unwrap()),
            ..DimensionSets::default()
        };
        shown(sets.primary().iter())
    }

    #[test]
    fn the_service_comes_last() {
        assert_eq!(
            first_set(&[("stage", "prod")], &[("shop", "a")], &[("method", "GET")]),
            "stage=prod shop=a method=GET service=orders"
        );
    }

    #[test]
    fn a_dimension_replaces_another_in_its_place() {
        assert_eq!(
            first_set(
                &[("stage", "prod"), ("shop", "a")],
                &[("x", "1"), ("stage", "test")],
                &[("x", "2"), ("shop", "b")],
            ),
            "stage=test shop=b x=2 service=orders"
        );
    }

    #[test]
    fn a_service_that_was_set_as_a_dimension_is_there_once() {
        assert_eq!(
            first_set(&[], &[("service", "users"), ("shop", "a")], &[]),
            "service=users shop=a"
        );
        assert_eq!(
            first_set(&[("service", "users")], &[], &[]),
            "service=users"
        );
        assert_eq!(
            first_set(&[], &[], &[("service", "users")]),
            "service=users"
        );
    }

    fn sets_and_members(
        later_sets_win: bool,
        more: &[&[(&'static str, &str)]],
    ) -> (Vec<String>, String) {
        let sets = DimensionSets {
            configured: &dimensions(&[("stage", "prod")]),
            added: &dimensions(&[("shop", "a"), ("stage", "test")]),
            service: Some(&Dimension::new("service", &"orders").unwrap()),
            more: &more.iter().map(|set| dimensions(set)).collect::<Vec<_>>(),
            later_sets_win,
            ..DimensionSets::default()
        };
        (
            sets.iter().map(|set| shown(set.iter())).collect(),
            shown(sets.members()),
        )
    }

    #[test]
    fn further_sets_have_the_configured_dimensions_as_they_were_replaced() {
        let (sets, members) = sets_and_members(false, &[&[("tenant", "t1")], &[("shop", "a")]]);
        assert_eq!(
            sets,
            [
                "stage=test shop=a service=orders",
                "stage=test tenant=t1",
                "stage=test shop=a"
            ]
        );
        assert_eq!(members, "stage=test shop=a service=orders tenant=t1");
    }

    #[test]
    fn a_set_of_the_same_names_is_there_once() {
        let (sets, _) = sets_and_members(
            false,
            &[
                &[("a", "1"), ("b", "2")],
                &[("b", "2"), ("a", "1")],
                &[("service", "orders"), ("shop", "a")],
            ],
        );
        assert_eq!(
            sets,
            ["stage=test shop=a service=orders", "stage=test a=1 b=2"]
        );
    }

    #[test]
    fn where_later_sets_win_all_are_there_and_the_last_value_counts() {
        let (sets, members) = sets_and_members(true, &[&[("a", "1")], &[("a", "2")]]);
        assert_eq!(sets[1..], ["stage=prod a=1", "stage=prod a=2"]);
        assert_eq!(members, "stage=prod shop=a service=orders a=2");
    }
}
