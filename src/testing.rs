//! What this crate's own tests and program use besides the public API. It may change at any time.

/// The assembly of an engine from a configuration.
pub mod assemble {
    pub use crate::assemble::*;
}

/// Who calls: address, platform, PC or not.
pub mod caller {
    pub use crate::caller::*;
}

/// The table of variables, and the texts made of it.
pub mod config {
    /// The texts.
    pub mod help {
        pub use crate::config::help::*;
    }

    /// The table.
    pub mod table {
        pub use crate::config::table::*;
    }
}

/// Addresses that a buyer on the internet can have.
pub mod address {
    pub use crate::domain::address::*;
}

/// From the bytes of a request to the request, or a refusal.
pub mod guard {
    pub use crate::guard::*;
}

/// The names that stand in the engine's trace.
pub mod names {
    use crate::domain::{Admission, Transition};

    /// Of what can happen to an order.
    #[must_use]
    pub fn transitions() -> Vec<&'static str> {
        Transition::names()
    }

    /// Of what a request for a stored order can get.
    #[must_use]
    pub fn verdicts() -> Vec<&'static str> {
        Admission::names()
    }
}

/// JSON as it was written.
pub mod json {
    pub use crate::domain::json::*;
}

/// The tower layer's parts.
pub mod layer {
    pub use crate::layer::*;
}

/// The replies of the payment operations.
pub mod reply {
    pub use crate::reply::*;
}

/// Secrets and random texts.
pub mod secret {
    pub use crate::secret::*;
}

/// The HTTP client that calls providers.
pub mod transport {
    pub use crate::provider::transport::*;
}

/// WeChat Pay's certificates.
#[cfg(feature = "wxpay")]
pub mod wxpay_certificates {
    pub use crate::provider::wxpay::certificates::*;
}

/// Alipay's certificates.
#[cfg(feature = "alipay")]
pub mod alipay_certificates {
    pub use crate::provider::alipay::certificates::*;
}
