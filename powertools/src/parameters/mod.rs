//! Parameters and secrets, cached.
