//! The handler's error under those of the layers that passed it through.
//!
//! A layer that can refuse an invocation has an error around the handler's own, and which types
//! are around which is for the application to say. Without a bound that the runtime does not ask
//! for, only whole types can be recognised: so every order of layers that the crate recommends is
//! tried, around every type that is [`Told`]. It costs comparisons of type ids, after a failure.

use std::{any::Any, borrow::Cow, error::Error as StdError, fmt::Display, io};

use lambda_runtime::Error;

use super::{Failure, Told};

macro_rules! layers {
    ($($(#[$cfg:meta])* $name:ident, $next:ident: $module:ident::$error:ident;)*) => {$(
        /// Looks for an `E`, bare or in the errors of this layer and of those before it.
        fn $name<E: Told + Display>(error: &dyn Any) -> Option<Failure> {
            let found = $next::<E>(error);
            $(#[$cfg])*
            let found = found.or_else(|| $next::<crate::$module::$error<E>>(error));
            found
        }

        $(#[$cfg])*
        impl<E: Told + Display> Told for crate::$module::$error<E> {
            fn failure(&self) -> Failure {
                match self {
                    Self::Handler(error) => error.failure(),
                    // Without its source, which may quote the event.
                    error => Failure::new(stringify!($error), error.to_string()),
                }
            }
        }
    )*};
}

// A line for each layer with an error of its own: the layer nearest to the handler comes first, and
// each names the line after it, the last one `bare`.
layers! {
    #[cfg(feature = "decode")]
    in_decode, in_deadline: decode::DecodeError;
    #[cfg(feature = "deadline")]
    in_deadline, bare: deadline::DeadlineError;
}

fn bare<E: Told>(error: &dyn Any) -> Option<Failure> {
    error.downcast_ref::<E>().map(E::failure)
}

/// Describes an error of a type that is [`Told`], in whichever layers' errors it is.
pub(super) fn look_inside(error: &dyn Any) -> Option<Failure> {
    // The first line above.
    in_decode::<Error>(error)
        .or_else(|| in_decode::<Box<dyn StdError>>(error))
        .or_else(|| in_decode::<io::Error>(error))
        .or_else(|| in_decode::<String>(error))
        .or_else(|| in_decode::<&'static str>(error))
}

/// Returns the name of an error type that is not [`Told`], without the layers' errors around it that
/// cannot be the failure themselves.
pub(super) fn name(full: &'static str) -> Cow<'static, str> {
    // The handler's own, or an event that could not be decoded.
    #[cfg(feature = "decode")]
    if let Some(own) = inside::<crate::decode::DecodeError<()>>(full) {
        return format!("DecodeError<{}>", name(own)).into();
    }
    // The handler's own: that it was cut off would be known.
    #[cfg(feature = "deadline")]
    if let Some(own) = inside::<crate::deadline::DeadlineError<()>>(full) {
        return name(own);
    }
    full.into()
}

/// Returns whether an error of the type with that name may say that the handler was cut off.
#[cfg(feature = "deadline")]
pub(super) fn is_of_deadline(full: &'static str) -> bool {
    #[cfg(feature = "decode")]
    let full = inside::<crate::decode::DecodeError<()>>(full).unwrap_or(full);
    inside::<crate::deadline::DeadlineError<()>>(full).is_some()
}

/// Returns the parameter of a generic type with that name, which is `OfUnit` with `()`.
#[cfg(any(feature = "deadline", feature = "decode"))]
fn inside<OfUnit>(full: &'static str) -> Option<&'static str> {
    let path = std::any::type_name::<OfUnit>().strip_suffix("()>")?;
    full.strip_prefix(path)?.strip_suffix('>')
}
