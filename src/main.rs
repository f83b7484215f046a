//! The program: it reads the configuration or exits with 64, runs one command, drains, and exits
//! with a code of sysexits.h.

use std::io::{ErrorKind, Write as _};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgAction, value_parser};
use paygate::config::Config;
use paygate::mock::{DEFAULT_TIME_SCALE, Mock, MockConfig, client_environment};
use paygate::sidecar::command::{self, serve, with_addresses};
use paygate::sidecar::exit::{
    CommandResult, Exit, internal, misconfigured, not_started, unavailable,
};
use paygate::sidecar::{
    InheritedSockets, ListenerName, alerts, chapters, health, help_text, schema, shutdown_signal,
    survive_file_size_limit, telemetry,
};
use paygate::store::{Backup, Restored};
use paygate::{SystemClock, config};

enum Command {
    Serve,
    Check,
    Mock,
    ResetMock,
    PrintMockEnvironment,
    Backup { file: PathBuf },
    Restore { file: PathBuf },
    Schema { name: Option<String> },
    Health,
    TestAlert,
    Help { chapter: Option<String> },
}

impl Command {
    /// Reads the arguments of the process.
    ///
    /// # Errors
    ///
    /// The text that `--help` and `--version` ask for is an error too, as clap has it.
    fn from_arguments() -> Result<Command, clap::Error> {
        let matches = command_line().try_get_matches()?;
        let Some((name, matches)) = matches.subcommand() else { return Ok(Command::Serve) };
        let text = |argument| matches.get_one::<String>(argument).cloned();
        let file = || matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
        Ok(match name {
            "check" => Command::Check,
            "mock" if matches.get_flag("reset") => Command::ResetMock,
            "mock" if matches.get_flag("print-env") => Command::PrintMockEnvironment,
            "mock" => Command::Mock,
            "backup" => Command::Backup { file: file() },
            "restore" => Command::Restore { file: file() },
            "schema" => Command::Schema { name: text("name") },
            "health" => Command::Health,
            "test-alert" => Command::TestAlert,
            "help" => Command::Help { chapter: text("chapter") },
            _ => Command::Serve,
        })
    }
}

fn command_line() -> clap::Command {
    let flag = |name| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let file = || {
        let file = Arg::new("file").value_name("FILE").required(true);
        file.value_parser(value_parser!(PathBuf))
    };
    let optional = |name, shown| Arg::new(name).value_name(shown);
    clap::Command::new("paygate")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .override_help(help_text())
        .subcommand(clap::Command::new("serve"))
        .subcommand(clap::Command::new("check"))
        .subcommand(
            clap::Command::new("mock")
                .arg(flag("reset").conflicts_with("print-env"))
                .arg(flag("print-env")),
        )
        .subcommand(clap::Command::new("backup").arg(file()))
        .subcommand(clap::Command::new("restore").arg(file()))
        .subcommand(clap::Command::new("schema").arg(optional("name", "NAME")))
        .subcommand(clap::Command::new("health"))
        .subcommand(clap::Command::new("test-alert"))
        .subcommand(clap::Command::new("help").arg(optional("chapter", "CHAPTER")))
}

fn main() -> ExitCode {
    // A panic ends the program, too: its message waits in the log's queue.
    let exit = panic::catch_unwind(run).unwrap_or(ExitCode::from(Exit::Internal as u8));
    telemetry::flush();
    exit
}

/// Runs the command of the arguments.
fn run() -> ExitCode {
    let command = match Command::from_arguments() {
        Ok(command) => command,
        Err(error) if error.use_stderr() => {
            telemetry::print_error(&error.render().to_string());
            return ExitCode::from(Exit::Configuration as u8);
        }
        Err(help) => {
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    // Before there are threads: it changes the environment.
    let sockets = match command {
        Command::Serve | Command::Mock => InheritedSockets::take(),
        _ => InheritedSockets::default(),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit_code(Err((Exit::Internal, error.to_string()))),
    };
    runtime.block_on(async {
        if let Err(error) = survive_file_size_limit() {
            return exit_code(Err(internal(error)));
        }
        match command {
            Command::Serve => exit_code(serve(sockets).await),
            Command::Check => exit_code(check()),
            Command::Mock => exit_code(mock(sockets).await),
            Command::ResetMock => exit_code(reset_mock()),
            Command::PrintMockEnvironment => exit_code(print_mock_environment()),
            Command::Backup { file } => exit_code(back_up(&file)),
            Command::Restore { file } => exit_code(restore(&file)),
            Command::Schema { name } => exit_code(print_schema(name.as_deref())),
            Command::Health => check_health().await,
            Command::TestAlert => exit_code(test_alert().await),
            Command::Help { chapter } => exit_code(print_chapter(chapter.as_deref())),
        }
    })
}

/// Checks what `serve` refuses, and prints the configuration's effective values.
fn check() -> CommandResult {
    let config = Config::from_env().map_err(misconfigured)?;
    print(&command::check(&config)?)
}

/// Runs the simulated providers without an engine.
async fn mock(sockets: InheritedSockets) -> CommandResult {
    let config = config::mock_command_config(&config::environment()).map_err(misconfigured)?;
    telemetry::init(&config.log, config.log_format, None).map_err(misconfigured)?;
    let mut sockets = sockets.assign(&[ListenerName::Mock]).map_err(misconfigured)?;
    let config = config::mock_command_config(&with_addresses(&sockets)).map_err(misconfigured)?;
    let signal = shutdown_signal().map_err(internal)?;
    let clock = Arc::new(SystemClock);
    let (listen, time_scale) = (config.listen, DEFAULT_TIME_SCALE);
    let mock_config = MockConfig { listen, ledger_path: None, clock, time_scale };
    let mock = match sockets.take(ListenerName::Mock) {
        Some(socket) => Mock::start_on(socket, mock_config).await,
        None => Mock::start(mock_config).await,
    };
    let mock = mock.map_err(|error| unavailable(format!("PAYGATE_MOCK_LISTEN: {error}")))?;
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

/// Sends one alert to the configured receiver.
async fn test_alert() -> CommandResult {
    let config = config::test_alert_config(&config::environment()).map_err(misconfigured)?;
    let receiver = config.format.receiver();
    alerts::send_test(config).await.map_err(unavailable)?;
    print(&format!("{receiver} took the alert\n"))
}

fn exit_code(outcome: CommandResult) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, message)) => {
            telemetry::print_exit(exit as u8, &message);
            ExitCode::from(exit as u8)
        }
    }
}
