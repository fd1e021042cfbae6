//! Messages that are tried again later, or given up.
