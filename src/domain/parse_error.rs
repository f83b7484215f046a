//! The error of a text that is not one of the domain's values.

use std::fmt;

/// The error of a text that is not one of the domain's values. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError(pub(crate) &'static str);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the text is not {}", self.0)
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use crate::domain::{
        DeliveryState, EventId, EventType, MountPath, OutTradeNo, PayType, Platform, ProviderId,
    };

    #[test]
    fn every_value_is_read_from_its_text_and_an_error_has_its_form() {
        assert_eq!("order-1".parse(), Ok(OutTradeNo::parse("order-1").unwrap()));
        assert_eq!("payment.late".parse(), Ok(EventType::PaymentLate));
        assert_eq!("parked".parse(), Ok(DeliveryState::Parked));
        assert_eq!("alipay".parse(), Ok(ProviderId::Alipay));
        assert_eq!("wxpay_mweb".parse(), Ok(PayType::WxpayMweb));
        assert_eq!("app-plus".parse(), Ok(Platform::App));
        assert_eq!("/api/pay".parse::<MountPath>().unwrap().as_str(), "/api/pay");
        let id = format!("evt_{}", "0a".repeat(16));
        assert_eq!(id.parse(), Ok(EventId::parse(&id).unwrap()));
        for (error, form) in [
            ("x".parse::<OutTradeNo>().unwrap_err(), "6 to 64 of 0-9 A-Z a-z _ -"),
            ("x".parse::<EventType>().unwrap_err(), "payment.succeeded"),
            ("x".parse::<DeliveryState>().unwrap_err(), "pending, accepted or parked"),
            ("x".parse::<ProviderId>().unwrap_err(), "wxpay or alipay"),
            ("x".parse::<PayType>().unwrap_err(), "wxpay_h5"),
            ("x".parse::<Platform>().unwrap_err(), "mp-weixin"),
            ("x".parse::<MountPath>().unwrap_err(), "/pay"),
            ("x".parse::<EventId>().unwrap_err(), "evt_"),
        ] {
            assert!(error.to_string().contains(form), "{error}");
        }
    }
}
