//! Messages within messages.
