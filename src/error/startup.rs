//! The `Debug` of errors that end a program at its start.

/// Implements `Debug` as the text of `Display`: a `main` that returns the error prints its `Debug`,
/// to a person.
macro_rules! debug_like_display {
    ($error:ty) => {
        impl ::std::fmt::Debug for $error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }
    };
}

pub(crate) use debug_like_display;
