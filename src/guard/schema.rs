//! The embedded JSON Schemas, which are compiled without a network.

use jsonschema::{PatternOptions, Registry, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::domain::json::{Json, JsonPart, Shape, Whole, scan};

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        /// The name of every schema.
        pub const NAMES: &[&str] = &[$($name),+];

        /// The text of the schema called `name`: JSON Schema, draft 2020-12.
        #[must_use]
        pub fn text(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!("../../schemas/", $name, ".json"))),)+
                _ => None,
            }
        }
    };
}

embedded![
    "create-payment",
    "create-payment-client",
    "create-payment-reply",
    "query-payment",
    "query-payment-reply",
    "refund",
    "refund-reply",
    "query-refund",
    "query-refund-reply",
    "close-payment",
    "close-payment-reply",
    "payments-reply",
    "webhooks-reply",
    "webhook-retry-reply",
    "error",
    "event",
    "event-payment-succeeded",
    "event-payment-duplicate",
    "event-duplicate-refunded",
    "event-payment-late",
    "event-late-refunded",
    "event-payment-mismatch",
    "event-payment-unmatched",
    "event-refund-succeeded",
    "event-refund-abnormal",
    "event-refund-closed",
];

/// Whether the schema called `name` accepts `json`; `None` for an unknown name, or for bytes that
/// are not JSON. It compiles the schema each time: for tests and tools.
#[must_use]
pub fn accepts(name: &str, json: &[u8]) -> Option<bool> {
    let instance = instance(scan(json).ok()?);
    Some(compile(name)?.is_valid(&instance))
}

/// The rules of `schema` that `instance` breaks. Whether there are any is asked first: that is the
/// usual case, and costs a third of the search for them.
pub(super) fn broken_rules<'a>(
    schema: &'a Validator,
    instance: &'a Value,
) -> Vec<ValidationError<'a>> {
    if schema.is_valid(instance) {
        return Vec::new();
    }
    schema.iter_errors(instance).collect()
}

/// Compiles the schema called `name`. Patterns run in linear time; a reference leads to another
/// embedded schema or nowhere.
pub(super) fn compile(name: &str) -> Option<Validator> {
    let schema = parsed(text(name)?);
    let mut registry = Registry::new();
    for name in NAMES {
        let schema = parsed(text(name)?);
        let id = schema.get("$id").and_then(Value::as_str).unwrap_or_default().to_owned();
        registry = registry.add(id, schema).expect("an embedded schema has a good $id");
    }
    let registry = registry.prepare().expect("embedded schemas refer to embedded ones only");
    let validator = jsonschema::options()
        .with_registry(&registry)
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .expect("an embedded schema compiles");
    Some(validator)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("an embedded schema is JSON")
}

/// The value that the schema checks: the document with every number replaced by one that any build
/// of `serde_json` holds and that a schema treats alike. A whole number within an `i64` stays, one
/// beyond becomes the end of the range, and a fraction becomes one half.
pub(super) fn instance(json: Json<'_>) -> Value {
    instance_to(usize::MAX, json)
}

/// As [`instance`], for the schema of an operation's body, which has no rule about anything deeper:
/// the values of `custom` and `other` are the shop's and the provider's.
pub(super) fn body_instance(json: Json<'_>) -> Value {
    /// The body, `data`, `other`, `extend_params`, its members.
    const DEPTH: usize = 5;
    instance_to(DEPTH, json)
}

fn instance_to(depth: usize, json: Json<'_>) -> Value {
    json.build(depth, &|part| match part {
        JsonPart::Scalar(scalar) => scalar_instance(scalar),
        JsonPart::Array(items) => Value::Array(items),
        JsonPart::Object(members) => {
            let members = members.into_iter().map(|(key, value)| (key.into_owned(), value));
            members.collect::<Map<_, _>>().into()
        }
    })
}

fn scalar_instance(json: Json<'_>) -> Value {
    if let Some(whole) = json.whole() {
        return match whole {
            Whole::Exact(whole) => whole.into(),
            Whole::Below => i64::MIN.into(),
            Whole::Above => i64::MAX.into(),
            Whole::Fraction => 0.5.into(),
        };
    }
    match json.shape() {
        Shape::Bool(it) => it.into(),
        Shape::String(text) => text.into_owned().into(),
        Shape::Null | Shape::Number | Shape::Array(_) | Shape::Object(_) => Value::Null,
    }
}

/// The manual's table of an operation's parameters, as Markdown, as the schema called `name`
/// describes them and in its order; a star marks what is required.
#[must_use]
pub fn parameter_table(name: &str) -> String {
    let schema = text(name).and_then(|text| scan(text.as_bytes()).ok());
    let mut table = String::from("| parameter | type | meaning |\n| --- | --- | --- |\n");
    for (name, property) in schema.into_iter().flat_map(properties) {
        if name != "data" {
            push_row(&mut table, "", schema, (&name, property));
        }
        for (name, field) in properties(property) {
            push_row(&mut table, "data.", Some(property), (&name, field));
        }
    }
    table
}

fn properties(schema: Json<'_>) -> Vec<(String, Json<'_>)> {
    match schema.member("properties").map(Json::shape) {
        Some(Shape::Object(members)) => {
            members.map(|(key, value)| (key.into_owned(), value)).collect()
        }
        _ => Vec::new(),
    }
}

fn push_row(table: &mut String, prefix: &str, of: Option<Json<'_>>, row: (&str, Json<'_>)) {
    let (name, property) = row;
    let strings = |value: Option<Json<'_>>| match value.map(Json::shape) {
        Some(Shape::String(one)) => vec![one.into_owned()],
        Some(Shape::Array(items)) => items.map(|item| item.as_str().replace('"', "")).collect(),
        _ => Vec::new(),
    };
    let required =
        strings(of.and_then(|of| of.member("required"))).iter().any(|required| required == name);
    let star = if required { " *" } else { "" };
    // A value that stands for absence is not one to choose.
    let chosen = |value: &String| !matches!(value.as_str(), "" | "null");
    let values: Vec<_> = strings(property.member("enum")).into_iter().filter(chosen).collect();
    let values = values.join(", ");
    let kind = strings(property.member("type")).into_iter().next();
    let kind = kind.unwrap_or(if values.is_empty() { "object".to_owned() } else { values });
    let meaning = strings(property.member("description")).concat();
    table.push_str(&format!("| `{prefix}{name}`{star} | {kind} | {meaning} |\n"));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const OPERATIONS: [&str; 6] = [
        "create-payment",
        "create-payment-client",
        "query-payment",
        "refund",
        "query-refund",
        "close-payment",
    ];

    /// Every name of a member in the schemas of the operations, and of some that are in none.
    fn names() -> Vec<String> {
        fn collect(value: &Value, names: &mut BTreeSet<String>) {
            let (Value::Object(_) | Value::Array(_)) = value else { return };
            if let Some(Value::Object(properties)) = value.get("properties") {
                names.extend(properties.keys().cloned());
            }
            let members = value.as_object().into_iter().flat_map(Map::values);
            let items = value.as_array().into_iter().flatten();
            members.chain(items).for_each(|inner| collect(inner, names));
        }
        let mut names = BTreeSet::from(["goods_id".to_owned(), "total_amount".to_owned()]);
        OPERATIONS.iter().for_each(|name| collect(&parsed(text(name).unwrap()), &mut names));
        names.into_iter().collect()
    }

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            select(vec!["", "wxpay", "order-0001", "a/b", "\u{7}"]).prop_map(Value::from),
        ];
        scalar.prop_recursive(7, 60, 4, |inner| {
            prop_oneof![
                1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                4 => prop::collection::btree_map(select(names()), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn broken(schema: &Validator, instance: &Value) -> Vec<String> {
        let broken = schema.iter_errors(instance);
        broken.map(|error| format!("{} {}", error.instance_path(), error.schema_path())).collect()
    }

    static COMPILED: LazyLock<Vec<Validator>> =
        LazyLock::new(|| OPERATIONS.iter().map(|name| compile(name).unwrap()).collect());

    fn check_same(body: &str) {
        let json = scan(body.as_bytes()).unwrap();
        let (whole, cut) = (instance(json), body_instance(json));
        for schema in COMPILED.iter() {
            assert_eq!(broken(schema, &cut), broken(schema, &whole), "{body}");
        }
    }

    /// Two names in each other, in every object of a body that may have any member.
    #[test]
    fn every_rule_of_an_operations_schema_is_above_what_is_left_out() {
        for within in ["custom", "other"] {
            for (outer, inner) in
                names().iter().flat_map(|a| names().into_iter().map(move |b| (a, b)))
            {
                check_same(&format!(
                    r#"{{"data":{{"{within}":{{"{outer}":{{"{inner}":{{"a":["true"]}}}}}}}}}}"#
                ));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_schema_of_an_operation_has_a_rule_about_what_is_left_out(
            value in value(), within in select(vec!["data", "context", "clientInfo", "other"]),
        ) {
            check_same(&Value::Object(Map::from_iter([(within.to_owned(), value)])).to_string());
        }
    }
}
