//! The fields of each operation in the order in which their violations count. A broken schema rule
//! becomes a violation that names the path, the rule and a fixed text, never the value.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;

use crate::domain::nearest;
use crate::error::{Code, Error, Kind, Text, Violation};

/// A field of an operation: its path, its code, and the text of its rule in both languages.
#[derive(Debug)]
pub(super) struct FieldRule {
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
) -> FieldRule {
    FieldRule { path, code, zh, en }
}

/// The fields of an operation's body.
#[derive(Debug)]
pub(super) struct BodyRules {
    /// Of several violations, the one whose field comes first here gives the reply its code. The
    /// last entry is the body itself.
    pub(super) fields: &'static [FieldRule],
    /// The required members of each object. An object that is missing, or another type, misses
    /// all of them.
    pub(super) required: &'static [(&'static str, &'static [&'static str])],
}

/// A `createPayment` whose caller names the price.
pub(super) const CREATE: BodyRules = BodyRules {
    fields: &CREATE_FIELDS,
    required: &[
        ("", &["data", "provider"]),
        ("/data", &["out_trade_no", "type", "total_fee", "subject"]),
    ],
};

/// A `createPayment` whose price the shop sets.
pub(super) const CREATE_CLIENT: BodyRules = BodyRules {
    fields: &CREATE_FIELDS,
    required: &[("", &["data", "provider"]), ("/data", &["out_trade_no"])],
};

const CREATE_FIELDS: [FieldRule; 25] = [
    field(
        "/data/out_trade_no",
        Code::OutTradeNo,
        "out_trade_no 必须是 6 到 64 位的字符串，只能包含数字、字母、_ 和 -，微信支付最多 32 位",
        "out_trade_no must be a string of 6 to 64 of 0-9 A-Z a-z _ -, for wxpay at most 32",
    ),
    field(
        "/data/type",
        Code::Type,
        "type 必须是 1 到 32 位的字符串，只能包含数字、字母、_ 和 -",
        "type must be a string of 1 to 32 of 0-9 A-Z a-z _ -",
    ),
    field(
        "/data/total_fee",
        Code::TotalFee,
        "total_fee 必须是 JSON 正整数，单位为分，最大 10000000000",
        "total_fee must be a whole JSON number of fen from 1 to 10000000000",
    ),
    field(
        "/data/subject",
        Code::Subject,
        "subject 不能包含控制字符；微信支付 1 到 127 字节，不支持 4 字节字符；支付宝 1 到 256 个字符，不能包含 / = &",
        "subject must have no control characters; for wxpay 1 to 127 bytes without 4-byte \
         characters; for alipay 1 to 256 characters without / = &",
    ),
    field(
        "/provider",
        Code::Provider,
        "provider 只能是 wxpay 或 alipay",
        "provider must be wxpay or alipay",
    ),
    field(
        "/data/openid",
        Code::Openid,
        "openid 必须是 1 到 128 位可见 ASCII 字符的字符串",
        "openid must be a string of 1 to 128 visible ASCII characters",
    ),
    field("/isPC", Code::Body, "isPC 必须是布尔值", "isPC must be a boolean"),
    field(
        "/needQRcode",
        Code::Body,
        "needQRcode 必须是布尔值或 \"image\"",
        "needQRcode must be a boolean or \"image\"",
    ),
    field(
        "/context",
        Code::Body,
        "context 必须是对象，其中的客户端信息必须是最多 1024 个字符的字符串",
        "context must be an object whose client information is strings of at most 1024 characters",
    ),
    field(
        "/clientInfo",
        Code::Body,
        "clientInfo 必须是对象，其中的客户端信息必须是最多 1024 个字符的字符串",
        "clientInfo must be an object whose client information is strings of at most 1024 \
         characters",
    ),
    field(
        "/data/custom",
        Code::CustomKey,
        "custom 必须是对象，且其键名不能与订单字段或 data 中已有的字段同名",
        "custom must be an object, and none of its keys may be the name of an order's field or of \
         a field in data",
    ),
    field(
        "/data/other",
        Code::OtherKey,
        "other 必须是对象，且不能包含由 paygate 计算或影响收款、金额、通知的键",
        "other must be an object without keys that paygate computes or that change the payee, \
         the amount or the notifications",
    ),
    field(
        "/data/pid",
        Code::Pid,
        "pid 必须是已配置的商户",
        "pid must be the name of a configured merchant",
    ),
    field(
        "/data/time_expire",
        Code::Body,
        "time_expire 必须是 1970 年以来的毫秒数",
        "time_expire must be a whole number of milliseconds since 1970",
    ),
    field(
        "/data/user_id",
        Code::Body,
        "user_id 必须是最多 128 个字符的字符串，不能包含控制字符",
        "user_id must be a string of at most 128 characters, none of them a control character",
    ),
    field(
        "/data/nickname",
        Code::Body,
        "nickname 必须是最多 128 个字符的字符串，不能包含控制字符",
        "nickname must be a string of at most 128 characters, none of them a control character",
    ),
    field(
        "/data/body",
        Code::Body,
        "body 的规则与 subject 相同",
        "body must keep to subject's rules",
    ),
    field(
        "/data/return_url",
        Code::Body,
        "return_url 必须是最多 256 字节的 http 或 https URL",
        "return_url must be an http or https URL of at most 256 bytes",
    ),
    field(
        "/data/sub_appid",
        Code::Body,
        "sub_appid 必须是最多 32 位的字符串，只能包含数字、字母、_ 和 -",
        "sub_appid must be a string of at most 32 of 0-9 A-Z a-z _ -",
    ),
    field(
        "/data/sub_mchid",
        Code::Body,
        "sub_mchid 必须是最多 32 位的字符串，只能包含数字、字母、_ 和 -",
        "sub_mchid must be a string of at most 32 of 0-9 A-Z a-z _ -",
    ),
    field(
        "/data/app_auth_token",
        Code::Body,
        "app_auth_token 必须是最多 40 位可见 ASCII 字符的字符串",
        "app_auth_token must be a string of at most 40 visible ASCII characters",
    ),
    field(
        "/data/profit_sharing",
        Code::Body,
        "profit_sharing 必须是布尔值",
        "profit_sharing must be a boolean",
    ),
    field(QUOTE, Code::Body, "quote 必须是字符串", "quote must be a string"),
    field("/data", Code::Body, "data 必须是对象", "data must be an object"),
    field("", Code::Body, "请求体必须是对象", "the body must be an object"),
];

const QUOTE: &str = "/quote";
/// The most violations that one reply lists.
const LISTED_MAX: usize = 32;
/// A reply repeats at most so many characters of an unknown field's name.
const UNKNOWN_NAME_CHARS_MAX: usize = 64;

/// The violations of a request, at most one for each field.
#[derive(Debug)]
pub(super) struct Violations {
    rules: &'static BodyRules,
    found: Vec<(usize, Violation)>,
}

impl Violations {
    /// No violations yet.
    pub(super) fn of(rules: &'static BodyRules) -> Violations {
        Violations { rules, found: Vec::new() }
    }

    /// Adds that the field at `path` breaks `rule`, unless a violation of the field was added
    /// before.
    pub(super) fn add(&mut self, path: String, rule: &'static str) {
        let holds = |of: &str| {
            let rest = path.strip_prefix(of);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.has_field(&path) {
            return;
        }
        let mut fields = self.rules.fields.iter().enumerate();
        let Some((place, field)) = fields.find(|(_, field)| holds(field.path)) else { return };
        let message = match rule {
            "additionalProperties" => Some(self.unknown_member(&path)),
            "propertyNames" => taken_key(&path),
            _ => None,
        };
        let message = message.unwrap_or_else(|| Text::new(field.zh, field.en));
        self.found.push((place, Violation { code: field.code, path, rule, message }));
    }

    /// The text about a member that no rule knows, with the one that was probably meant: of the
    /// same object, or of another one, by its path.
    fn unknown_member(&self, path: &str) -> Text {
        let (parent, name) = path.rsplit_once('/').unwrap_or_default();
        let known = || self.rules.fields.iter().filter_map(|field| field.path.rsplit_once('/'));
        let siblings = known().filter(|(of, _)| *of == parent).map(|(_, sibling)| sibling);
        let mut others = self.rules.fields.iter().map(|field| field.path);
        let meant = nearest::similar(name, siblings)
            .or_else(|| others.find(|path| path.rsplit_once('/').is_some_and(|of| of.1 == name)));
        unknown_field(name, meant)
    }

    /// Whether a violation of the field at `path` was added.
    pub(super) fn has_field(&self, path: &str) -> bool {
        self.found.iter().any(|(_, violation)| violation.path == path)
    }

    /// Adds what the schema's validation found.
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

    /// Adds that a field is missing, or each required member of a missing object.
    pub(super) fn add_missing(&mut self, path: &str) {
        match self.parts(path) {
            Some(parts) => parts.iter().for_each(|name| self.add_missing(&join(path, name))),
            None => self.add(path.to_owned(), "required"),
        }
    }

    fn parts(&self, whole: &str) -> Option<&'static [&'static str]> {
        self.rules.required.iter().find(|(path, _)| *path == whole).map(|(_, parts)| *parts)
    }

    /// The refusal that the violations make together, if any. An invalid quote is an invalid
    /// credential, not an invalid field: alone, it refuses the caller ([`Kind::CallerNotAllowed`]).
    pub(super) fn into_result(mut self) -> Result<(), Error> {
        let found = self.found.len();
        self.found.retain(|(_, violation)| violation.path != QUOTE);
        self.found.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.path.cmp(&y.path)));
        let mut violations: Vec<_> =
            self.found.into_iter().map(|(_, violation)| violation).collect();
        violations.truncate(LISTED_MAX);
        match (violations.is_empty(), found) {
            (true, 0) => Ok(()),
            (true, _) => {
                let text = Text::new("quote 必须是字符串", "quote must be a string");
                Err(Error::new(Kind::CallerNotAllowed).text(text))
            }
            (false, _) => Err(Error::invalid(violations)),
        }
    }
}

/// The text about a field that there is not, with the one that was probably meant.
pub(crate) fn unknown_field(name: &str, meant: Option<&str>) -> Text {
    match meant {
        None if name.is_empty() => Text::new("有一个字段没有名称", "a field has no name"),
        Some(meant) => Text::new(
            format!("没有 {name} 这个字段，是否应为 {meant}？"),
            format!("there is no field {name}; did you mean {meant}?"),
        ),
        None => Text::new(format!("没有 {name} 这个字段"), format!("there is no field {name}")),
    }
}

/// The text about a key of an object whose other keys are free.
fn taken_key(path: &str) -> Option<Text> {
    let (_, key) = path.rsplit_once('/')?;
    if path.starts_with("/data/custom/") {
        return Some(Text::new(
            format!("custom 不能包含 {key}：订单或 data 中已有同名字段"),
            format!("custom must not hold {key}: the order, or data, has a field of this name"),
        ));
    }
    path.starts_with("/data/other/").then(|| {
        Text::new(
            format!("other 不能包含 {key}：它由 paygate 计算，或影响收款、金额、通知"),
            format!(
                "other must not hold {key}: paygate computes it, or it changes the payee, the \
                 amount or the notifications"
            ),
        )
    })
}

fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(UNKNOWN_NAME_CHARS_MAX).collect();
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The rule's name in the schema. The schema allows an empty string by a `maxLength` of 0; to the
/// client, breaking that is a matter of type.
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
