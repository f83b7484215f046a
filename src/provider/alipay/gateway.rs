//! Alipay gateway calls (in the making).
