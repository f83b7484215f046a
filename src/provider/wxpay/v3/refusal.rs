//! WeChat Pay's refusals: answers with another status than 2xx, which it does not sign.

use std::fmt;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;

use crate::domain::time::Millis;
use crate::provider::Failure;
use crate::provider::clock_skew::{self, Skew};
use crate::provider::text::{CODE_CHARS_MAX, MESSAGE_CHARS_MAX, printable_text};

/// An unsigned response: `{"code", "message"}` where it has a body.
#[derive(Clone, Debug)]
pub(super) struct ApiRefusal {
    pub(super) status: StatusCode,
    /// WeChat Pay's error code as it stands in the response; empty where there is none.
    pub(super) code: String,
    pub(super) message: String,
    /// The response's `Date`.
    pub(super) date: Option<Millis>,
    /// By the response's `Date`, when it is far from our time.
    skew: Option<Skew>,
}

impl ApiRefusal {
    pub(super) fn parse(response: &Response<Bytes>, now: Millis) -> ApiRefusal {
        #[derive(Default, Deserialize)]
        struct ErrorBody {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let body: ErrorBody = serde_json::from_slice(response.body()).unwrap_or_default();
        ApiRefusal {
            status: response.status(),
            code: printable_text(&body.code, CODE_CHARS_MAX),
            message: printable_text(&body.message, MESSAGE_CHARS_MAX),
            date: clock_skew::date(response.headers()),
            skew: Skew::read(response.headers(), now),
        }
    }

    /// The code without underscores: WeChat Pay writes most of them both ways
    /// (`ORDER_NOT_EXIST`, `ORDERNOTEXIST`).
    pub(super) fn bare_code(&self) -> String {
        self.code.replace('_', "")
    }

    /// WeChat Pay's code and message, where it gave a code.
    pub(super) fn into_provider_error(self) -> Option<(String, String)> {
        (!self.code.is_empty()).then_some((self.code, self.message))
    }

    /// Whether WeChat Pay refused the signature for the time in it, which it checks first (WeChat
    /// Pay V3, signing FAQ, "the timestamp must be within 5 minutes").
    pub(super) fn is_about_time(&self) -> bool {
        let names_time =
            ["timestamp", "时间戳", "5分钟"].iter().any(|word| self.message.contains(word));
        self.bare_code() == "SIGNERROR" && (self.skew.is_some() || names_time)
    }

    /// Whether WeChat Pay reports too many calls (WeChat Pay V3, common error codes; the pages name
    /// it `FREQUENCY_LIMITED` and `RATELIMIT_EXCEEDED`).
    pub(super) fn is_throttled(&self) -> bool {
        let code = self.bare_code();
        self.status == StatusCode::TOO_MANY_REQUESTS
            || ["FREQUENCYLIMITED", "FREQUENCYLIMITEXCEED", "RATELIMITEXCEEDED"]
                .contains(&code.as_str())
    }

    /// [`Failure::Throttled`] for too many calls, else [`Failure::OutcomeUnknown`].
    pub(super) fn into_failure(self) -> Failure {
        if self.is_throttled() {
            return Failure::Throttled { code: self.code, message: self.message };
        }
        self.into_unknown()
    }

    /// [`Failure::OutcomeUnknown`] with WeChat Pay's error.
    pub(super) fn into_unknown(self) -> Failure {
        let reason = self.to_string();
        Failure::OutcomeUnknown { reason, provider_error: self.into_provider_error() }
    }

    pub(super) fn into_refused(self) -> Failure {
        Failure::Refused { code: self.code, message: self.message }
    }

    pub(super) fn into_number_in_use(self) -> Failure {
        Failure::NumberInUse { code: self.code, message: self.message }
    }
}

impl fmt::Display for ApiRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} {}", self.status.as_u16(), self.code)?;
        match self.skew {
            _ if self.is_about_time() => write!(f, ": {}", Skew::time_refused(self.skew)),
            Some(skew) => write!(f, ": {skew}"),
            None => Ok(()),
        }
    }
}
