//! Logs on standard error: text for a person, JSON for a machine.
//!
//! Clients' texts reach a log only as fields, and both formats escape a field's control characters:
//! no client can forge a line or move a cursor.
//!
//! A thread of its own writes the lines. When nobody reads them, they are dropped and counted:
//! nothing that logs waits.

pub(super) mod fields;
mod json_line;
mod queue;

use std::fmt;
use std::io::{self, IsTerminal, Write as _, stderr};
use std::panic;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::dispatcher::{SetGlobalDefaultError, set_global_default};
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use self::fields::LogFields;
use self::json_line::JsonLine;
use self::queue::LogQueue;
use crate::clock::{Clock as _, SystemClock};
use crate::config::LogFormat;

/// Something else that takes the process's logs, by a filter of its own.
pub type OtherLogs = Box<dyn Layer<Registry> + Send + Sync>;

/// Sends the process's logs to standard error, those that `filter` lets pass (`info`,
/// `paygate=debug,hyper=warn`), and to `other`.
///
/// # Errors
///
/// [`TelemetryError`] for an invalid filter, or for a process that already has a logger.
pub fn init(
    filter: &str,
    format: LogFormat,
    other: Option<OtherLogs>,
) -> Result<(), TelemetryError> {
    let terminal = stderr().is_terminal();
    let format = match format {
        LogFormat::Auto if terminal => LogFormat::Text,
        LogFormat::Auto => LogFormat::Json,
        given => given,
    };
    let queue = queue().map_err(TelemetryError::Thread)?;
    let lines = lines(filter, format, terminal, queue.clone())?;
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(other).with(lines));
    set_global_default(dispatch).map_err(TelemetryError::Taken)?;
    // Nobody else sets it.
    let _ = FORMAT.set(format);
    // The other hook writes to standard error, and waits for its reader.
    panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread panicked")));
    Ok(())
}

/// The form of the lines, once the process has a log.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// The lines of this process on their way to standard error.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// The queue, which starts with its first user.
fn queue() -> io::Result<&'static LogQueue> {
    if let Some(queue) = QUEUE.get() {
        return Ok(queue);
    }
    let report = |dropped| tracing::warn!(dropped, "standard error was not read: lines are lost");
    let queue = LogQueue::start(stderr(), report)?;
    Ok(QUEUE.get_or_init(|| queue))
}

/// How long the end of the process waits for the reader of its log.
const FLUSH: Duration = Duration::from_secs(1);

/// Waits until the log is written, as long as its reader reads.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH);
    }
}

/// How many lines were dropped because nobody read them.
#[must_use]
pub fn lines_dropped() -> u64 {
    QUEUE.get().map_or(0, LogQueue::lines_dropped)
}

/// Writes why the program ends to standard error, as its log has lines: as text, or as a line of
/// JSON. Call [`flush`] before the end.
pub fn print_exit(code: u8, reason: &str) {
    if FORMAT.get() != Some(&LogFormat::Json) {
        return print_error(&format!("paygate: {reason}\n"));
    }
    let mut line = LogFields::default();
    line.add("timestamp", SystemClock.now().to_rfc3339().into());
    line.add("level", "ERROR".into());
    line.add("target", "paygate".into());
    line.add("message", EXITS.into());
    line.add("code", code.into());
    line.add("reason", reason.into());
    print_error(&format!("{}\n", line.to_json()));
}

/// The line about the end of a program that fails.
pub(super) const EXITS: &str = "paygate exits";

/// Writes a text to standard error, after the lines of the log. Call [`flush`] before the end.
pub fn print_error(text: &str) {
    match queue() {
        Ok(queue) => queue.add(text.as_bytes()),
        // The reader of standard error may be gone: the exit code remains.
        Err(_) => drop(stderr().write_all(text.as_bytes())),
    }
}

/// Checks a log filter.
///
/// # Errors
///
/// [`TelemetryError::Filter`] names the invalid part.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<Targets, TelemetryError> {
    filter.parse().map_err(TelemetryError::Filter)
}

/// The lines of the log, as text or JSON.
fn lines<S, W>(
    filter: &str,
    format: LogFormat,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Layer<S> + Send + Sync>, TelemetryError>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let targets = parse(filter)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // A line that cannot be written is lost. Reporting that on standard error, which cannot be
        // written, would panic the task that logs.
        .log_internal_errors(false);
    Ok(match format {
        LogFormat::Json => {
            let lines = lines.fmt_fields(JsonFields::new()).event_format(JsonLine);
            Box::new(lines.with_filter(targets))
        }
        LogFormat::Auto | LogFormat::Text => {
            Box::new(lines.with_ansi(colours).with_filter(targets))
        }
    })
}

/// The reason why the process has no logs.
#[derive(Debug)]
pub enum TelemetryError {
    /// The filter is invalid.
    Filter(ParseError),
    /// The process already has a logger.
    Taken(SetGlobalDefaultError),
    /// The thread that writes the log did not start.
    Thread(io::Error),
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TelemetryError::Filter(error) => write!(f, "invalid log filter: {error}"),
            TelemetryError::Taken(error) => error.fmt(f),
            TelemetryError::Thread(error) => write!(f, "no log is written: {error}"),
        }
    }
}

impl std::error::Error for TelemetryError {}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::field::Empty;

    use super::*;

    #[derive(Clone, Default)]
    struct Sheet(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sheet {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while `work` is done.
    fn logged_of(format: LogFormat, work: impl FnOnce()) -> String {
        let sheet = Sheet::default();
        let writer = sheet.clone();
        let lines = lines("info", format, false, move || writer.clone()).unwrap();
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(lines));
        tracing::dispatcher::with_default(&dispatch, work);
        let bytes = sheet.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// The line of one event that has a client's text.
    fn logged(format: LogFormat) -> String {
        logged_of(format, || {
            let user_agent = "a\r\nb\u{1b}[2Jc\u{7}";
            tracing::info!(user_agent, "seen");
            tracing::debug!("not seen");
        })
    }

    #[test]
    fn a_line_names_its_order_and_its_request_and_has_no_key_twice() {
        let work = || {
            let request = tracing::error_span!("request", requestId = "r-1", operation = "refund");
            let _request = request.entered();
            let order = tracing::error_span!("order", out_trade_no = "o-1", provider = Empty);
            order.record("provider", "wxpay");
            let _order = order.entered();
            tracing::info!(
                out_trade_no = "o-2",
                n = 3,
                fee = 5_u64,
                is_paid = true,
                level = "mine",
                "paid"
            );
            tracing::info!("twice");
        };
        let text = logged_of(LogFormat::Json, work);
        let lines: Vec<&str> = text.lines().collect();
        let ours = |line: &str| {
            let at = line.find(r#""target""#).unwrap();
            line[at..].to_owned()
        };
        let target = r#""target":"paygate::sidecar::telemetry::tests""#;
        assert_eq!(
            ours(lines[0]),
            format!(
                r#"{target},"message":"paid","out_trade_no":"o-2","n":3,"fee":5,"is_paid":true,"provider":"wxpay","operation":"refund","requestId":"r-1"}}"#
            )
        );
        assert!(lines[1].contains(r#""out_trade_no":"o-1""#), "{text}");
        assert_eq!(lines[0].matches(r#""level""#).count(), 1, "{text}");
        let text = logged_of(LogFormat::Text, work);
        assert!(text.contains(r#"request{requestId="r-1" operation="refund"}:order{"#), "{text}");
    }

    #[test]
    fn a_client_can_neither_forge_a_line_nor_move_the_cursor() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = logged(format);
            let line = line.strip_suffix('\n').unwrap();
            assert!(!line.contains(char::is_control), "{line:?}");
            assert!(line.contains("seen") && !line.contains("not seen"), "{line:?}");
        }
        let object: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!(object["user_agent"], "a\r\nb\u{1b}[2Jc\u{7}");
        assert_eq!(object["level"], "INFO");
    }

    #[test]
    fn an_invalid_filter_is_an_error() {
        assert!(check_filter("info,paygate=debug").is_ok());
        assert!(check_filter("paygate=loud").is_err());
    }
}
