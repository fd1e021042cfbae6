//! Flags by rules.
