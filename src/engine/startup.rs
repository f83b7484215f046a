//! The checks of an engine's settings before it starts: those that the sidecar makes of its
//! variables.

use std::time::Duration;

use super::builder::Builder;
use super::settings::Settings;
use super::start_error::StartError;
use crate::domain::notify_url::{self, MountPath, NOTIFY_URL_BYTES_MAX};
use crate::domain::order::next_attempt::ORDER_TTL_MS;
use crate::store::{StoreError, StoreErrorKind, StoreMode};

impl Builder {
    /// Checks what [`Builder::start`] refuses, short of the store.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub(crate) fn check(&self) -> Result<(), StartError> {
        self.checked_settings().map(drop)
    }

    /// The settings, if an engine can work with them and with the parts that it was given.
    pub(super) fn checked_settings(&self) -> Result<Settings, StartError> {
        if self.merchants.is_empty() {
            return Err(StartError::Missing("a provider"));
        }
        let mount =
            MountPath::parse(&self.mount).map_err(|reason| StartError::setting("mount", reason))?;
        let notify_base = self.notify_base(&mount)?;
        self.check_mode()?;
        if self.call_timeout == Duration::ZERO {
            return Err(StartError::setting("call_limits", "has no time for a call"));
        }
        if self.call_budget < self.call_timeout {
            let reason = "has a budget that is shorter than one call's timeout";
            return Err(StartError::setting("call_limits", reason));
        }
        let order_ttl_ms = i64::try_from(self.order_ttl.as_millis()).ok();
        let order_ttl_ms = order_ttl_ms.filter(|ms| ORDER_TTL_MS.contains(ms));
        let order_ttl_ms = order_ttl_ms.ok_or_else(|| {
            StartError::setting("order_ttl", "is not between 5 minutes and 7 days")
        })?;
        Ok(Settings {
            mount,
            notify_base,
            order_ttl_ms,
            call_timeout: self.call_timeout,
            call_budget: self.call_budget,
            shutdown_grace: self.shutdown_grace,
            switching: self.switching,
            auto_refund: self.auto_refund,
            simulated: self.simulated,
        })
    }

    fn notify_base(&self, mount: &MountPath) -> Result<String, StartError> {
        let public_url = self.public_url.as_ref().ok_or(StartError::NoNotifyUrl)?;
        notify_url::check_public_url(public_url)
            .map_err(|reason| StartError::setting("public_url", reason))?;
        let base = notify_url::notify_base(public_url, mount);
        for pid in self.merchants.keys() {
            notify_url::check_length(&base, pid).map_err(|length| {
                StartError::setting(
                    "public_url",
                    format!(
                        "makes notify URLs of {length} bytes with the mount and the merchant \
                         {pid}, and providers take {NOTIFY_URL_BYTES_MAX}"
                    ),
                )
            })?;
        }
        Ok(base)
    }

    /// Money that is simulated and money that is real do not meet.
    fn check_mode(&self) -> Result<(), StartError> {
        for (pid, providers) in &self.merchants {
            for (id, provider) in providers {
                let reason = match (provider.has_mock_keys(), self.simulated) {
                    (Some(true), false) => "the simulated providers' keys: call simulated(), too",
                    (Some(false), true) => "live keys, and simulated() is for the mock's",
                    (Some(true), true) | (Some(false), false) | (None, _) => continue,
                };
                let reason = format!("of the merchant {pid} at {id} has {reason}");
                return Err(StartError::setting("provider", reason));
            }
        }
        let mode = if self.simulated { StoreMode::Mock } else { StoreMode::Live };
        match self.store.as_ref().and_then(|store| store.mode()) {
            Some(stored) if stored != mode => {
                let (stored, mode) = (stored.name(), mode.name());
                let message = format!(
                    "the store is for {stored} payments, and this engine makes {mode} ones: open \
                     the store with the other StoreMode, or change simulated()"
                );
                Err(StartError::Store(StoreError::new(StoreErrorKind::OtherMode, message)))
            }
            _ => Ok(()),
        }
    }
}
