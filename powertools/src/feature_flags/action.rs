/// What a condition does with the value of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Equals,
    NotEquals,
    KeyGreaterThanValue,
    KeyGreaterThanOrEqualValue,
    KeyLessThanValue,
    KeyLessThanOrEqualValue,
    StartsWith,
    EndsWith,
    In,
    NotIn,
    KeyInValue,
    KeyNotInValue,
    ValueInKey,
    ValueNotInKey,
    AllInValue,
    AnyInValue,
    NoneInValue,
    ScheduleBetweenTimeRange,
    ScheduleBetweenDateTimeRange,
    ScheduleBetweenDaysOfWeek,
    ModuloRange,
    RolloutPercentage,
}

impl Action {
    const ALL: [Self; 22] = [
        Self::Equals,
        Self::NotEquals,
        Self::KeyGreaterThanValue,
        Self::KeyGreaterThanOrEqualValue,
        Self::KeyLessThanValue,
        Self::KeyLessThanOrEqualValue,
        Self::StartsWith,
        Self::EndsWith,
        Self::In,
        Self::NotIn,
        Self::KeyInValue,
        Self::KeyNotInValue,
        Self::ValueInKey,
        Self::ValueNotInKey,
        Self::AllInValue,
        Self::AnyInValue,
        Self::NoneInValue,
        Self::ScheduleBetweenTimeRange,
        Self::ScheduleBetweenDateTimeRange,
        Self::ScheduleBetweenDaysOfWeek,
        Self::ModuloRange,
        Self::RolloutPercentage,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Equals => "EQUALS",
            Self::NotEquals => "NOT_EQUALS",
            Self::KeyGreaterThanValue => "KEY_GREATER_THAN_VALUE",
            Self::KeyGreaterThanOrEqualValue => "KEY_GREATER_THAN_OR_EQUAL_VALUE",
            Self::KeyLessThanValue => "KEY_LESS_THAN_VALUE",
            Self::KeyLessThanOrEqualValue => "KEY_LESS_THAN_OR_EQUAL_VALUE",
            Self::StartsWith => "STARTSWITH",
            Self::EndsWith => "ENDSWITH",
            Self::In => "IN",
            Self::NotIn => "NOT_IN",
            Self::KeyInValue => "KEY_IN_VALUE",
            Self::KeyNotInValue => "KEY_NOT_IN_VALUE",
            Self::ValueInKey => "VALUE_IN_KEY",
            Self::ValueNotInKey => "VALUE_NOT_IN_KEY",
            Self::AllInValue => "ALL_IN_VALUE",
            Self::AnyInValue => "ANY_IN_VALUE",
            Self::NoneInValue => "NONE_IN_VALUE",
            Self::ScheduleBetweenTimeRange => "SCHEDULE_BETWEEN_TIME_RANGE",
            Self::ScheduleBetweenDateTimeRange => "SCHEDULE_BETWEEN_DATETIME_RANGE",
            Self::ScheduleBetweenDaysOfWeek => "SCHEDULE_BETWEEN_DAYS_OF_WEEK",
            Self::ModuloRange => "MODULO_RANGE",
            Self::RolloutPercentage => "ROLLOUT_PERCENTAGE",
        }
    }

    /// Finds an action by its name as it is spelled.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// The key that a condition of this action has, if it is a fixed one.
    pub(super) const fn fixed_key(self) -> Option<&'static str> {
        match self {
            Self::ScheduleBetweenTimeRange => Some("CURRENT_TIME"),
            Self::ScheduleBetweenDateTimeRange => Some("CURRENT_DATETIME"),
            Self::ScheduleBetweenDaysOfWeek => Some("CURRENT_DAY_OF_WEEK"),
            _ => None,
        }
    }

    /// The names of all actions.
    pub(super) fn list() -> String {
        // Not by `join`: of so many texts that it knows, the compiler makes one by a pass that takes
        // minutes.
        Self::ALL.iter().fold(String::new(), |mut list, action| {
            if !list.is_empty() {
                list.push_str(", ");
            }
            list.push_str(action.name());
            list
        })
    }
}
