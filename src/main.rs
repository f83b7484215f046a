//! The program: read the configuration or exit 64, run a command, drain, say how it ended.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use paygate::assemble::StartError;
use paygate::clock::SystemClock;
use paygate::config::{self, Config};
use paygate::engine::Engine;
use paygate::guard::schema;
use paygate::mock::{HURRY, Mock, MockConfig};
use paygate::sidecar::admin::{Admin, AdminParts};
use paygate::sidecar::proxy::{Proxy, Upstream};
use paygate::sidecar::server::Limits;
use paygate::sidecar::{Listeners, PeerAddr, Sidecar, health, stop, telemetry, told_to_end};
use tower_layer::Layer;

#[derive(Parser)]
#[command(version, disable_help_subcommand = true, override_help = config::help::text())]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Serve,
    Check,
    Mock,
    Schema { name: Option<String> },
    Health,
}

/// How the program failed, by sysexits.h.
enum Exit {
    Configuration = 64,
    Unavailable = 69,
    Internal = 70,
}

type Outcome = Result<(), (Exit, String)>;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => {
            let wrong = told.use_stderr();
            let _ = told.print();
            return ExitCode::from(if wrong { Exit::Configuration as u8 } else { 0 });
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err((Exit::Internal, error.to_string()))),
    };
    runtime.block_on(async {
        match arguments.command.unwrap_or(Command::Serve) {
            Command::Serve => end(serve().await),
            Command::Check => end(check()),
            Command::Mock => end(mock().await),
            Command::Schema { name } => end(print_schema(name.as_deref())),
            Command::Health => ask_health().await,
        }
    })
}

fn end(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, message)) => {
            // Whoever read standard error may be gone: the exit code still tells.
            let _ = writeln!(std::io::stderr(), "paygate: {message}");
            ExitCode::from(exit as u8)
        }
    }
}

/// Runs the sidecar until it is told to end, and drains.
async fn serve() -> Outcome {
    let mut config = Config::from_env().map_err(wrong)?;
    telemetry::init(&config.log, config.log_format).map_err(wrong)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let upstream = config.upstream.as_ref().map(Upstream::from_url).transpose().map_err(wrong)?;
    let listeners =
        Listeners::bind(config.listen, config.admin_listen).await.map_err(unavailable)?;
    // With port 0 asked for: the simulated providers notify at the one that was given.
    config.listen = listeners.public_addr().map_err(internal)?;
    let told = told_to_end().map_err(internal)?;
    let (engine, payments) = config.start().await.map_err(not_started)?;
    let payments = payments.peer_addr(|parts| parts.extensions.get::<PeerAddr>().map(|it| it.0));
    let limits = Limits::default();
    let proxy = Proxy::new(upstream, config.trusted_proxies.clone(), limits.stall);
    let (say_stop, stopping) = stop();
    let admin = admin(&config, &engine, stopping.clone());
    let payments = payments.layer(proxy);
    let grace = config.shutdown_grace;
    let sidecar = Sidecar { listeners, payments, admin, limits, grace };
    let told = async {
        told.await;
        engine.stop_waiting();
    };
    sidecar.run(told, say_stop, stopping).await;
    engine.shutdown().await;
    Ok(())
}

fn admin(config: &Config, engine: &Engine, stopping: paygate::sidecar::Stopping) -> Admin {
    let (engine, asked) = (engine.clone(), engine.clone());
    let schemas = schema::NAMES.iter().filter_map(|name| Some((*name, schema::text(name)?)));
    Admin::new(AdminParts {
        ready: Arc::new(move || {
            let engine = engine.clone();
            Box::pin(async move { engine.ready().await.is_ok() })
        }),
        stopping,
        schemas: schemas.collect(),
        engine: asked,
        token: config.admin_token.clone(),
        mount: config.mount.clone(),
        body_bytes_max: config.body_bytes_max,
    })
}

/// Validates the configuration and prints the effective one.
fn check() -> Outcome {
    let config = Config::from_env().map_err(wrong)?;
    print!("{}", config.describe());
    Ok(())
}

/// Runs the simulated providers alone.
async fn mock() -> Outcome {
    let config = config::mock_alone(&config::environment()).map_err(wrong)?;
    telemetry::init(&config.log, config.log_format).map_err(wrong)?;
    let told = told_to_end().map_err(internal)?;
    let clock = Arc::new(SystemClock);
    let mock =
        Mock::start(MockConfig { listen: config.listen, ledger_path: None, clock, hurry: HURRY })
            .await
            .map_err(|error| unavailable(format!("PAYGATE_MOCK_LISTEN: {error}")))?;
    tracing::info!(addr = %mock.addr(), "simulating WeChat Pay and Alipay");
    told.await;
    mock.shutdown().await;
    Ok(())
}

/// Prints one JSON Schema, or their names.
fn print_schema(name: Option<&str>) -> Outcome {
    match name {
        None => schema::NAMES.iter().for_each(|name| println!("{name}")),
        Some(name) => match schema::text(name) {
            Some(text) => println!("{}", text.trim_end()),
            None => {
                return Err(wrong(format!(
                    "there is no schema {name}; `paygate schema` lists them"
                )));
            }
        },
    }
    Ok(())
}

/// Asks the running sidecar whether it is ready.
async fn ask_health() -> ExitCode {
    match config::health_address(&config::environment()) {
        Err(problems) => end(Err(wrong(problems))),
        Ok(admin) if health::is_ready(admin).await => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
    }
}

fn wrong(problem: impl Display) -> (Exit, String) {
    (Exit::Configuration, problem.to_string())
}

fn unavailable(problem: impl Display) -> (Exit, String) {
    (Exit::Unavailable, problem.to_string())
}

fn internal(problem: impl Display) -> (Exit, String) {
    (Exit::Internal, problem.to_string())
}

fn not_started(error: StartError) -> (Exit, String) {
    match error {
        StartError::Refused(_) => wrong(error),
        StartError::Store(_) | StartError::Mock { .. } => unavailable(error),
        _ => internal(error),
    }
}
