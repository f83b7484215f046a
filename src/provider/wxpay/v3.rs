//! WeChat Pay V3 (in the making).
