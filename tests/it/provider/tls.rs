//! Whom the wire talks to: who shows a certificate that the machine's roots vouch for, for this
//! host and at this time.

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::Request;
use paygate::provider::{Http, Transport, TransportFailure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::TransportResult;

/// Long enough never to end a test's request.
const LONG: Duration = Duration::from_secs(60);

/// A server's certificate and its key.
struct Shown {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

fn root() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "The root of these tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn params_for(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

fn by(issuer: &KeyPair, params: &CertificateParams) -> Shown {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &Issuer::from_params(&root(), issuer)).unwrap();
    Shown { certificate, key }
}

fn self_signed(params: &CertificateParams) -> Shown {
    let key = KeyPair::generate().unwrap();
    Shown { certificate: params.self_signed(&key).unwrap(), key }
}

/// What the wire makes of a server at `host` that shows a certificate, and what the server read
/// of its request.
async fn sent_to(host: &str, shown: &Shown) -> (TransportResult, String) {
    let chain = vec![shown.certificate.der().clone()];
    let key = PrivateKeyDer::try_from(shown.key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Mutex::new(String::new());
    let server = async {
        let mut held = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            heard.lock().unwrap().push_str(&String::from_utf8_lossy(&head));
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            held.push(stream);
        }
    };
    let uri = format!("https://{host}:{port}/v3/certificates");
    let request = Request::get(uri).body(Bytes::new()).unwrap();
    let http = Http::new();
    let result = match select(pin!(server), http.send(request, LONG)).await {
        Either::Left(_) => unreachable!("the server never ends"),
        Either::Right((result, _)) => result,
    };
    (result, heard.into_inner().unwrap())
}

async fn check_refused(what: &str, host: &str, shown: &Shown) {
    let (result, heard) = sent_to(host, shown).await;
    assert!(matches!(result, Err(TransportFailure::NotSent(_))), "{what}: {result:?}");
    assert_eq!(heard, "", "{what}: something was sent");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_sent_nothing() {
    check_refused("self-signed", "localhost", &self_signed(&params_for("localhost"))).await;
    let unknown = KeyPair::generate().unwrap();
    check_refused("an unknown root", "localhost", &by(&unknown, &params_for("localhost"))).await;
}

/// The process's roots are those of the machine, so this test runs itself in another process that
/// trusts the tests' own root: only there does a refusal come of the host or the time, and only
/// there is somebody trusted.
#[tokio::test]
async fn a_certificate_is_trusted_for_its_issuer_its_host_and_its_time_alone() {
    if let Ok(key) = std::fs::read_to_string(ROOT_KEY) {
        return check_where_one_root_is_trusted(&KeyPair::from_pem(&key).unwrap()).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    std::fs::write(dir.path().join(ROOT_KEY), key.serialize_pem()).unwrap();
    std::fs::write(dir.path().join("root.pem"), root().self_signed(&key).unwrap().pem()).unwrap();
    let name = "a_certificate_is_trusted_for_its_issuer_its_host_and_its_time_alone";
    let output = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("provider::tls::{name}")])
        .current_dir(dir.path())
        .env("SSL_CERT_FILE", dir.path().join("root.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    assert!(dir.path().join(RAN).exists(), "it was run to its end");
}

async fn check_where_one_root_is_trusted(root: &KeyPair) {
    let good = by(root, &params_for("localhost"));
    let (result, heard) = sent_to("localhost", &good).await;
    assert_eq!(result.unwrap().status(), 204);
    assert!(heard.starts_with("GET /v3/certificates HTTP/1.1\r\n"), "{heard}");

    check_refused("another host", "127.0.0.1", &good).await;
    let params = params_for("api.mch.weixin.qq.com");
    check_refused("another name", "localhost", &by(root, &params)).await;
    let mut params = params_for("localhost");
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    check_refused("expired", "localhost", &by(root, &params)).await;
    let mut params = params_for("localhost");
    params.not_before = rcgen::date_time_ymd(3000, 1, 1);
    check_refused("not yet valid", "localhost", &by(root, &params)).await;
    check_refused("self-signed", "localhost", &self_signed(&params_for("localhost"))).await;
    let other = by(&KeyPair::generate().unwrap(), &params_for("localhost"));
    check_refused("another root of the same name", "localhost", &other).await;
    std::fs::write(RAN, "").unwrap();
}

#[test]
fn no_switch_makes_a_certificate_not_matter() {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        for word in ["danger_accept", "tls_danger", "dangerous()", "with_custom_certificate"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
        read += usize::from(text.contains("Client::builder"));
    }
    assert!(read > 0, "the client is built in one of them");
}

/// In the working directory of the other process: whose root it trusts.
const ROOT_KEY: &str = "root-of-paygates-tests.key";

/// What the other process leaves behind.
const RAN: &str = "ran";
