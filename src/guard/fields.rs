//! The fields of the operations in the order in which their violations count, and how a broken
//! schema rule becomes a violation: by path, rule and our own words, never with the value.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;

use crate::error::{Code, Error, Kind, Text, Violation};

/// A field of an operation, and its rule in words.
#[derive(Debug)]
pub(super) struct Field {
    path: &'static str,
    code: Code,
    zh: &'static str,
    en: &'static str,
}

pub(super) const fn field(
    path: &'static str,
    code: Code,
    zh: &'static str,
    en: &'static str,
) -> Field {
    Field { path, code, zh, en }
}

/// An operation's body.
#[derive(Debug)]
pub(super) struct Form {
    /// A field's place in the list decides which of several violations gives the reply's code. The
    /// last one is the body itself.
    pub(super) fields: &'static [Field],
    /// A whole that is missing, or that is no object, misses each of these below it.
    pub(super) required: &'static [(&'static str, &'static [&'static str])],
}

/// A `createPayment` whose sender names the price.
pub(super) const CREATE: Form = Form {
    fields: &CREATE_FIELDS,
    required: &[
        ("", &["data", "provider"]),
        ("/data", &["out_trade_no", "type", "total_fee", "subject"]),
    ],
};

/// A `createPayment` whose price the shop sets.
pub(super) const CREATE_CLIENT: Form = Form {
    fields: &CREATE_FIELDS,
    required: &[("", &["data", "provider"]), ("/data", &["out_trade_no"])],
};

const CREATE_FIELDS: [Field; 25] = [
    field(
        "/data/out_trade_no",
        Code::OutTradeNo,
        "out_trade_no必须是6到64位的字符串,只能包含数字、字母、_和-,微信支付最多32位",
        "out_trade_no must be a string of 6 to 64 of 0-9 A-Z a-z _ -, for wxpay at most 32",
    ),
    field(
        "/data/type",
        Code::Type,
        "type必须是1到32位的字符串,只能包含数字、字母、_和-",
        "type must be a string of 1 to 32 of 0-9 A-Z a-z _ -",
    ),
    field(
        "/data/total_fee",
        Code::TotalFee,
        "total_fee必须是正整数,单位为分,最大10000000000",
        "total_fee must be a whole JSON number of fen from 1 to 10000000000",
    ),
    field(
        "/data/subject",
        Code::Subject,
        "subject不能包含控制字符;微信支付1到127字节,不支持4字节字符;支付宝1到256个字符,不能包含/=&",
        "subject must have no control characters; for wxpay 1 to 127 bytes without 4-byte \
         characters; for alipay 1 to 256 characters without / = &",
    ),
    field(
        "/provider",
        Code::Provider,
        "provider只能是wxpay或alipay",
        "provider must be wxpay or alipay",
    ),
    field(
        "/data/openid",
        Code::Openid,
        "openid必须是1到128位可见ASCII字符的字符串",
        "openid must be a string of 1 to 128 visible ASCII characters",
    ),
    field("/isPC", Code::Body, "isPC必须是布尔值", "isPC must be a boolean"),
    field(
        "/needQRcode",
        Code::Body,
        "needQRcode必须是布尔值或\"image\"",
        "needQRcode must be a boolean or \"image\"",
    ),
    field(
        "/context",
        Code::Body,
        "context必须是对象,其中的客户端信息必须是最多1024个字符的字符串",
        "context must be an object; what it tells must be strings of at most 1024 characters",
    ),
    field(
        "/clientInfo",
        Code::Body,
        "clientInfo必须是对象,其中的客户端信息必须是最多1024个字符的字符串",
        "clientInfo must be an object; what it tells must be strings of at most 1024 characters",
    ),
    field(
        "/data/custom",
        Code::CustomKey,
        "custom必须是对象,且其键名不能与订单字段或data中已有的字段同名",
        "custom must be an object, and no key of it may be called like a field of the order, or \
         like one that data has",
    ),
    field(
        "/data/other",
        Code::OtherKey,
        "other必须是对象,且不能包含由paygate计算或影响收款、金额、通知的键",
        "other must be an object without keys that paygate computes or that change who is paid \
         or told",
    ),
    field(
        "/data/pid",
        Code::Pid,
        "pid必须是已配置的商户",
        "pid must be the name of a configured merchant",
    ),
    field(
        "/data/time_expire",
        Code::Body,
        "time_expire必须是毫秒时间戳",
        "time_expire must be a whole number of milliseconds since 1970",
    ),
    field(
        "/data/user_id",
        Code::Body,
        "user_id必须是最多128个字符的字符串,不能包含控制字符",
        "user_id must be a string of at most 128 characters, none of them a control character",
    ),
    field(
        "/data/nickname",
        Code::Body,
        "nickname必须是最多128个字符的字符串,不能包含控制字符",
        "nickname must be a string of at most 128 characters, none of them a control character",
    ),
    field("/data/body", Code::Body, "body的规则与subject相同", "body must keep to subject's rules"),
    field(
        "/data/return_url",
        Code::Body,
        "return_url必须是最多256字节的http或https地址",
        "return_url must be an http or https URL of at most 256 bytes",
    ),
    field(
        "/data/sub_appid",
        Code::Body,
        "sub_appid必须是最多32位的字符串,只能包含数字、字母、_和-",
        "sub_appid must be a string of at most 32 of 0-9 A-Z a-z _ -",
    ),
    field(
        "/data/sub_mchid",
        Code::Body,
        "sub_mchid必须是最多32位的字符串,只能包含数字、字母、_和-",
        "sub_mchid must be a string of at most 32 of 0-9 A-Z a-z _ -",
    ),
    field(
        "/data/app_auth_token",
        Code::Body,
        "app_auth_token必须是最多40位可见ASCII字符的字符串",
        "app_auth_token must be a string of at most 40 visible ASCII characters",
    ),
    field(
        "/data/profit_sharing",
        Code::Body,
        "profit_sharing必须是布尔值",
        "profit_sharing must be a boolean",
    ),
    field(QUOTE, Code::Body, "quote必须是字符串", "quote must be a string"),
    field("/data", Code::Body, "data中有未知字段", "data has no such field"),
    field("", Code::Body, "请求中有未知字段", "there is no such field"),
];

const QUOTE: &str = "/quote";
/// How many violations one reply lists.
const LISTED_MAX: usize = 32;
/// A name that a client made up is told so far only.
const UNKNOWN_NAME_CHARS_MAX: usize = 64;

/// Every broken rule that was found, one a field.
#[derive(Debug)]
pub(super) struct Violations {
    form: &'static Form,
    found: Vec<(usize, Violation)>,
}

impl Violations {
    /// None yet.
    pub(super) fn of(form: &'static Form) -> Violations {
        Violations { form, found: Vec::new() }
    }

    /// That the field at `path` breaks `rule`; the first rule told of a field stays.
    pub(super) fn add(&mut self, path: String, rule: &'static str) {
        let holds = |of: &str| {
            let rest = path.strip_prefix(of);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.tells_of(&path) {
            return;
        }
        let mut fields = self.form.fields.iter().enumerate();
        let Some((place, field)) = fields.find(|(_, it)| holds(it.path)) else { return };
        let message = Text::new(field.zh, field.en);
        self.found.push((place, Violation { code: field.code, path, rule, message }));
    }

    /// Whether a violation of the field at `path` was added.
    pub(super) fn tells_of(&self, path: &str) -> bool {
        self.found.iter().any(|(_, it)| it.path == path)
    }

    /// What the schema found.
    pub(super) fn add_broken(&mut self, error: &ValidationError<'_>) {
        let path = error.instance_path().as_str();
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                self.add_missing(&join(path, name));
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for name in unexpected.iter().take(LISTED_MAX) {
                    self.add(join(path, name), "additionalProperties");
                }
            }
            ValidationErrorKind::PropertyNames { error } => {
                let name = error.instance().as_str().unwrap_or_default();
                self.add(join(path, name), "propertyNames");
            }
            ValidationErrorKind::Type { .. } if self.parts(path).is_some() => {
                self.add_missing(path);
            }
            kind => self.add(path.to_owned(), rule(kind)),
        }
    }

    /// That a field is missing, or whatever of it must be there.
    pub(super) fn add_missing(&mut self, path: &str) {
        match self.parts(path) {
            Some(parts) => parts.iter().for_each(|name| self.add_missing(&join(path, name))),
            None => self.add(path.to_owned(), "required"),
        }
    }

    fn parts(&self, whole: &str) -> Option<&'static [&'static str]> {
        self.form.required.iter().find(|(path, _)| *path == whole).map(|(_, parts)| *parts)
    }

    /// The refusal they make together, if any. An ill quote is an ill credential, not an ill
    /// field: alone, it says that the caller may not ask.
    pub(super) fn into_result(mut self) -> Result<(), Error> {
        let found = self.found.len();
        self.found.retain(|(_, it)| it.path != QUOTE);
        self.found.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.path.cmp(&y.path)));
        let mut violations: Vec<_> = self.found.into_iter().map(|(_, it)| it).collect();
        violations.truncate(LISTED_MAX);
        match (violations.is_empty(), found) {
            (true, 0) => Ok(()),
            (true, _) => Err(Error::new(Kind::CallerNotAllowed)),
            (false, _) => Err(Error::invalid(violations)),
        }
    }
}

fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(UNKNOWN_NAME_CHARS_MAX).collect();
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The rule's name in the schema. The schema says "or an empty string" by a length of 0, which
/// for the client is a matter of type.
fn rule(kind: &ValidationErrorKind) -> &'static str {
    match kind {
        ValidationErrorKind::MaxLength { limit: 0 } | ValidationErrorKind::Type { .. } => "type",
        ValidationErrorKind::MaxLength { .. } => "maxLength",
        ValidationErrorKind::Enum { .. } => "enum",
        ValidationErrorKind::Pattern { .. } => "pattern",
        ValidationErrorKind::Minimum { .. } => "minimum",
        ValidationErrorKind::Maximum { .. } => "maximum",
        _ => "schema",
    }
}
