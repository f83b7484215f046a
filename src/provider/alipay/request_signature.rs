//! Our signature on a request: the text that we sign, and the texts that carry the signature
//! (Alipay open platform, "signing by yourself").

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::provider::keys::SigningKey;
use crate::provider::text::percent_encoded;

/// The parameters of one request, sorted by name, as the signature covers them.
#[derive(Debug, Default)]
pub(crate) struct RequestParameters<'a>(BTreeMap<&'static str, Cow<'a, str>>);

impl<'a> RequestParameters<'a> {
    /// Sets a parameter. An empty value is neither sent nor signed.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<Cow<'a, str>>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.insert(name, value);
        }
    }

    /// Signs these parameters, `sign_type` among them (Alipay open platform, "signing by
    /// yourself": only `sign` and empty values are left out).
    pub(crate) fn sign(self, key: &SigningKey) -> SignedParameters<'a> {
        let sign = key.sign(self.text().as_bytes());
        SignedParameters { parameters: self, sign }
    }

    /// `k=v` joined by `&`, the values as they are.
    fn text(&self) -> String {
        let mut text = String::with_capacity(1024);
        for (name, value) in &self.0 {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text
    }
}

/// Parameters and their signature.
#[derive(Debug)]
pub(crate) struct SignedParameters<'a> {
    parameters: RequestParameters<'a>,
    sign: String,
}

impl SignedParameters<'_> {
    /// All parameters in one query: an app gives it to Alipay's SDK, a page's address has it behind
    /// its `?`. `biz_content` stands last, as vk-uni-pay's engine has it.
    pub(crate) fn full_query(&self) -> String {
        let mut query = self.query();
        if let Some(document) = self.parameters.0.get(BIZ_CONTENT) {
            append(&mut query, BIZ_CONTENT, document);
        }
        query
    }

    /// Everything but `biz_content`: the query of a server's call.
    pub(crate) fn query(&self) -> String {
        let mut query = String::with_capacity(2048);
        for (name, value) in self.parameters.0.iter().filter(|(name, _)| **name != BIZ_CONTENT) {
            append(&mut query, name, value);
        }
        append(&mut query, "sign", &self.sign);
        query
    }

    /// `biz_content` as a form: the body of a server's call.
    pub(crate) fn form(&self) -> String {
        let mut form = String::new();
        if let Some(document) = self.parameters.0.get(BIZ_CONTENT) {
            append(&mut form, BIZ_CONTENT, document);
        }
        form
    }
}

/// The parameter that holds the call's business parameters.
pub(crate) const BIZ_CONTENT: &str = "biz_content";

fn append(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    query.extend(percent_encoded(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> RequestParameters<'static> {
        let mut parameters = RequestParameters::default();
        parameters.set("sign_type", "RSA2");
        parameters.set("biz_content", r#"{"subject":"a b+c/中"}"#);
        parameters.set("app_id", "2021");
        parameters.set("notify_url", "");
        parameters
    }

    #[test]
    fn what_is_signed_is_sorted_raw_and_without_empty_values() {
        let text = "app_id=2021&biz_content={\"subject\":\"a b+c/中\"}&sign_type=RSA2";
        assert_eq!(parameters().text(), text);
    }

    #[test]
    fn what_is_sent_is_encoded_with_a_space_as_percent_20_and_biz_content_last() {
        let signed = SignedParameters { parameters: parameters(), sign: "a+/=".to_owned() };
        let document = "biz_content=%7B%22subject%22%3A%22a%20b%2Bc%2F%E4%B8%AD%22%7D";
        assert_eq!(signed.query(), "app_id=2021&sign_type=RSA2&sign=a%2B%2F%3D");
        assert_eq!(signed.form(), document);
        assert_eq!(signed.full_query(), format!("{}&{document}", signed.query()));
    }
}
