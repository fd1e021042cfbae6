use super::SsmProvider;
use crate::parameters::{ByName, Get, GetByNames, GetMultiple};

/// What, beside its name, decides on the value of a parameter of Systems Manager.
///
/// A version or a label is a part of the name: `/shop/limits:3`, `/shop/limits:stable`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[must_use]
pub struct SsmOptions {
    pub(super) with_decryption: bool,
    pub(super) recursive: bool,
}

impl SsmOptions {
    /// Makes the default options.
    pub const fn new() -> Self {
        Self {
            with_decryption: false,
            recursive: true,
        }
    }

    /// Sets whether a `SecureString` is decrypted. Other types are the same either way.
    ///
    /// Defaults to `false`: the value of a `SecureString` is its ciphertext then.
    pub const fn with_decryption(mut self, with_decryption: bool) -> Self {
        self.with_decryption = with_decryption;
        self
    }

    /// Sets whether the parameters of a path are those of all levels below it, or of the next level
    /// only.
    ///
    /// Defaults to `true`.
    pub const fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }
}

impl Default for SsmOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Get<'_, SsmProvider> {
    /// Decrypts the parameter, if it is a `SecureString`.
    ///
    /// By default it stays encrypted.
    pub fn decrypt(self) -> Self {
        self.with(|options| options.with_decryption(true))
    }
}

impl GetMultiple<'_, SsmProvider> {
    /// Decrypts the parameters that are `SecureString`s.
    ///
    /// By default they stay encrypted.
    pub fn decrypt(self) -> Self {
        self.with(|options| options.with_decryption(true))
    }

    /// Sets whether the parameters are those of all levels below the path, or of the next level only.
    ///
    /// Defaults to `true`.
    pub fn recursive(self, recursive: bool) -> Self {
        self.with(|options| options.recursive(recursive))
    }
}

impl GetByNames<'_, SsmProvider> {
    /// Decrypts all that are `SecureString`s.
    ///
    /// By default they stay encrypted, but for those [by name](ByName#method.decrypt) that say otherwise.
    pub fn decrypt(self) -> Self {
        self.with(|options| options.with_decryption(true))
    }
}

impl ByName<SsmOptions> {
    /// Decrypts this parameter, if it is a `SecureString`.
    ///
    /// By default it stays encrypted.
    pub fn decrypt(self) -> Self {
        self.with(|options| options.with_decryption(true))
    }
}
