//! The program: it reads the configuration or exits with 64, runs one command, drains, and exits
//! with a code of sysexits.h.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use paygate::config::Config;
use paygate::engine::Engine;
use paygate::mock::{DEFAULT_TIME_SCALE, Mock, MockConfig, client_environment};
use paygate::sidecar::admin::{Admin, AdminParts};
use paygate::sidecar::limit_counters::LimitCounters;
use paygate::sidecar::proxy::{Proxy, Upstream};
use paygate::sidecar::server::{Limits, ProcessMark};
use paygate::sidecar::{
    Listeners, PeerAddr, ShutdownWatch, Sidecar, chapters, descriptors, health, help_text, schema,
    shutdown_channel, shutdown_signal, telemetry,
};
use paygate::store::{Backup, Restored};
use paygate::{AssembleError, SystemClock, config};
use tower_layer::Layer;

#[derive(Parser)]
#[command(version, disable_help_subcommand = true, override_help = help_text())]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Serve,
    Check,
    Mock {
        #[arg(long, conflicts_with = "print_env")]
        reset: bool,
        #[arg(long)]
        print_env: bool,
    },
    Backup {
        file: PathBuf,
    },
    Restore {
        file: PathBuf,
    },
    Schema {
        name: Option<String>,
    },
    Health,
    Help {
        chapter: Option<String>,
    },
}

fn main() -> ExitCode {
    // A panic ends the program, too: its message waits in the log's queue.
    let exit = panic::catch_unwind(run).unwrap_or(ExitCode::from(Exit::Internal as u8));
    telemetry::flush();
    exit
}

/// Runs the command of the arguments.
fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            telemetry::print_error(&error.render().to_string());
            return ExitCode::from(Exit::Configuration as u8);
        }
        Err(help) => {
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit_code(Err((Exit::Internal, error.to_string()))),
    };
    runtime.block_on(async {
        match arguments.command.unwrap_or(Command::Serve) {
            Command::Serve => exit_code(Box::pin(serve()).await),
            Command::Check => exit_code(check()),
            Command::Mock { reset: true, .. } => exit_code(reset_mock()),
            Command::Mock { print_env: true, .. } => exit_code(print_mock_environment()),
            Command::Mock { .. } => exit_code(mock().await),
            Command::Backup { file } => exit_code(back_up(&file)),
            Command::Restore { file } => exit_code(restore(&file)),
            Command::Schema { name } => exit_code(print_schema(name.as_deref())),
            Command::Health => check_health().await,
            Command::Help { chapter } => exit_code(print_chapter(chapter.as_deref())),
        }
    })
}

/// Serves until a signal comes, then drains.
async fn serve() -> CommandResult {
    let mut config = Config::from_env().map_err(misconfigured)?;
    telemetry::init(&config.log, config.log_format).map_err(misconfigured)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let upstream =
        config.upstream.as_ref().map(Upstream::from_url).transpose().map_err(misconfigured)?;
    let listeners =
        Listeners::bind(config.listen, config.admin_listen).await.map_err(unavailable)?;
    // Where port 0 is configured, the simulated providers notify at the port that is bound.
    config.listen = listeners.public_addr().map_err(internal)?;
    let signal = shutdown_signal().map_err(internal)?;
    let (engine, payments) = config.start().await.map_err(not_started)?;
    let payments =
        payments.peer_addr(|parts| parts.extensions.get::<PeerAddr>().map(|peer| peer.0));
    let (limits, mark) = (limits(&config), ProcessMark::random());
    let trusted = config.trusted_proxies.clone();
    let proxy = Proxy::new(upstream, trusted, limits.clone(), mark.clone());
    let (trigger, stopping) = shutdown_channel();
    let admin = admin(&config, &engine, stopping.clone(), limits.counters.clone());
    let payments = payments.layer(proxy);
    let grace = config.shutdown_grace;
    let sidecar = Sidecar { listeners, payments, admin, limits, mark, grace };
    let signal = async {
        signal.await;
        engine.stop_waiting();
    };
    sidecar.run(signal, trigger, stopping).await;
    engine.shutdown().await;
    Ok(())
}

/// The limits of the configuration, and of the file descriptors that the process may have.
fn limits(config: &Config) -> Limits {
    let edge = &config.edge;
    let connections = descriptors::connections(descriptors::raise_limit(), edge.connections_max);
    if connections < edge.connections_max {
        tracing::info!(connections, "the limit of file descriptors allows fewer connections");
    }
    Limits {
        head: edge.head_timeout,
        idle: edge.idle_timeout,
        stall: edge.stall_timeout,
        body_rate: u64::try_from(edge.body_rate).unwrap_or(u64::MAX),
        upstream: edge.upstream_timeout,
        tunnel: edge.tunnel_timeout,
        keepalive: edge.keepalive,
        connections,
        upstreams: connections,
        ..Limits::default()
    }
}

fn admin(
    config: &Config,
    engine: &Engine,
    stopping: ShutdownWatch,
    counters: LimitCounters,
) -> Admin {
    let (engine, probed) = (engine.clone(), engine.clone());
    let schemas = schema::NAMES.iter().filter_map(|name| Some((*name, schema::text(name)?)));
    Admin::new(AdminParts {
        ready: Arc::new(move || {
            let engine = probed.clone();
            Box::pin(async move { engine.ready().await.is_ok() })
        }),
        stopping,
        schemas: schemas.collect(),
        engine,
        token: config.admin_token.clone(),
        mount: config.mount.clone(),
        body_bytes_max: config.body_bytes_max,
        counters,
    })
}

/// Validates the configuration and prints its effective values.
fn check() -> CommandResult {
    let config = Config::from_env().map_err(misconfigured)?;
    print(&config.describe())
}

/// Runs the simulated providers without an engine.
async fn mock() -> CommandResult {
    let config = config::mock_command_config(&config::environment()).map_err(misconfigured)?;
    telemetry::init(&config.log, config.log_format).map_err(misconfigured)?;
    let signal = shutdown_signal().map_err(internal)?;
    let clock = Arc::new(SystemClock);
    let mock = Mock::start(MockConfig {
        listen: config.listen,
        ledger_path: None,
        clock,
        time_scale: DEFAULT_TIME_SCALE,
    })
    .await
    .map_err(|error| unavailable(format!("PAYGATE_MOCK_LISTEN: {error}")))?;
    tracing::info!(addr = %mock.addr(), "simulating WeChat Pay and Alipay");
    signal.await;
    mock.shutdown().await;
    Ok(())
}

/// Removes the files of mock mode.
fn reset_mock() -> CommandResult {
    let config = config::mock_reset_config(&config::environment()).map_err(misconfigured)?;
    let removed = config.reset().map_err(not_started)?;
    if removed.is_empty() {
        return print("nothing to remove: no file of mock mode is there\n");
    }
    let lines = removed.iter().map(|path| format!("removed {}\n", path.display()));
    print(&lines.collect::<String>())
}

/// Copies the store.
fn back_up(file: &Path) -> CommandResult {
    let config = config::store_command_config(&config::environment()).map_err(misconfigured)?;
    let Backup { orders, .. } = config.back_up(file).map_err(not_started)?;
    print(&format!("{} holds a copy of the store; orders: {orders}\n", file.display()))
}

/// Puts a copy in the place of the store.
fn restore(file: &Path) -> CommandResult {
    let config = config::store_command_config(&config::environment()).map_err(misconfigured)?;
    let Restored { orders, replaced, .. } = config.restore(file).map_err(not_started)?;
    let mut text = format!("restored {}; orders: {orders}\n", file.display());
    if let Some(replaced) = replaced {
        text += &format!("the store that stood there is {} now\n", replaced.display());
    }
    print(&(text + "start paygate, then go on with `paygate help operations`, Restore a backup\n"))
}

/// Prints what another program configures to use `paygate mock`.
fn print_mock_environment() -> CommandResult {
    let addr = config::mock_client_address(&config::environment()).map_err(misconfigured)?;
    print(&client_environment(addr))
}

/// Prints one JSON Schema, or the names of all.
fn print_schema(name: Option<&str>) -> CommandResult {
    let Some(name) = name else { return print(&(schema::NAMES.join("\n") + "\n")) };
    let text = schema::text(name).ok_or_else(|| {
        misconfigured(format!("there is no schema {name}; `paygate schema` lists them"))
    })?;
    print(&format!("{}\n", text.trim_end()))
}

/// Prints one chapter of the manual, or what each is about.
fn print_chapter(name: Option<&str>) -> CommandResult {
    match name {
        None => print(&chapters::list()),
        Some(name) => print(&chapters::text(name).map_err(misconfigured)?),
    }
}

/// Writes to standard output. Its reader may have read enough and closed it: `paygate help | head`.
fn print(text: &str) -> CommandResult {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(unavailable(error)),
        _ => Ok(()),
    }
}

/// Asks the running sidecar whether it is ready.
async fn check_health() -> ExitCode {
    match config::health_address(&config::environment()) {
        Err(problems) => exit_code(Err(misconfigured(problems))),
        Ok(admin) if health::is_ready(admin).await => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
    }
}

fn exit_code(outcome: CommandResult) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, message)) => {
            telemetry::print_error(&format!("paygate: {message}\n"));
            ExitCode::from(exit as u8)
        }
    }
}

/// An exit code of sysexits.h.
enum Exit {
    Configuration = 64,
    Unavailable = 69,
    Internal = 70,
}

type CommandResult = Result<(), (Exit, String)>;

fn misconfigured(problem: impl Display) -> (Exit, String) {
    (Exit::Configuration, problem.to_string())
}

fn unavailable(problem: impl Display) -> (Exit, String) {
    (Exit::Unavailable, problem.to_string())
}

fn internal(problem: impl Display) -> (Exit, String) {
    (Exit::Internal, problem.to_string())
}

fn not_started(error: AssembleError) -> (Exit, String) {
    match error {
        AssembleError::Refused(_) => misconfigured(error),
        AssembleError::Store(_) | AssembleError::Mock { .. } => unavailable(error),
        _ => internal(error),
    }
}
