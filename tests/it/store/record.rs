//! What a newer paygate wrote of an order outlives an older one's commits.

use paygate::domain::{AttemptState, ChannelNo, Order, OrderStatus, decode_record, encode_record};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::orders::{any_order, attempt, later, live, order, payment};

fn value(record: &str) -> Value {
    serde_json::from_str(record).unwrap()
}

/// Puts members that nobody knows into every object that has fields. The fingerprint has a version
/// of its own, and the object around a state, or around material, is the name of its kind.
fn strew(value: &mut Value, n: &mut u32) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match (name.as_str(), member) {
                    ("fingerprint", _) => {}
                    ("state" | "material", Value::Object(kind)) => {
                        kind.values_mut().for_each(|it| strew(it, n));
                    }
                    (_, member) => strew(member, n),
                }
            }
            *n += 1;
            members.insert(format!("later_{n}"), json!({ "n": [*n, { "deep": null }] }));
            members.insert("a".to_owned(), json!(*n));
        }
        Value::Array(items) => items.iter_mut().for_each(|it| strew(it, n)),
        _ => {}
    }
}

fn strewn(order: &Order) -> (Value, u32) {
    let (mut record, mut n) = (value(&encode_record(order)), 0);
    strew(&mut record, &mut n);
    (record, n)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn members_that_are_not_known_survive_a_rewrite(order in any_order("later-")) {
        let (record, n) = strewn(&order);
        prop_assert!(n >= 6);
        let read = decode_record(&record.to_string()).unwrap();
        let known = Order { unknown: Default::default(), ..read.clone() };
        prop_assert_eq!(&known, &order, "what is known is what it was");
        prop_assert_eq!(value(&encode_record(&read)), record, "and what is not is kept");
        prop_assert_eq!(decode_record(&encode_record(&read)).unwrap(), read, "as often as it is read");
    }

    #[test]
    fn members_that_are_not_known_survive_a_change(order in any_order("later-")) {
        let (mut record, _) = strewn(&order);
        let mut read = decode_record(&record.to_string()).unwrap();
        read.version = 7;
        read.status = OrderStatus::PartRefunded;
        read.terms.body = Some("b".to_owned());
        let added = attempt(9, ChannelNo::first(read.out_trade_no()), 9);
        let is_payable = |state: &Value| state.get("payable").is_some();
        read.attempts[0].state = live();
        read.attempts.push(added.clone());
        // A state of another kind is the typed one alone; one of the same kind keeps its own.
        let state = serde_json::to_value(live()).unwrap();
        let stored = &mut record["attempts"][0]["state"];
        if is_payable(stored) {
            stored["payable"]["valid_until"] = state["payable"]["valid_until"].clone();
            // The material is of another kind, unless it was signed as well.
            stored["payable"]["material"] = state["payable"]["material"].clone();
        } else {
            *stored = state;
        }
        record["attempts"].as_array_mut().unwrap().push(serde_json::to_value(added).unwrap());
        record["version"] = json!(7);
        record["status"] = json!("part_refunded");
        record["terms"]["body"] = json!("b");
        prop_assert_eq!(value(&encode_record(&read)), record);
    }

    #[test]
    fn an_order_that_is_known_whole_is_written_as_its_fields(order in any_order("known-")) {
        let record = encode_record(&order);
        let members = serde_json::to_string(&order).unwrap();
        prop_assert_eq!(&record, &members.replacen('{', r#"{"v":2,"#, 1));
        prop_assert_eq!(decode_record(&record).unwrap(), order);
    }
}

/// Payments, refunds and attempts are known again by their numbers, wherever they stand.
#[test]
fn what_is_not_known_stays_with_the_item_that_it_was_said_of() {
    let mut first = order("with-items", 1);
    first.payments = vec![payment("4200001", "r-1"), payment("4200002", "r-2")];
    let mut record = value(&encode_record(&first));
    record["payments"][1]["later"] = json!("of 4200002");
    record["payments"][1]["refunds"][0]["later"] = json!("of r-2");
    let mut read = decode_record(&record.to_string()).unwrap();
    read.payments.insert(0, payment("4200003", "r-3"));
    let written = value(&encode_record(&read));
    assert_eq!(written["payments"][2]["later"], "of 4200002");
    assert_eq!(written["payments"][2]["refunds"][0]["later"], "of r-2");
    let others: Vec<&Map<_, _>> =
        (0..2).map(|n| written["payments"][n].as_object().unwrap()).collect();
    assert!(others.iter().all(|it| !it.contains_key("later")));
}

/// No number is rounded, and none is refused because no float holds it.
#[test]
fn what_is_not_known_is_kept_byte_for_byte() {
    let plain = encode_record(&order("byte-for-byte", 1));
    let later = r#""later":{"b":1.10,"a":[1e400,-0,"\u0061"],"a":18446744073709551616}"#;
    let record = plain.replacen('{', &format!("{{{later},"), 1);
    let read = decode_record(&record).unwrap();
    assert!(encode_record(&read).contains(later), "{}", encode_record(&read));
    assert!(!format!("{read:?}").contains("18446744073709551616"), "nothing of it is printed");
    let next = later_version(&read);
    assert!(encode_record(&next).contains(later));
}

/// What every record of version 2 has. A member that is added to a record later is an [`Option`],
/// or has a default: this text stays as it is.
const LEAST: &str = r#"{"v":2,
    "terms":{"out_trade_no":"least-order","total_fee":1,"subject":"tea","type":"goods",
        "pid":"default"},
    "fingerprint":{"v":"1"},"status":"paid",
    "flags":{"duplicate_paid":false,"late_paid":false,"mismatch":false},
    "attempts":[{"attempt_no":1,
        "method":{"pay_type":"wxpay_h5","product":"native","app_id":"wx0000000000000001"},
        "account":{"id":"1900000001","api_version":"wxpay_v3"},
        "channel_no":"least-order","params":{"document":"{}","notify_url":"https://example.com/"},
        "expires_at":2,"opened_at":1,
        "state":{"payable":{"material":{"qr_code":{"code_url":"weixin://"}},"valid_until":2}},
        "superseded":false,"handed_out":true}],
    "payments":[{"attempt_no":1,"transaction_id":"4200001","total_fee":1,"paid_at":1,
        "discovered_at":1,"role":"winning","auto_refund":false,"refund_unknown":false,
        "refunds":[{"out_refund_no":"r-1","refund_fee":1,"state":"PROCESSING","requested_at":1,
            "automatic":false}]}],
    "client":{"platform":"h5"},"created_at":1,"version":1}"#;

#[test]
fn a_record_is_read_without_the_members_that_were_added_later() {
    let order = decode_record(LEAST).unwrap();
    assert_eq!(order.unknown, Default::default());
    assert_eq!(order.payments[0].refunds[0].times_sent, 0);
    assert_eq!(decode_record(&encode_record(&order)).unwrap(), order);
}

fn later_version(order: &Order) -> Order {
    later(order, AttemptState::Paid)
}

#[test]
fn a_state_that_is_not_known_is_no_order_that_is_written_again() {
    let record = encode_record(&order("newer-state", 1)).replace(r#""prepared""#, r#""resting""#);
    assert!(decode_record(&record).unwrap_err().to_string().contains("invalid at byte"));
}
