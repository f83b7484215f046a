use proptest::prelude::*;

use super::number::Decimal;
use super::*;

fn check_refused(why: Unreadable, texts: &[&str]) {
    for text in texts {
        assert_eq!(RawJson::parse(text), Err(why), "{text}");
    }
}

#[test]
fn a_value_ends_where_its_own_brackets_close() {
    for (text, value) in [
        ("{}", "{}"),
        ("{}}", "{}"),
        (r#"{"a":[1]}]"#, r#"{"a":[1]}"#),
        (r#"[{}],"b""#, "[{}]"),
        (r#"["]"]]"#, r#"["]"]"#),
        ("1}", "1"),
        ("true]", "true"),
    ] {
        assert_eq!(scanner::value_len(text), value.len(), "{text}");
    }
}

#[test]
fn an_exponent_of_30_digits_has_one_canonical_text_and_a_longer_one_may_have_several() {
    let canonical = |text: String| RawJson::parse(&text).unwrap().canonical();
    let same = |digits: usize| {
        let (nines, less) = ("9".repeat(digits), "9".repeat(digits - 1));
        canonical(format!("1e{nines}")) == canonical(format!("10e{less}8"))
    };
    assert!(same(30));
    assert!(!same(31));
}

#[test]
fn a_refusal_names_its_reason() {
    let reason = |text: &str| RawJson::parse(text).unwrap_err().to_string();
    assert_eq!(reason("{"), "not JSON");
    assert_eq!(reason(r#"{"a":1,"a":2}"#), "a key stands twice in one object");
    assert_eq!(reason(&"[".repeat(1_000)), "nested too deep");
}

#[test]
fn only_the_grammar_of_rfc_8259_is_json() {
    check_refused(
        Unreadable::Syntax,
        &[
            "",
            " ",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "-",
            "--1",
            "NaN",
            "Infinity",
            "0x1",
            "1_0",
            "\u{feff}1",
            "1 2",
            "[1,]",
            "[,1]",
            "[1",
            "]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":}",
            "{1:1}",
            "[}",
            "{]",
            "tru",
            "nul",
            "truefalse",
            "\"",
            "\"\t\"",
            "\"\0\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\u12G4""#,
            "/**/1",
            "1//",
            "\u{a0}1",
            "\0",
        ],
    );
    for good in ["0", "-0", " 1 ", "-1.5e+10", "\"\u{1f600}\\n\"", "[]", "{}", "[[],{}]", "null"] {
        assert_eq!(RawJson::parse(good).unwrap().as_str(), good.trim());
    }
}

#[test]
fn invalid_utf_8_is_refused_before_anything_is_read() {
    for bytes in [&b"\"\xff\""[..], b"\"\xc0\xaf\"", b"\"\xed\xa0\x80\"", b"\xef\xbb", b"\x80"] {
        assert_eq!(scan(bytes), Err(Unreadable::NotUtf8));
    }
}

#[test]
fn lone_surrogates_are_refused_and_pairs_are_one_character() {
    check_refused(
        Unreadable::Syntax,
        &[r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud83d\n""#, r#""\ud83dx""#],
    );
    let pair = RawJson::parse(r#""a\ud83d\ude00b\u00e9""#).unwrap();
    assert!(matches!(pair.json().shape(), Shape::String(it) if it == "a\u{1f600}b\u{e9}"));
}

#[test]
fn nesting_ends_at_32_and_a_hundred_thousand_brackets_do_no_harm() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(RawJson::parse(&nested(32)).is_ok());
    assert_eq!(RawJson::parse(&nested(33)), Err(Unreadable::TooDeep));
    assert_eq!(scan("[".repeat(100_000).as_bytes()), Err(Unreadable::TooDeep));
    assert_eq!(scan(r#"{"a":"#.repeat(100_000).as_bytes()), Err(Unreadable::TooDeep));
}

#[test]
fn a_key_twice_is_refused_at_any_depth_and_however_it_is_escaped() {
    check_refused(
        Unreadable::DuplicateKey,
        &[
            r#"{"total_fee":1,"total_fee":100}"#,
            r#"{"a":1,"b":2,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"\u00e9":1,"é":2}"#,
            r#"{"\ud83d\ude00":1,"😀":2}"#,
            r#"{"/":1,"\/":2}"#,
            r#"[{"x":{"y":[{"a":{},"a":{}}]}}]"#,
            r#"{"":1,"":2}"#,
        ],
    );
    assert!(RawJson::parse(r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}],"A":1}"#).is_ok());
}

#[test]
fn a_great_many_keys_are_read_in_bounded_time() {
    let members: Vec<_> = (0..200_000).map(|n| format!("\"k{n}\":0")).collect();
    let object = format!("{{{}}}", members.join(","));
    assert!(scan(object.as_bytes()).is_ok());
}

#[test]
fn the_keys_that_serde_json_keeps_for_itself_are_refused() {
    check_refused(
        Unreadable::ReservedKey,
        &[
            r#"{"$serde_json::private::RawValue":"{\"a\":1,\"a\":2}"}"#,
            r#"[{"\u0024serde_json::private::Number":"1"}]"#,
        ],
    );
}

#[test]
fn whole_numbers_are_judged_by_their_exact_decimal_value() {
    let exact = [
        ("1", 1),
        ("1.0", 1),
        ("1e0", 1),
        ("10e-1", 1),
        ("1e2", 100),
        ("1E+2", 100),
        ("0.1e1", 1),
        ("0", 0),
        ("-0", 0),
        ("0e999999999999999999999999999999999999", 0),
        ("0.000", 0),
        ("-100", -100),
        ("10000000000.0", 10_000_000_000),
        ("9007199254740993", 9_007_199_254_740_993),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ];
    for (token, value) in exact {
        let json = RawJson::parse(token).unwrap();
        assert_eq!(json.json().whole(), Some(Whole::Exact(value)), "{token}");
    }
    let others = [
        ("1.0000000000000000001", Whole::Fraction),
        ("1e-400", Whole::Fraction),
        ("1e-99999999999999999999999999999999999999999", Whole::Fraction),
        ("1.5", Whole::Fraction),
        ("-0.1", Whole::Fraction),
        ("1e400", Whole::Above),
        ("-1e400", Whole::Below),
        ("1e99999999999999999999999999999999999999999", Whole::Above),
        ("9223372036854775808", Whole::Above),
    ];
    for (token, value) in others {
        assert_eq!(RawJson::parse(token).unwrap().json().whole(), Some(value), "{token}");
    }
    assert_eq!(RawJson::parse("\"1\"").unwrap().json().whole(), None);
}

fn check_same(same: bool, pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        let canonical = |text| RawJson::parse(text).unwrap().canonical();
        assert_eq!(canonical(a) == canonical(b), same, "{a} {b}");
    }
}

#[test]
fn one_value_has_one_canonical_text() {
    check_same(
        true,
        &[
            (r#"{"a":1,"b":[true,null]}"#, "{ \"b\" : [ true , null ] ,\n\"a\" : 1 }"),
            (r#""a\/\u0062\t""#, r#""a/b\u0009""#),
            (r#""\ud83d\ude00""#, "\"😀\""),
            ("1", "1.0"),
            ("1", "1e0"),
            ("100", "1e2"),
            ("-0", "0"),
            ("-0.0e5", "0"),
            ("0.1", "1E-1"),
            ("1e400", "10e399"),
            ("1e400", "0.1e+401"),
            ("1e-400", "0.01e-398"),
            ("123456789012345678901234567890.0", "123456789012345678901234567890"),
        ],
    );
    check_same(
        false,
        &[
            ("1", "\"1\""),
            ("1", "2"),
            ("1", "-1"),
            ("1", "10"),
            ("1", "1.0000000000000000001"),
            ("9007199254740992", "9007199254740993"),
            ("1e400", "1e401"),
            (
                "1e99999999999999999999999999999999999999",
                "2e99999999999999999999999999999999999999",
            ),
            ("[1,2]", "[2,1]"),
            ("{}", "[]"),
            (r#"{"a":{}}"#, r#"{"a":null}"#),
            (r#"{"a":"b\",\"c"}"#, r#"{"a":"b","c":""}"#),
            ("null", "\"null\""),
        ],
    );
}

#[test]
fn each_control_character_has_an_escape_of_its_own() {
    for code in 0..0x20_u32 {
        let escaped = format!("\"\\u{code:04x}\"");
        assert_eq!(RawJson::parse(&escaped).unwrap().canonical(), escaped.as_bytes());
    }
}

#[test]
fn members_keep_their_order_and_their_text() {
    let json = RawJson::parse(r#" { "b" : 1e2 , "a" : { "x" : "}]" } , "\u0063" : [ 1 , 2 ] } "#);
    let json = json.unwrap();
    let Shape::Object(members) = json.json().shape() else { panic!("an object") };
    let members: Vec<_> = members.map(|(key, it)| (key.into_owned(), it.as_str())).collect();
    let expected = [("b", "1e2"), ("a", r#"{ "x" : "}]" }"#), ("c", "[ 1 , 2 ]")];
    assert_eq!(members, expected.map(|(key, it)| (key.to_owned(), it)));
    let item = json.json().member("c").map(Json::shape);
    let Some(Shape::Array(items)) = item else { panic!("an array") };
    assert_eq!(items.map(Json::as_str).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(json.json().member("d"), None);
}

/// Texts that are nearly JSON: its pieces, in any order.
fn jsonish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", " ", "\n", "\"", "\\", "\\u", "\\ud83d", "\\ude00", "0061",
        "a", "\"a\"", "\"b\"", "\"a\":", "0", "1", "9", "-", "+", ".", "e", "E", "1.5", "-0",
        "true", "null", "false", "\"\\n\"", "\u{e9}", "\u{feff}", "\0",
    ]);
    let pieces = prop::collection::vec(piece, 0..12).prop_map(|it| it.concat().into_bytes());
    prop_oneof![8 => pieces, 1 => prop::collection::vec(any::<u8>(), 0..8)]
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (any::<i32>(), any::<u16>(), -99..99_i8).prop_map(|(whole, fraction, power)| {
            serde_json::from_str(&format!("{whole}.{fraction}e{power}")).expect("a number")
        }),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map(".{0,4}", inner, 0..4)
                .prop_map(|it| serde_json::Value::Object(it.into_iter().collect())),
        ]
    })
}

/// The value as text, the members of its objects from the last to the first.
fn backwards(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(backwards).collect::<Vec<_>>().join(" , "))
        }
        serde_json::Value::Object(members) => {
            let members = members.iter().rev().map(|(key, value)| {
                format!("{} : {}", serde_json::Value::from(key.as_str()), backwards(value))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => value.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn scanner_and_serde_json_agree_on_what_json_is(bytes in jsonish()) {
        let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
        match (scan(&bytes), theirs) {
            (Err(Unreadable::DuplicateKey | Unreadable::TooDeep | Unreadable::ReservedKey), _) => {}
            // A float cannot hold it; the grammar can.
            (Ok(_), Err(err)) if err.to_string().contains("out of range") => {}
            (ours, theirs) => prop_assert_eq!(ours.is_ok(), theirs.is_ok()),
        }
    }

    #[test]
    fn the_canonical_text_is_stable_and_means_the_same(value in value()) {
        let compact = RawJson::parse(&value.to_string()).unwrap();
        let pretty = RawJson::parse(&serde_json::to_string_pretty(&value).unwrap()).unwrap();
        let canonical = String::from_utf8(compact.canonical()).unwrap();
        prop_assert_eq!(&canonical.clone().into_bytes(), &pretty.canonical());
        let again = RawJson::parse(&canonical).unwrap();
        prop_assert_eq!(canonical.into_bytes(), again.canonical());
    }

    #[test]
    fn a_value_is_built_as_it_was_written(value in value()) {
        let texts = [value.to_string(), serde_json::to_string_pretty(&value).unwrap()];
        for text in texts {
            let built = scan(text.as_bytes()).unwrap().build(usize::MAX, &|part| match part {
                JsonPart::Scalar(json) => serde_json::from_str(json.as_str()).unwrap(),
                JsonPart::Array(items) => serde_json::Value::Array(items),
                JsonPart::Object(members) => {
                    let members = members.into_iter().map(|(key, it)| (key.into_owned(), it));
                    serde_json::Value::Object(members.collect())
                }
            });
            // Read as `serde_json` reads it: it does not read every float as it wrote it.
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&built, &read);
        }
    }

    /// The canonical text of a value is one of its parts' texts, members by their keys.
    #[test]
    fn members_are_written_in_the_order_of_their_keys_at_any_depth(value in value()) {
        fn canonical(json: Json<'_>) -> Vec<u8> {
            let join = |parts: Vec<Vec<u8>>, [open, close]: [&[u8]; 2]| {
                [open, &*parts.join(&b","[..]), close].concat()
            };
            match json.shape() {
                Shape::Array(items) => join(items.map(canonical).collect(), [b"[", b"]"]),
                Shape::Object(members) => {
                    let mut members: Vec<_> = members.collect();
                    members.sort_by(|(a, _), (b, _)| a.cmp(b));
                    let written = members.into_iter().map(|(key, value)| {
                        let key = serde_json::to_string(&key).unwrap();
                        let key = scan(key.as_bytes()).unwrap().canonical();
                        [&*key, b":", &*canonical(value)].concat()
                    });
                    join(written.collect(), [b"{", b"}"])
                }
                Shape::Null | Shape::Bool(_) | Shape::Number | Shape::String(_) => {
                    json.canonical()
                }
            }
        }
        for text in [value.to_string(), backwards(&value)] {
            let json = scan(text.as_bytes()).unwrap();
            prop_assert_eq!(json.canonical(), canonical(json));
        }
    }

    #[test]
    fn a_short_whole_number_is_read_like_any_other(
        number in any::<i64>(),
        short in -99_i64..99,
        zeros in 0_u32..17,
    ) {
        for number in [number, short, short.saturating_mul(10_i64.pow(zeros))] {
            let written = format!("{number}");
            let fraction = format!("{number}.0");
            let mut exact = Vec::new();
            Decimal::parse_token(&written).write(&mut exact);
            for text in [written, fraction] {
                let json = scan(text.as_bytes()).unwrap();
                prop_assert_eq!(json.whole(), Some(Whole::Exact(number)));
                prop_assert_eq!(json.canonical(), &*exact);
            }
        }
    }
}
