//! `NAME_FILE`: reading, trimming, problems and warnings; and the accepted forms of keys.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use paygate::Secret;
use paygate::config::{Config, PricingChoice};
use tempfile::TempDir;

use super::kit::{
    PROVIDER, SHOP, SHORT_KEY, TOKEN, live, live_alipay, mock, problems, refused, with,
};

fn file(folder: &TempDir, name: &str, contents: &[u8]) -> String {
    let path = folder.path().join(name);
    fs::write(&path, contents).expect("a temporary file");
    set_mode(&path, 0o600);
    path.to_str().expect("a temporary file").to_owned()
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a temporary file");
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

/// Live mode whose caller token is read from `path`.
fn token_from(path: &str) -> super::kit::Vars {
    live(&[("PAYGATE_CALLER_TOKEN", ""), ("PAYGATE_CALLER_TOKEN_FILE", path)])
}

#[test]
fn a_line_break_at_the_end_of_a_secret_file_is_not_a_part_of_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["", "\n", "\r\n", " \n"] {
        let path = file(&folder, "token", format!("\u{feff}{TOKEN}{ending}").as_bytes());
        let config = Config::read(&token_from(&path)).unwrap();
        assert_eq!(config.pricing, PricingChoice::CallerToken(Secret::new(TOKEN)));
        assert!(config.describe().contains(&format!("(file {path})")));
        assert!(!config.describe().contains("canary"));
    }
}

#[test]
fn an_empty_unreadable_or_endless_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = file(&folder, "empty", b"");
    let blank = file(&folder, "blank", b" \r\n\n");
    let large = file(&folder, "large", &vec![b'x'; (1 << 20) + 1]);
    let broken = file(&folder, "broken", b"\xe4\xbd\xffcanary");
    let lines = file(&folder, "lines", format!("{TOKEN}\n{TOKEN}\n").as_bytes());
    let missing = folder.path().join("canary").to_str().unwrap().to_owned();
    for (path, words) in [
        (empty.as_str(), "is empty"),
        (&blank, "is empty"),
        (&large, "is larger than 1024 KiB"),
        (&broken, "is not UTF-8"),
        (&lines, "holds a line break"),
        (&missing, "cannot be read"),
        (folder.path().to_str().unwrap(), "is not a regular file"),
    ] {
        refused(&token_from(path), "PAYGATE_CALLER_TOKEN", words);
        assert!(!problems(&token_from(path)).to_string().contains("canary"));
    }
}

#[cfg(unix)]
#[test]
fn symlinks_are_followed_loops_and_pipes_are_refused() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let join = |name: &str| -> PathBuf { folder.path().join(name) };
    symlink(file(&folder, "token", TOKEN.as_bytes()), join("link")).unwrap();
    Config::read(&token_from(join("link").to_str().unwrap())).unwrap();
    symlink(join("one"), join("other")).unwrap();
    symlink(join("other"), join("one")).unwrap();
    refused(&token_from(join("one").to_str().unwrap()), "PAYGATE_CALLER_TOKEN", "cannot be read");
    refused(&token_from("/dev/zero"), "PAYGATE_CALLER_TOKEN", "is not a regular file");
}

#[cfg(unix)]
#[test]
fn a_secret_that_others_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "token", TOKEN.as_bytes());
    let warned = |mode| {
        set_mode(Path::new(&path), mode);
        let warnings = Config::read(&token_from(&path)).unwrap().warnings;
        warnings.iter().any(|it| it.contains("PAYGATE_CALLER_TOKEN_FILE"))
    };
    assert!(!warned(0o600));
    assert!(!warned(0o640));
    assert!(warned(0o644));
}

#[test]
fn a_variable_and_its_file_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "token", TOKEN.as_bytes());
    let vars = live(&[("PAYGATE_CALLER_TOKEN_FILE", &path)]);
    refused(&vars, "PAYGATE_CALLER_TOKEN", "is set twice");
}

#[cfg(feature = "mock")]
#[test]
fn the_store_also_reads_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "store", b"memory:\n");
    let config = Config::read(&mock(&[("PAYGATE_STORE_FILE", &path)])).unwrap();
    assert_eq!(config.store, paygate::config::StoreChoice::Memory);
}

#[test]
fn keys_and_certificates_come_in_every_usual_form() {
    let folder = tempfile::tempdir().unwrap();
    let forms = |name: &str, pem: &str, der: &[u8]| {
        let base64 = STANDARD.encode(der);
        let broken_base64: Vec<&str> =
            base64.as_bytes().chunks(64).map(|it| std::str::from_utf8(it).unwrap()).collect();
        let written_out = pem.trim_end().replace('\n', "\\n");
        let in_file = format!("{name}_FILE");
        vec![
            with(&[(name, pem)]),
            with(&[(name, &written_out)]),
            with(&[(name, &base64)]),
            with(&[(name, &broken_base64.join("\n"))]),
            with(&[(&in_file, &file(&folder, "key.der", der))]),
            with(&[(&in_file, &file(&folder, "key.pem", pem.replace('\n', "\r\n").as_bytes()))]),
        ]
    };
    let serial = ("PAYGATE_WXPAY_SERIAL_NO", "");
    for (name, pem, der) in [
        ("PAYGATE_WXPAY_PRIVATE_KEY", &SHOP.private_pem, &SHOP.private_der),
        ("PAYGATE_WXPAY_CERT", &SHOP.cert_pem, &SHOP.cert_der),
    ] {
        for form in forms(name, pem, der) {
            let off = if name.ends_with("CERT") { serial } else { (name, "") };
            let mut vars = live(&[off]);
            vars.extend(form);
            let config = Config::read(&vars).unwrap_or_else(|it| panic!("{it}"));
            let app = config.merchants[0].wxpay.as_ref().unwrap().apps.values().next().unwrap();
            assert_eq!(app.account.signing.sign(b"x").len(), 344);
        }
    }
}

#[test]
fn a_key_under_2048_bits_is_refused() {
    let words = "has 1024 bits; at least 2048 are required";
    let vars = live(&[("PAYGATE_WXPAY_PRIVATE_KEY", SHORT_KEY)]);
    refused(&vars, "PAYGATE_WXPAY_PRIVATE_KEY", words);
    let vars = live_alipay(&[("PAYGATE_ALIPAY_PRIVATE_KEY", SHORT_KEY)]);
    refused(&vars, "PAYGATE_ALIPAY_PRIVATE_KEY", words);
}

#[test]
fn a_certificate_belongs_to_its_private_key() {
    let of_another = ("PAYGATE_WXPAY_CERT", PROVIDER.cert_pem.as_str());
    let vars = live(&[of_another, ("PAYGATE_WXPAY_SERIAL_NO", "")]);
    refused(&vars, "PAYGATE_WXPAY_CERT", "is not the private key's certificate");
    let vars = live(&[("PAYGATE_WXPAY_CERT", &SHOP.cert_pem)]);
    refused(&vars, "PAYGATE_WXPAY_SERIAL_NO", "is not the certificate's serial number");
}
