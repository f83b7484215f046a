//! The commands of README and of the manual, run as they stand there, against the real program.
//!
//! Each document has a shell of its own. `cargo run` and `paygate` are the program that Cargo has
//! built, in mock mode; addresses are on free ports. Where a document shows an answer after a
//! command, the command must print it; `…` in a text stands for anything.

use std::fs;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Deserializer, Value};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::blocks::{CodeBlock, documents, shell_blocks};
use super::{HANGS, PROGRAM};

#[tokio::test]
async fn the_commands_of_readme_and_the_manual_do_what_stands_there() {
    for tool in ["curl", "node", "openssl"] {
        let version = Command::new(tool).arg("version").arg("--version").output().await;
        if version.is_err() {
            println!("skipped: {tool} is not on the PATH");
            return;
        }
    }
    let mut walked = 0;
    for (path, text) in documents() {
        let blocks = shell_blocks(&text);
        if !blocks.is_empty() {
            Walk::new(&text).run(&path, &blocks).await;
            walked += blocks.len();
        }
    }
    assert!(walked > 20, "only {walked} blocks were found");
}

/// A directory with what the commands need.
struct Walk {
    home: TempDir,
    /// The addresses in the documents, and the ones in their place.
    addresses: Vec<(&'static str, String)>,
    /// Whether the document starts the program by itself.
    starts: bool,
}

impl Walk {
    fn new(document: &str) -> Walk {
        let home = TempDir::new().unwrap();
        let listeners: Vec<_> =
            PORTS.iter().map(|_| StdTcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports = listeners.iter().map(|it| it.local_addr().unwrap().to_string());
        let addresses: Vec<_> = PORTS.into_iter().zip(ports).collect();
        let starts = document.contains("cargo run");
        let walk = Walk { home, addresses, starts };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::create_dir_all(walk.path("bin")).unwrap();
        fs::create_dir_all(walk.path("examples")).unwrap();
        fs::create_dir_all(walk.path("tests")).unwrap();
        let environment = fs::read_to_string(root.join("examples/sidecar.env")).unwrap();
        fs::write(walk.path("examples/sidecar.env"), walk.moved(&environment)).unwrap();
        let (shop, link) = (root.join("examples/node-shop"), walk.path("examples/node-shop"));
        std::os::unix::fs::symlink(shop, link).unwrap();
        for (name, script) in
            [("bin/paygate", START), ("bin/cargo", CARGO), ("bin/node", NODE), ("tests/run", RUN)]
        {
            let script = walk.moved(&script.replace("PAYGATE_PROGRAM", PROGRAM));
            fs::write(walk.path(name), script).unwrap();
            fs::set_permissions(walk.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        walk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// `text` with this walk's addresses.
    fn moved(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// Runs the blocks in one shell, and compares what they print.
    async fn run(&self, path: &str, blocks: &[(CodeBlock, Option<CodeBlock>)]) {
        let mut script = String::from(PRELUDE);
        if !self.starts {
            script += "PAYGATE_MODE=mock paygate\n";
            script += ORDER;
        }
        for (n, (block, _)) in blocks.iter().enumerate() {
            // A program that serves leaves its shell when it is ready, in front or not.
            let commands = block.text.replace(" run &\n", " run\n").replace(".mjs &\n", ".mjs\n");
            fs::write(self.path(&format!("{n}.sh")), self.moved(&commands)).unwrap();
            script += &format!(". ./{n}.sh >{n}.out 2>{n}.err || touch {n}.failed\n");
        }
        fs::write(self.path("walk.sh"), self.moved(&script)).unwrap();
        let mut shell = Command::new("bash");
        shell.arg("walk.sh").current_dir(self.home.path()).kill_on_drop(true);
        shell.env_clear().envs([("HOME", self.home.path())]);
        let paths = [&*self.path("bin").to_string_lossy(), &searched_path()].join(":");
        shell.env("PATH", paths).env("PORT", self.addresses[3].1.rsplit(':').next().unwrap());
        for (variable, (_, address)) in VARIABLES.into_iter().zip(&self.addresses) {
            shell.env(variable, address);
        }
        let output = shell.stdin(Stdio::null()).output();
        let output = timeout(HANGS, output).await.expect("the commands end").unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{path}: {stderr}");
        for (n, (block, answer)) in blocks.iter().enumerate() {
            let at = format!("{path}:{}", block.line);
            let err = fs::read_to_string(self.path(&format!("{n}.err"))).unwrap();
            assert!(!self.path(&format!("{n}.failed")).exists(), "{at} failed: {err}");
            let out = fs::read_to_string(self.path(&format!("{n}.out"))).unwrap();
            let answer = answer.as_ref().map(|block| self.moved(&block.text));
            check(&at, &out, answer.as_deref());
        }
    }
}

/// Asserts that a block printed its answer; a block without one prints no refusal.
fn check(at: &str, out: &str, answer: Option<&str>) {
    let bodies = out.split("\r\n\r\n").flat_map(|part| {
        let json = part.find(['{', '[']).map_or("", |start| &part[start..]);
        Deserializer::from_str(json).into_iter::<Value>().map_while(Result::ok).collect::<Vec<_>>()
    });
    let printed: Vec<Value> = bodies.collect();
    let Some(answer) = answer else {
        let refused = printed.iter().find(|it| it.get("error").is_some());
        return assert_eq!(refused, None, "{at}: {out}");
    };
    let expected: Value = serde_json::from_str(answer)
        .unwrap_or_else(|error| panic!("{at}: its answer is no JSON: {error}\n{answer}"));
    let last = printed.last().unwrap_or_else(|| panic!("{at} printed no JSON: {out}"));
    assert!(fits(&expected, last), "{at}\n  expected: {expected}\n   printed: {last}");
}

/// Whether `actual` is what a document shows: `…` stands for any text, and as the last item of a
/// list for any more items.
fn fits(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            expected.len() == actual.len()
                && expected
                    .iter()
                    .all(|(name, value)| actual.get(name).is_some_and(|it| fits(value, it)))
        }
        (Value::Array(expected), Value::Array(actual)) => match expected.split_last() {
            Some((Value::String(more), first)) if more == "…" => {
                first.len() <= actual.len() && first.iter().zip(actual).all(|(a, b)| fits(a, b))
            }
            _ => {
                expected.len() == actual.len()
                    && expected.iter().zip(actual).all(|(a, b)| fits(a, b))
            }
        },
        (Value::String(expected), Value::String(actual)) => is_like(expected, actual),
        _ => expected == actual,
    }
}

fn is_like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('…') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    rest.is_empty() || (0..=text.len()).any(|n| text.get(n..).is_some_and(|it| is_like(rest, it)))
}

#[test]
fn an_ellipsis_stands_for_any_text_and_nothing_else_does() {
    let fits = |expected: &str, actual: &str| {
        let parsed = |text| serde_json::from_str::<Value>(text).unwrap();
        fits(&parsed(expected), &parsed(actual))
    };
    assert!(fits(r#"{"a":"x…z","b":[1,"…"]}"#, r#"{"b":[1,2,{}],"a":"xyz"}"#));
    assert!(!fits(r#"{"a":"…"}"#, r#"{"a":1}"#) && !fits(r#"{"a":"…"}"#, r#"{"a":"","b":1}"#));
    assert!(!fits("[1]", "[1,2]") && !fits(r#""x…z""#, r#""xy""#) && !fits("1", "2"));
}

#[expect(clippy::disallowed_methods, reason = "the commands use the tools of this machine")]
fn searched_path() -> String {
    std::env::var("PATH").unwrap()
}

/// The addresses in the documents: of payments, admin operations, the simulated providers and the
/// shop.
const PORTS: [&str; 4] = ["127.0.0.1:8787", "127.0.0.1:8788", "127.0.0.1:8789", "127.0.0.1:3000"];

const VARIABLES: [&str; 3] = ["PAYGATE_LISTEN", "PAYGATE_ADMIN_LISTEN", "PAYGATE_MOCK_LISTEN"];

const PRELUDE: &str = "\
curl() { command curl -sS \"$@\"; }
trap 'kill $(cat *.pid) 2>/dev/null' EXIT
";

/// README's first order, for the documents that go on from there.
const ORDER: &str = r#"
curl http://127.0.0.1:8787/pay/createPayment -H 'content-type: application/json' -d '{
  "provider": "wxpay", "isPC": true,
  "data": {"out_trade_no": "2107151010101541001", "total_fee": 1, "subject": "tea", "type": "goods"}
}' >order.out
"#;

/// Starts the program and waits until it serves; any other command runs as it is.
const START: &str = r#"#!/bin/sh
case "$*" in
'' | serve) ;;
# The reader stops it before.
'mock --reset')
  kill "$(cat paygate.pid)"
  while kill -0 "$(cat paygate.pid)" 2>/dev/null; do sleep 0.05; done
  exec 'PAYGATE_PROGRAM' "$@" ;;
*) exec 'PAYGATE_PROGRAM' "$@" ;;
esac
# A document that repeats itself in another language starts it once.
[ -e paygate.pid ] && kill -0 "$(cat paygate.pid)" && exit 0
PAYGATE_LOG_FORMAT=json 'PAYGATE_PROGRAM' >paygate.log 2>&1 &
echo $! >paygate.pid
until grep -qs 'serving health and admin' paygate.log; do
  kill -0 "$(cat paygate.pid)" 2>/dev/null || { cat paygate.log >&2; exit 1; }
  sleep 0.05
done
# No refund ends between two commands.
exec curl -sS http://127.0.0.1:8789/_mock/refunding -H 'content-type: application/json' \
  -d '{"takes_ms": 3600000}'
"#;

/// What Cargo would build is built, and its tests cannot run inside of one.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
run) shift; while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done; [ $# -gt 0 ] && shift
  exec paygate "$@" ;;
build | test) ;;
*) echo "cargo $1 does not run here" >&2; exit 1 ;;
esac
"#;

/// Starts a server and waits until it serves.
const NODE: &str = r#"#!/bin/sh
PATH=${PATH#*:}
case "$1" in *server.mjs) ;; *) exec node "$@" ;; esac
node "$@" >node.log 2>&1 &
echo $! >node.pid
until grep -qs 'shop on' node.log; do
  kill -0 "$(cat node.pid)" 2>/dev/null || { cat node.log >&2; exit 1; }
  sleep 0.05
done
"#;

/// All tests, which cannot run inside of one.
const RUN: &str = "#!/bin/sh\n";
