//! The schemas, and their examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use paygate::error::{Code, Error, Kind};
use paygate::testing::guard::{
    read_client, read_close, read_create, read_query, read_query_refund, read_refund, schema,
};
use serde_json::{Value, json};

use super::replies::ENGLISH;

/// The examples in a folder: their names' parts (schema, code, what), and their bytes.
fn examples(folder: &str) -> Vec<(Vec<String>, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/examples").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            (name.splitn(3, '.').map(str::to_owned).collect(), fs::read(&path).unwrap())
        })
        .collect()
}

fn parsed(name: &str) -> Value {
    serde_json::from_str(schema::text(name).expect("a schema")).expect("JSON")
}

#[test]
fn every_schema_compiles_offline_and_has_a_title() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name());
    let files: BTreeSet<_> = files
        .filter_map(|it| it.to_str().and_then(|it| it.strip_suffix(".json")).map(str::to_owned))
        .collect();
    assert_eq!(files, schema::NAMES.iter().map(|it| (*it).to_owned()).collect());
    for name in schema::NAMES {
        let document = parsed(name);
        assert_eq!(document["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert_eq!(document["$id"], format!("https://paygate.invalid/schemas/{name}.json"));
        assert!(document["title"].is_string() && document["description"].is_string(), "{name}");
        assert!(schema::accepts(name, b"{}").is_some(), "{name}");
        check_references(name, &document);
    }
    assert_eq!(schema::text("../Cargo"), None);
    assert_eq!(schema::accepts("nothing", b"{}"), None);
}

/// No reference leaves the folder, so none is ever fetched.
fn check_references(name: &str, schema: &Value) {
    match schema {
        Value::Object(members) => {
            if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                let file = target.split('#').next().unwrap().trim_end_matches(".json");
                assert!(file.is_empty() || schema::NAMES.contains(&file), "{name}: {target}");
            }
            members.values().for_each(|it| check_references(name, it));
        }
        Value::Array(items) => items.iter().for_each(|it| check_references(name, it)),
        _ => {}
    }
}

#[test]
fn every_property_has_a_description() {
    for name in schema::NAMES {
        check_described(name, &parsed(name));
    }
}

fn check_described(at: &str, schema: &Value) {
    let Value::Object(members) = schema else { return };
    for (key, value) in members {
        let here = format!("{at}/{key}");
        match (key.as_str(), value) {
            // Conditions repeat properties that are described where they stand.
            ("if" | "then" | "else" | "allOf", _) => {}
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    assert!(property["description"].is_string(), "{here}/{name}");
                    check_described(&format!("{here}/{name}"), property);
                }
            }
            (_, Value::Array(items)) => items.iter().for_each(|it| check_described(&here, it)),
            _ => check_described(&here, value),
        }
    }
}

type Reader = fn(&[u8]) -> Result<(), Error>;

/// The reader of the requests that the schema called `name` describes.
fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "create-payment" => |it| read_create(it).map(drop),
        "create-payment-client" => |it| read_client(it).map(drop),
        "query-payment" => |it| read_query(it).map(drop),
        "refund" => |it| read_refund(it).map(drop),
        "query-refund" => |it| read_query_refund(it).map(drop),
        "close-payment" => |it| read_close(it).map(drop),
        _ => return None,
    })
}

#[test]
fn every_valid_example_is_accepted() {
    let mut seen = BTreeSet::new();
    for (name, bytes) in examples("valid") {
        assert_eq!(schema::accepts(&name[0], &bytes), Some(true), "{name:?}");
        if name[0].starts_with("create-payment") && !name[0].ends_with("reply") {
            read_client(&bytes).unwrap_or_else(|err| panic!("{name:?}: {err:?}"));
        }
        if let Some(read) = reader(&name[0]) {
            read(&bytes).unwrap_or_else(|err| panic!("{name:?}: {err:?}"));
        }
        seen.insert(name[0].clone());
    }
    assert_eq!(seen, schema::NAMES.iter().map(|it| (*it).to_owned()).collect());
}

#[test]
fn every_invalid_example_gives_its_code() {
    for (name, bytes) in examples("invalid") {
        let Some(read) = reader(&name[0]) else {
            assert_eq!(schema::accepts(&name[0], &bytes), Some(false), "{name:?}");
            continue;
        };
        let error = read(&bytes).err().unwrap_or_else(|| panic!("{name:?} is accepted"));
        let (code, unreadable) =
            name[1].strip_suffix("-400").map_or((name[1].as_str(), false), |it| (it, true));
        let reply = ENGLISH.refusal(&error);
        let body: Value = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!(body["code"].to_string(), code, "{name:?}: {body}");
        assert_eq!(error.kind() == Kind::BodyUnreadable, unreadable, "{name:?}");
        assert_eq!(schema::accepts("error", reply.body()), Some(true), "{name:?}");
    }
}

fn names(schema: &Value) -> BTreeSet<&str> {
    schema.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The optional fields of a request that an event repeats, and nothing decides by.
const ECHOED: [&str; 3] = ["user_id", "nickname", "body"];

/// The names in an event that describe the client.
const CLIENTS: [&str; 3] = ["uni_platform", "device_id", "client_ip"];

/// A valid value of each field of `data` that may be absent.
fn optional_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("openid", json!("o1")),
        ("custom", json!({})),
        ("other", json!({})),
        ("pid", json!("001")),
        ("time_expire", json!(1_893_456_000_000_i64)),
        ("user_id", json!("u1")),
        ("nickname", json!("n")),
        ("body", json!("tea")),
        ("return_url", json!("https://shop.example.com/")),
        ("sub_appid", json!("wx1")),
        ("sub_mchid", json!("19")),
        ("app_auth_token", json!("t0ken")),
        ("profit_sharing", json!(false)),
    ]
}

/// A request whose `custom` has `key`, and whose `data` has `more`.
fn with_custom(key: &str, more: &[(&str, Value)]) -> Value {
    let mut data = json!({"out_trade_no": "2107151010101541001", "total_fee": 1,
                          "subject": "tea", "type": "goods"});
    more.iter().for_each(|(name, value)| data[*name] = value.clone());
    data["custom"] = json!({ key: 1 });
    json!({"provider": "wxpay", "data": data})
}

#[test]
fn the_keys_taken_by_the_order_are_an_events_but_for_what_it_only_repeats() {
    let request = parsed("create-payment");
    let event = parsed("event");
    let taken = request["$defs"]["taken_by_the_order"]["enum"].as_array().unwrap();
    let taken: BTreeSet<_> = taken.iter().filter_map(Value::as_str).collect();
    let fields = names(&event["properties"]["data"]["properties"]);
    let customs: BTreeSet<_> = ECHOED.into_iter().chain(CLIENTS).collect();
    assert_eq!(taken, fields.difference(&customs).copied().collect());
    for name in taken {
        let path = format!("/data/custom/{name}");
        for read in [reader("create-payment").unwrap(), reader("create-payment-client").unwrap()] {
            let error = read(with_custom(name, &[]).to_string().as_bytes()).unwrap_err();
            let [found] = error.violations() else { panic!("{name}: {error:?}") };
            assert_eq!((found.path.as_str(), found.rule), (path.as_str(), "propertyNames"));
            assert_eq!(found.code, Code::CustomKey, "{name}");
        }
    }
}

#[test]
fn a_key_of_custom_is_called_like_no_field_that_data_has() {
    let request = parsed("create-payment");
    let taken = request["$defs"]["taken_by_the_order"]["enum"].as_array().unwrap();
    let optional = optional_fields();
    let mut fields: BTreeSet<&str> = optional.iter().map(|(name, _)| *name).collect();
    fields.extend(["out_trade_no", "total_fee", "subject", "type"]);
    assert_eq!(fields, names(&request["properties"]["data"]["properties"]));
    let free = optional.into_iter().filter(|(name, _)| !taken.contains(&json!(name)));
    for (name, value) in free {
        let path = format!("/data/custom/{name}");
        for read in [reader("create-payment").unwrap(), reader("create-payment-client").unwrap()] {
            let read = |more: &[_]| read(with_custom(name, more).to_string().as_bytes());
            read(&[]).unwrap_or_else(|err| panic!("{name}: {err:?}"));
            for absent in [json!(null), json!("")] {
                read(&[(name, absent)]).unwrap_or_else(|err| panic!("{name}: {err:?}"));
            }
            let error = read(&[(name, value.clone())]).unwrap_err();
            let [found] = error.violations() else { panic!("{name}: {error:?}") };
            assert_eq!((found.path.as_str(), found.rule), (path.as_str(), "propertyNames"));
            assert_eq!(found.code, Code::CustomKey, "{name}");
        }
    }
}

#[test]
fn before_pricing_a_client_may_send_the_same_fields_and_needs_fewer() {
    let whole = parsed("create-payment");
    let client = parsed("create-payment-client");
    assert_eq!(names(&client["properties"]), names(&whole["properties"]));
    let fields = |schema: &Value| schema["properties"]["data"].clone();
    assert_eq!(names(&fields(&client)["properties"]), names(&fields(&whole)["properties"]));
    for (name, bytes) in examples("valid") {
        if name[0] == "create-payment" {
            assert_eq!(schema::accepts("create-payment-client", &bytes), Some(true), "{name:?}");
        }
    }
    let other = br#"{"provider":"wxpay","data":{"out_trade_no":"abc123","other":{"mchid":"1"}}}"#;
    assert_eq!(schema::accepts("create-payment-client", other), Some(false));
}

#[test]
fn the_parameter_table_lists_every_field_in_the_schemas_order() {
    let table = schema::parameter_table("create-payment");
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows[0], "| parameter | type | meaning |");
    assert!(
        rows[2].starts_with("| `provider` * | wxpay, alipay | The provider: WeChat"),
        "{}",
        rows[2]
    );
    assert!(rows[5].starts_with("| `data.out_trade_no` * | string | "), "{}", rows[5]);
    let fields = 17 + 6;
    assert_eq!(rows.len(), 2 + fields, "{table}");
    let table = schema::parameter_table("refund");
    assert!(table.contains("\n| `out_trade_no` * | string | "), "{table}");
    assert!(table.contains("\n| `refund_fee` | integer | "), "{table}");
    assert_eq!(schema::parameter_table("nothing").lines().count(), 2);
}
