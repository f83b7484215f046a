//! Keys and certificates as people have them: in every variable and every field of a document the
//! same forms are taken, and what is something else is named for what it is.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use paygate::config::Config;
use rcgen::{CertificateParams, KeyPair};
use rsa::PrivateKey;
use rsa::pkcs1::{EncodeRsaPrivateKey as _, EncodeRsaPublicKey as _, LineEnding};
use rsa::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::kit::{API_V3_KEY, PROVIDER, Pair, SHOP, SHORT_KEY, Vars, live, live_alipay};

/// What a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    PrivateKey,
    PublicKey,
    Certificate,
}

/// A variable, what it holds, whose it is, and the field of a document.
struct Holder {
    variable: &'static str,
    field: &'static str,
    content: Content,
    pair: &'static std::sync::LazyLock<Pair>,
}

const HOLDERS: [Holder; 8] = [
    holder("PAYGATE_WXPAY_PRIVATE_KEY", "appPrivateKeyContent", Content::PrivateKey, &SHOP),
    holder("PAYGATE_WXPAY_CERT", "appCertContent", Content::Certificate, &SHOP),
    holder("PAYGATE_WXPAY_PUBLIC_KEY", "wxpayPublicKeyContent", Content::PublicKey, &PROVIDER),
    holder("PAYGATE_ALIPAY_PRIVATE_KEY", "privateKey", Content::PrivateKey, &SHOP),
    holder("PAYGATE_ALIPAY_PUBLIC_KEY", "alipayPublicKey", Content::PublicKey, &PROVIDER),
    holder("PAYGATE_ALIPAY_APP_CERT", "appCertContent", Content::Certificate, &SHOP),
    holder(
        "PAYGATE_ALIPAY_PUBLIC_CERT",
        "alipayPublicCertContent",
        Content::Certificate,
        &PROVIDER,
    ),
    holder("PAYGATE_ALIPAY_ROOT_CERT", "alipayRootCertContent", Content::Certificate, &PROVIDER),
];

const fn holder(
    variable: &'static str,
    field: &'static str,
    content: Content,
    pair: &'static std::sync::LazyLock<Pair>,
) -> Holder {
    Holder { variable, field, content, pair }
}

impl Holder {
    fn is_wxpay(&self) -> bool {
        self.variable.starts_with("PAYGATE_WXPAY_")
    }

    fn pem(&self) -> String {
        match self.content {
            Content::PrivateKey => self.pair.private_pem.clone(),
            Content::PublicKey => self.pair.public_pem.clone(),
            Content::Certificate => self.pair.cert_pem.clone(),
        }
    }

    /// The variables of a complete merchant, without this one.
    fn variables(&self) -> Vars {
        let id = ("PAYGATE_WXPAY_PUBLIC_KEY_ID", "PUB_KEY_ID_0114232134912410000000000000");
        let mut variables = match (self.is_wxpay(), self.content) {
            (true, Content::PublicKey) => live(&[id]),
            (true, Content::Certificate) => live(&[("PAYGATE_WXPAY_SERIAL_NO", "")]),
            (true, Content::PrivateKey) => live(&[]),
            (false, Content::Certificate) => live_alipay(&[
                ("PAYGATE_ALIPAY_PUBLIC_KEY", ""),
                ("PAYGATE_ALIPAY_APP_CERT", &SHOP.cert_pem),
                ("PAYGATE_ALIPAY_PUBLIC_CERT", &PROVIDER.cert_pem),
                ("PAYGATE_ALIPAY_ROOT_CERT", &PROVIDER.cert_pem),
            ]),
            (false, _) => live_alipay(&[]),
        };
        variables.remove(self.variable);
        variables
    }

    /// The same merchant as a document, with `text` in the field.
    fn document(&self, text: &str) -> Value {
        let mut node = match self.is_wxpay() {
            true => json!({
                "appId": "wxd678efh567hg6787", "mchId": "1900000001", "v3Key": API_V3_KEY,
                "version": 3, "appCertContent": SHOP.cert_pem,
                "appPrivateKeyContent": SHOP.private_pem
            }),
            false => json!({ "appId": "2014072300007148", "privateKey": SHOP.private_pem }),
        };
        match (self.is_wxpay(), self.content) {
            (true, Content::PublicKey) => {
                node["wxpayPublicKeyId"] = "PUB_KEY_ID_0114232134912410000000000000".into();
            }
            (false, Content::Certificate) => {
                node["appCertContent"] = SHOP.cert_pem.clone().into();
                node["alipayPublicCertContent"] = PROVIDER.cert_pem.clone().into();
                node["alipayRootCertContent"] = PROVIDER.cert_pem.clone().into();
            }
            (false, _) => node["alipayPublicKey"] = PROVIDER.public_pem.clone().into(),
            _ => {}
        }
        node[self.field] = text.into();
        let provider = if self.is_wxpay() { "wxpay" } else { "alipay" };
        json!({ "_id": "001", (provider): { "h5": node } })
    }
}

fn file(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

/// The reasons for which `bytes` are refused in the variable's file, in the variable and in the
/// document's field; the last two only for a text.
fn reasons(holder: &Holder, bytes: &[u8]) -> Vec<Option<String>> {
    let read = |variables: &Vars, name: &str, start: &str| {
        let problems = Config::read(variables).err()?;
        let list = problems.list().iter();
        let mut own = list.filter(|problem| problem.variable == name);
        let reason = own.find_map(|problem| problem.reason.split_once(start)).map(|it| it.1);
        Some(reason.map_or_else(|| format!("another problem: {problems}"), str::to_owned))
    };
    let named = file(bytes);
    let mut variables = holder.variables();
    let path = named.path().to_str().unwrap().to_owned();
    variables.insert(format!("{}_FILE", holder.variable), path);
    let mut reasons = vec![read(&variables, holder.variable, "")];
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let Some(text) = text else { return reasons };
    let mut variables = holder.variables();
    variables.insert(holder.variable.to_owned(), text.to_owned());
    reasons.push(read(&variables, holder.variable, ""));
    let documents = file(holder.document(text).to_string().as_bytes());
    let path = documents.path().to_str().unwrap().to_owned();
    let mut variables = live(&[("PAYGATE_MERCHANTS", &path)]);
    variables.retain(|name, _| !name.starts_with("PAYGATE_WXPAY"));
    reasons.push(read(&variables, "PAYGATE_MERCHANTS", &format!(".{}: ", holder.field)));
    reasons
}

fn armour_less(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

fn rsa_key() -> PrivateKey {
    PrivateKey::from_pkcs8_pem(&SHOP.private_pem).unwrap()
}

#[test]
fn every_variable_and_field_takes_a_key_in_every_form_in_which_people_have_it() {
    for holder in &HOLDERS {
        let pem = holder.pem();
        let mut forms = vec![
            ("PEM", pem.clone()),
            ("line breaks written out", pem.trim().replace('\n', "\\n")),
            ("line breaks of Windows written out", pem.trim().replace('\n', "\\r\\n")),
            ("line breaks of Windows", pem.replace('\n', "\r\n")),
            ("a byte order mark", format!("\u{feff}{pem}")),
            ("white space around it", format!(" \t\n{pem} \n\n ")),
            ("blanks for line breaks", pem.trim().replace('\n', " ")),
            ("quotes", format!("\"{}\"", pem.trim())),
            ("one line of base64", armour_less(&pem)),
        ];
        match (holder.content, holder.pair.private_pem == SHOP.private_pem) {
            (Content::PrivateKey, _) => {
                let pkcs1 = rsa_key().to_pkcs1_pem(LineEnding::LF).unwrap().to_string();
                forms.push(("one line of PKCS#1", armour_less(&pkcs1)));
                forms.push(("PKCS#1", pkcs1));
            }
            (Content::PublicKey, _) => {
                let provider = PrivateKey::from_pkcs8_pem(&PROVIDER.private_pem).unwrap();
                let pkcs1 = provider.to_public_key().to_pkcs1_pem(LineEnding::LF).unwrap();
                forms.push(("one line of PKCS#1", armour_less(&pkcs1)));
                forms.push(("PKCS#1", pkcs1));
            }
            (Content::Certificate, _) => {}
        }
        for (form, text) in forms {
            for reason in reasons(holder, text.as_bytes()) {
                assert_eq!(reason, None, "{}: {form}", holder.variable);
            }
        }
        let der = STANDARD.decode(armour_less(&pem)).unwrap();
        assert_eq!(reasons(holder, &der), [None], "{}: DER", holder.variable);
    }
}

/// What stands in the place of a private key, of a public key or of a certificate, and what the
/// refusal names.
fn mistakes(holder: &Holder) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let pem = holder.pem();
    let elliptic = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&elliptic).unwrap().pem().unwrap();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let p12 = STANDARD.decode(P12).unwrap();
    let four = |from: &str, to: &str| pem.replacen(from, to, 1).into_bytes();
    let mut mistakes = vec![
        ("UTF-16", [&[0xff, 0xfe][..], &utf16(&pem)].concat(), "is in UTF-16: save it as UTF-8"),
        ("UTF-16 without a mark", utf16(&pem), "is in UTF-16: save it as UTF-8"),
        ("an encrypted key", ENCRYPTED.into(), "is an encrypted private key"),
        ("PKCS#12", p12.clone(), "is a PKCS#12 file (.p12 or .pfx)"),
        ("PKCS#12 in base64", P12.into(), "is a PKCS#12 file (.p12 or .pfx)"),
        ("four dashes before BEGIN", four("-----BEGIN", "----BEGIN"), "five dashes"),
        ("four dashes after BEGIN", four("-----\n", "----\n"), "five dashes"),
        ("four dashes before END", four("-----END", "----END"), "five dashes"),
        ("half of it", pem.as_bytes()[..pem.len() / 2].to_vec(), "no END line"),
        ("half its base64", armour_less(&pem)[..200].into(), "is cut off: copy the whole"),
        ("a path", "/etc/paygate/key.pem".into(), "is a path, not the file's text"),
        ("a path like base64", "/run/secrets/key".into(), "is a path, not the file's text"),
        ("a path of Windows", "C:\\run\\new.pem".into(), "is a path, not the file's text"),
        ("a file's name", "apiclient_key.pem".into(), "is a path, not the file's text"),
        ("PEM in base64", STANDARD.encode(&pem).into(), "is PEM in base64 once more"),
        ("a request", request.into(), "is a certificate request (CSR), not a "),
        ("anything", "hunter2".into(), "is not PEM, base64 or DER"),
    ];
    let others = [
        (Content::PrivateKey, &PROVIDER.private_pem, "is a private key, not a "),
        (Content::PublicKey, &SHOP.public_pem, "is a public key, not a "),
        (Content::Certificate, &SHOP.cert_pem, "is a certificate, not a "),
    ];
    for (content, other, words) in others {
        if content != holder.content {
            mistakes.push(("another kind", other.clone().into(), words));
            mistakes.push(("another kind in base64", armour_less(other).into(), words));
        }
    }
    let certificate = CertificateParams::default().self_signed(&elliptic).unwrap().pem();
    mistakes.push(match holder.content {
        Content::PrivateKey => ("EC", elliptic.serialize_pem().into(), "is an elliptic-curve key"),
        Content::PublicKey => ("EC", elliptic.public_key_pem().into(), "is an elliptic-curve key"),
        Content::Certificate if holder.field == "alipayRootCertContent" => {
            ("EC", certificate.into(), "is not a bundle with an RSA-signed certificate")
        }
        Content::Certificate => ("EC", certificate.into(), "is not the certificate of an RSA key"),
    });
    if holder.content == Content::PrivateKey {
        let old = [OLD_ENCRYPTED, &armour_less(&pem), "\n-----END RSA PRIVATE KEY-----\n"];
        mistakes.push(("OpenSSL's encryption", old.concat().into(), "is an encrypted private key"));
        let words = "has 1024 bits; at least 2048";
        mistakes.push(("a short key", SHORT_KEY.into(), words));
    }
    mistakes
}

#[test]
fn what_is_no_key_of_this_kind_is_named_for_what_it_is() {
    for holder in &HOLDERS {
        for (form, bytes, words) in mistakes(holder) {
            let reasons = reasons(holder, &bytes);
            for reason in reasons {
                let reason = reason.unwrap_or_else(|| panic!("{}: {form}", holder.variable));
                assert!(reason.contains(words), "{}: {form}: {reason}", holder.variable);
                assert!(!reason.contains("hunter2") && !reason.contains("MII"), "{reason}");
            }
        }
    }
}

#[test]
fn a_private_key_and_a_certificate_of_two_pairs_are_refused() {
    for variable in ["PAYGATE_WXPAY_CERT", "PAYGATE_ALIPAY_APP_CERT"] {
        let holder = HOLDERS.iter().find(|holder| holder.variable == variable).unwrap();
        for reason in reasons(holder, PROVIDER.cert_pem.as_bytes()) {
            let words = "is not the private key's certificate: set the two that were made together";
            assert_eq!(reason.as_deref(), Some(words), "{variable}");
        }
    }
}

#[test]
fn a_variable_for_a_files_path_that_holds_the_key_itself_is_named() {
    for text in [SHOP.private_pem.clone(), armour_less(&SHOP.private_pem)] {
        let variables =
            live(&[("PAYGATE_WXPAY_PRIVATE_KEY", ""), ("PAYGATE_WXPAY_PRIVATE_KEY_FILE", &text)]);
        let words = "PAYGATE_WXPAY_PRIVATE_KEY_FILE holds the text, not a path: set \
                     PAYGATE_WXPAY_PRIVATE_KEY";
        super::kit::refused(&variables, "PAYGATE_WXPAY_PRIVATE_KEY", words);
    }
}

#[test]
fn a_secret_in_a_file_that_windows_wrote_in_utf16_is_named() {
    let text: Vec<u8> = "x".repeat(40).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let token = file(&text);
    let path = token.path().to_str().unwrap();
    let variables = live(&[("PAYGATE_CALLER_TOKEN", ""), ("PAYGATE_CALLER_TOKEN_FILE", path)]);
    super::kit::refused(&variables, "PAYGATE_CALLER_TOKEN", "is in UTF-16: save it as UTF-8");
}

/// How a key that OpenSSL encrypted begins.
const OLD_ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
    DEK-Info: AES-128-CBC,5D1E0A4F9A7C2B3D5D1E0A4F9A7C2B3D\n\n";

/// `openssl pkcs8 -topk8` with a password, of a key that is used nowhere.
const ENCRYPTED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhEHQqthRFYSAICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEJGGju9eqy8c0EPsZhqBDSYEgZBn\n\
R7drI05oRqgmbAttSznnDYYGPcE5CZ8FrNnF9CdnvgavVk7XdbgFFvYt5H4mJUdl\n\
Q7/BQwzLZxpw/TVAV6oaKdDrsyhJdDcsVuoyrGu65+gkT0bw7Ao7b9L4jg939RSs\n\
oewIdGasLViF2R4tSyIQggvSh2LkFeSpzHP3N8v1kzsUqbAE/D8hFwAN3kWLJ4o=\n\
-----END ENCRYPTED PRIVATE KEY-----\n\
";

/// `openssl pkcs12 -export`, likewise.
const P12: &str = "\
MIID/AIBAzCCA7IGCSqGSIb3DQEHAaCCA6MEggOfMIIDmzCCAlIGCSqGSIb3DQEHBqCCAkMwggI/AgEAMIICOAYJ\
KoZIhvcNAQcBMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhO4vptCo9EIQICCAAwDAYIKoZIhvcNAgkF\
ADAdBglghkgBZQMEASoEEGNBNHNbBN1LmSnaTAh2tyCAggHQSY3jTTe69qUYg8I/VsFjomkO8SYM1abrWeeomXYk\
BaUBs3Yna1Svzd/9LuB20ac+rPx+dJCxiio5m7fohRFL6axOM7JK4Ry7hqgAXeLo+vmbk5sZ3E4yIb99/23mDKlS\
B2v6By2WQ9EyceUNXqYtl9n+XmrnpqZlKlkiLKU1qwEc7+FEX4ApfQyiEuF/r1Z5zBXACcCTPzpelZ+h3SafCCCg\
uKCbDOLqlwHqFb4UfKqczLr7suflCQ3ZO6108MOjTbZNlJpqrRCvgbqX+eUjpB3dsTmjdUq1634PcHN+GGTZEq/X\
5Cg5Lqp4RWSufr/AYi7d5LQS+SSDKhoMvTNHoMCF1vBBtKFZaJBRHXOBTLnXsfLt5nJrT+CH0Wi/XIe4ZhZrrR6H\
Oy3g8SP79oCvwgWfpdMCt6PKj0Z3e4rM1d0wG341XsJLTmg+i2TWUcNSA00qMq1HzivYr9fAi3lfJ6+2RCbCsERS\
+U62ys2t2jWBEJUWKRW6HyhOD261Jw3n8CUIuxFALlGuEBvgfq1g5GNhCVQyWnVvfeJ7b2l4GOvb9OjVY6/dDYAG\
IKxMMpm+/CeOT0euaFPj8Hj+mPIM/MaBihkWjW+e7pcsvGOODaIwggFBBgkqhkiG9w0BBwGgggEyBIIBLjCCASow\
ggEmBgsqhkiG9w0BDAoBAqCB7zCB7DBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQwwHAQIZMko15Lh1oQCAggA\
MAwGCCqGSIb3DQIJBQAwHQYJYIZIAWUDBAEqBBCmrEETo59LJfmOlFDUdz1SBIGQMMdJGk7K176RT8M2jH8uEzt/\
RsS24AGasTQ0cGRYukk0BXjtw9AaRBRidxdWzKTbb1WB5HAzp09kMZnZq76bFxgf2lsnYQ8GGdNFaxA+A465bM0G\
j9YNKgKi3/EdQnUW0KBFt57lzG2zPanEexRKzLKDmtSxhn7KXnK3PR0Icpp0ZHOn8xcHu9dFw1XoxFxfMSUwIwYJ\
KoZIhvcNAQkVMRYEFF8Ev2sZ4MEJWAj4UtHrEb6MwmYtMEEwMTANBglghkgBZQMEAgEFAAQgSIB6H1KwAhk9/E3B\
08WZ6iFggvifepvkhkjZjpkCvy4ECHthxt4QJ0ePAgIIAA==\
";
