//! Names of an enum's variants, for logs.

/// Gives an enum `name`, and `names`, which lists every name: both come of one list, and the match
/// without a wildcard makes it complete. Some variants have the names of what they hold.
macro_rules! variant_names {
    (
        $type:ty {
            $($variant:pat => $name:literal,)*
            $(@ $holder:pat => $held:ident: $held_type:ty,)*
        }
    ) => {
        impl $type {
            /// Every name.
            #[must_use]
            pub(crate) fn names() -> Vec<&'static str> {
                #[allow(unused_mut, reason = "not every enum holds another one")]
                let mut names = vec![$($name),*];
                $(names.extend(<$held_type>::names());)*
                names
            }

            /// The name in logs.
            #[must_use]
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $($variant => $name,)*
                    $($holder => $held.name(),)*
                }
            }
        }
    };
}

pub(crate) use variant_names;
