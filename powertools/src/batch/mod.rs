//! The records of a batch one by one.
