//! Every code block is compiled, run, or compared with the program.
//!
//! Rust blocks are documentation tests. Shell blocks, and what they print, are run by the tests of
//! the program (`tests/process`), as are blocks in other programming languages. The rest is
//! compared here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use paygate::config::Config;
use paygate::testing::guard::schema::accepts;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::blocks::{CodeBlock, code_blocks, documents, shell_blocks};
use crate::config::kit::{self, API_V3_KEY, PROVIDER, SHOP};

#[test]
fn every_language_has_a_check() {
    for (path, text) in documents() {
        for block in code_blocks(&text) {
            let language = block.language.as_str();
            let is_checked = matches!(
                language,
                "rust"
                    | "rust,no_run"
                    | "sh"
                    | "js"
                    | "python"
                    | "php"
                    | "json"
                    | "http"
                    | "text"
                    | "dotenv"
                    | "ini"
                    | "nginx"
                    | "toml"
            );
            let line = block.line;
            assert!(is_checked, "{path}:{line}: no test checks a block in `{language}`");
        }
    }
}

/// The blocks in `language` of every document, with their places.
fn blocks_in(language: &str) -> Vec<(String, CodeBlock)> {
    let mut found = Vec::new();
    for (path, text) in documents() {
        let blocks = code_blocks(&text).into_iter().filter(|block| block.language == language);
        found.extend(blocks.map(|block| (format!("{path}:{}", block.line), block)));
    }
    assert!(!found.is_empty(), "no document has a block in {language}");
    found
}

#[test]
fn bodies_of_requests_in_commands_are_what_the_schemas_accept() {
    let mut operations = BTreeSet::new();
    for (at, block) in blocks_in("sh") {
        for (operation, body) in requests(&block.text) {
            let schema = schema_of(operation);
            // A variable of the shell stands for a number: `'$number'`.
            let body = body.replace("$number", "2107151010101541001");
            assert_eq!(accepts(&schema, body.as_bytes()), Some(true), "{at}, by {schema}: {body}");
            operations.insert(operation.to_owned());
        }
    }
    let all = ["closePayment", "createPayment", "queryPayment", "queryRefund", "refund"];
    assert_eq!(operations, all.map(str::to_owned).into());
}

/// The payment operations that a block of shell commands requests, with their bodies.
fn requests(block: &str) -> Vec<(&str, String)> {
    let calls = block.split("curl ").skip(1).filter_map(|call| {
        let (_, path) = call.split_once("/pay/")?;
        let operation = path.split([' ', '\'', '"']).next()?;
        let (_, rest) = path.split_once("-d '")?;
        let joined = rest.replace("'$number'", "$number");
        Some((operation, joined.split('\'').next()?.to_owned()))
    });
    calls.collect()
}

/// `createPayment` is judged by `create-payment`.
fn schema_of(operation: &str) -> String {
    let mut name = String::new();
    for letter in operation.chars() {
        if letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[test]
fn the_tests_that_commands_name_exist() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    let (manifest, main) = (read("Cargo.toml").expect("a file"), read("tests/it/main.rs"));
    let (main, mut found) = (main.expect("a file"), 0);
    for (path, text) in documents() {
        for command in text.split("cargo test ").skip(1).filter_map(|it| it.lines().next()) {
            let Some((_, rest)) = command.split_once("--test ") else { continue };
            let mut words = rest.split([' ', '`']);
            let target = words.next().unwrap_or_default();
            assert!(manifest.contains(&format!("\nname = \"{target}\"\n")), "{path}: {target}");
            if let Some(part) = words.next().and_then(|filter| filter.strip_suffix("::")) {
                assert!(main.contains(&format!("\nmod {part};\n")), "{path}: {part}");
            }
            found += 1;
        }
    }
    assert!(found > 3, "only {found} commands were found");
}

#[test]
fn json_is_what_paygate_or_the_shop_sends() {
    for (path, text) in documents() {
        let printed: BTreeSet<usize> =
            shell_blocks(&text).into_iter().filter_map(|(_, answer)| Some(answer?.line)).collect();
        let blocks = code_blocks(&text).into_iter().filter(|block| block.language == "json");
        for block in blocks.filter(|block| !printed.contains(&block.line)) {
            check_json(&format!("{path}:{}", block.line), &block.text);
        }
    }
}

/// Judges a JSON text by the schema of what it looks like.
fn check_json(at: &str, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{at}: {error}"));
    let has = |name: &str| value.get(name).is_some();
    let judged = |schema: &str, value: &Value| {
        let accepted = accepts(schema, value.to_string().as_bytes());
        assert_eq!(accepted, Some(true), "{at} is no {schema}: {value}");
    };
    match () {
        () if value.is_array() => assert_eq!(merchant_problems(&value), "", "{at}"),
        () if has("provider") && has("quote") => judged("create-payment-client", &value),
        () if has("provider") && has("data") => judged("create-payment", &value),
        () if has("type") && has("livemode") => judged("event", &value),
        () if has("orderPaid") => judged("query-payment-reply", &value),
        () if has("error") => judged("error", &value),
        () if has("orderInfo") => judged("create-payment-reply", &value),
        // The shop's answers to a price request.
        () if has("data") => {
            judged("create-payment", &json!({"provider": "wxpay", "data": value["data"]}));
        }
        () if has("code") && has("msg") => {
            let code = value["code"].as_i64().expect("a number");
            assert!(code != 0 && value["msg"].is_string(), "{at}");
        }
        () => panic!("{at}: no test knows what this is: {value}"),
    }
}

/// Why a file of merchants is refused, after its values were put in.
fn merchant_problems(documents: &Value) -> String {
    let mut documents = documents.clone();
    for document in documents.as_array_mut().expect("documents") {
        for (provider, node) in [("wxpay", "mp-weixin"), ("alipay", "h5")] {
            let node = document[provider][node].as_object_mut().expect("a node");
            for (field, value) in node {
                if let Some(real) = real_field(field) {
                    assert!(value.as_str().is_some_and(|it| it.contains('…')), "{field}: {value}");
                    *value = real;
                }
            }
        }
    }
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(documents.to_string().as_bytes()).expect("a file");
    let mut environment = live();
    environment.insert("PAYGATE_MERCHANTS".to_owned(), file.path().display().to_string());
    match Config::read(&environment) {
        Ok(config) => {
            assert_eq!(config.merchants[0].pay_types().len(), 2);
            String::new()
        }
        Err(problems) => problems.to_string(),
    }
}

fn real_field(name: &str) -> Option<Value> {
    Some(match name {
        "appId" => json!("2021000000000001"),
        "mchId" => json!("2088102146225135"),
        "v3Key" => json!(API_V3_KEY),
        "appCertContent" => json!(SHOP.cert_pem),
        "appPrivateKeyContent" | "privateKey" => json!(SHOP.private_pem),
        "wxpayPublicKeyContent" | "alipayPublicKey" => json!(PROVIDER.public_pem),
        "wxpayPublicKeyId" => json!("PUB_KEY_ID_0119000000012025010100000000000001"),
        _ => return None,
    })
}

/// Live mode without a merchant.
fn live() -> BTreeMap<String, String> {
    let pairs = [
        ("PAYGATE_STORE", "sqlite:/var/lib/paygate/paygate.db"),
        ("PAYGATE_PUBLIC_URL", "https://shop.example.com"),
        ("PAYGATE_PRICING", "trusted"),
        ("PAYGATE_CALLER_TOKEN", "at-least-32-characters-that-nobody-can-guess"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[test]
fn environments_are_complete_and_valid() {
    for (at, block) in blocks_in("dotenv") {
        let folder = TempDir::new().expect("a folder");
        let mut environment = BTreeMap::new();
        for line in block.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{at}: {line}"));
            let value = match (name, name.strip_suffix("_FILE")) {
                (name @ "PAYGATE_MERCHANTS", _) | (_, Some(name)) => file_of(&folder, name),
                (_, None) => value.to_owned(),
            };
            environment.insert(name.to_owned(), value);
        }
        match Config::read(&environment) {
            Ok(config) if environment.contains_key("PAYGATE_WEBHOOK_URL") => {
                assert_eq!(config.warnings, [""; 0], "{at}");
            }
            Ok(config) => assert_eq!(config.warnings.len(), 1, "{at}: {:?}", config.warnings),
            Err(problems) => panic!("{at}: {problems}"),
        }
    }
}

/// A file with a value for the variable `name`.
fn file_of(folder: &TempDir, name: &str) -> String {
    let value = match name {
        "PAYGATE_WEBHOOK_SECRET" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
        "PAYGATE_ADMIN_TOKEN" => "another-32-characters-that-nobody-can-guess",
        "PAYGATE_CALLER_TOKEN" => "at-least-32-characters-that-nobody-can-guess",
        "PAYGATE_MERCHANTS" => &json!({"_id": "001", "alipay": {"h5": {
            "appId": "2021000000000001", "privateKey": SHOP.private_pem,
            "alipayPublicKey": PROVIDER.public_pem,
        }}})
        .to_string(),
        "PAYGATE_WXPAY_API_V3_KEY" => API_V3_KEY,
        "PAYGATE_WXPAY_CERT" => &SHOP.cert_pem,
        "PAYGATE_WXPAY_PRIVATE_KEY" | "PAYGATE_ALIPAY_PRIVATE_KEY" => &SHOP.private_pem,
        "PAYGATE_WXPAY_PUBLIC_KEY" | "PAYGATE_ALIPAY_PUBLIC_KEY" => &PROVIDER.public_pem,
        _ => panic!("the test has no file for {name}"),
    };
    let path = folder.path().join(name);
    fs::write(&path, value).expect("a file");
    close_to_others(&path);
    path.display().to_string()
}

#[cfg(unix)]
fn close_to_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
}

#[cfg(not(unix))]
fn close_to_others(_: &Path) {}

#[test]
fn http_requests_are_an_event_or_a_price_request() {
    for (at, block) in blocks_in("http") {
        let (head, body) = block.text.split_once("\n\n").expect("a head and a body");
        let mut lines = head.lines();
        let request_line = lines.next().expect("a request line");
        assert!(request_line.starts_with("POST /") && request_line.ends_with(" HTTP/1.1"), "{at}");
        let names: Vec<_> = lines.filter_map(|line| Some(line.split_once(": ")?.0)).collect();
        let body: Value = serde_json::from_str(body).unwrap_or_else(|it| panic!("{at}: {it}"));
        if names.contains(&"webhook-id") {
            assert!(names.contains(&"webhook-timestamp") && names.contains(&"webhook-signature"));
            check_json(&at, &body.to_string());
            let kind = body["type"].as_str().expect("a type").replace('.', "-");
            let schema = format!("event-{kind}");
            let accepted = accepts(&schema, body.to_string().as_bytes());
            assert_eq!(accepted, Some(true), "{at}, by {schema}");
        } else {
            let members = |it: &Value| it.as_object().map(|it| it.keys().cloned().collect());
            let whole: Option<BTreeSet<String>> = members(&body);
            let sent = ["context", "data", "isPC", "needQRcode", "operation", "provider"];
            assert_eq!(whole, Some(sent.map(str::to_owned).into()), "{at}");
        }
    }
}

#[test]
fn the_dependency_has_features_that_exist() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let manifest = manifest.expect("the manifest");
    for (at, block) in blocks_in("toml") {
        let ours = block.text.lines().filter(|line| line.starts_with("paygate = "));
        let lists: Vec<_> = ours.filter_map(|line| line.split_once("features = [")).collect();
        assert!(!lists.is_empty(), "{at}");
        for (_, list) in lists {
            let (list, _) = list.split_once(']').expect("its end");
            for feature in list.split(", ") {
                let definition = format!("\n{} = [", feature.trim_matches('"'));
                assert!(manifest.contains(&definition), "{at}: there is no feature {feature}");
            }
        }
    }
}

/// The settings of a unit of systemd, by their section and name.
fn unit_settings(text: &str) -> BTreeMap<(&str, &str), &str> {
    let mut section = "";
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.split_once('=') {
            Some((name, value)) => {
                found.insert((section, name), value);
            }
            None => section = line,
        }
    }
    found
}

#[test]
fn the_units_of_systemd_end_after_paygate_does_and_pass_its_listeners() {
    let config = Config::read(&kit::live(&[])).expect("live mode");
    let mut kinds = BTreeSet::new();
    for (at, block) in blocks_in("ini") {
        let found = unit_settings(&block.text);
        let value = |section, name| found.get(&(section, name)).copied().unwrap_or_default();
        if found.contains_key(&("[Socket]", "ListenStream")) {
            kinds.insert("socket");
            assert_eq!(value("[Socket]", "ListenStream"), config.listen.to_string(), "{at}");
            assert_eq!(value("[Socket]", "FileDescriptorName"), "public", "{at}");
            assert_eq!(value("[Socket]", "Accept"), "no", "{at}");
        } else if found.contains_key(&("[Service]", "Sockets")) {
            kinds.insert("service with sockets");
            let sockets = value("[Service]", "Sockets");
            assert_eq!(sockets, "paygate-public.socket paygate-admin.socket", "{at}");
        } else {
            kinds.insert("service");
            assert!(value("[Service]", "ExecStart").ends_with("/paygate"), "{at}");
            let stop: u64 = value("[Service]", "TimeoutStopSec").parse().expect("seconds");
            let grace = config.shutdown_grace;
            assert!(stop > grace.as_secs() + 10, "{at}: {stop} s, and paygate takes {grace:?}");
        }
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

#[test]
fn nginx_passes_on_to_paygate_and_names_the_client() {
    for (at, block) in blocks_in("nginx") {
        let mut depth = 0_u32;
        for line in block.text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.chars().next_back() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                end => assert_eq!(end, Some(';'), "{at}: {line}"),
            }
        }
        assert_eq!(depth, 0, "{at}");
        let listen = Config::read(&kit::live(&[])).expect("live mode").listen;
        assert!(block.text.contains(&format!("proxy_pass http://{listen};")), "{at}");
        assert!(block.text.contains("X-Forwarded-For $proxy_add_x_forwarded_for;"), "{at}");
    }
}

#[test]
fn rust_blocks_are_documentation_tests() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    let library = read("src/lib.rs").expect("the library");
    assert!(library.contains("include_str!(\"../README.md\")"), "README is not tested");
    let blocks = blocks_in("rust,no_run").into_iter().chain(blocks_in("rust"));
    let hidden = blocks.filter(|(_, block)| block.text.lines().any(|line| line.starts_with("# ")));
    // Rustdoc hides these lines, GitHub and the terminal do not.
    assert_eq!(hidden.map(|(at, _)| at).collect::<Vec<_>>(), [""; 0]);
}
