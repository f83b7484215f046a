//! Alipay signatures (in the making).
