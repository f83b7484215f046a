//! `--help`, and the manual's table of variables.

use std::fmt::Write as _;

use super::table::{DefaultValue, VARIABLES, Variable, VariableGroup};

/// The text of `paygate --help`: usage, commands, exit codes and every variable.
#[must_use]
pub fn text() -> String {
    format!("{USAGE}{}", variables())
}

/// Every variable with its meaning, form and default, under headings.
#[must_use]
pub fn variables() -> String {
    let mut text = String::from(INTRODUCTION);
    for group in VariableGroup::ALL {
        let _ = writeln!(text, "\n{}:\n", group.title());
        for variable in VARIABLES.iter().filter(|variable| variable.group == group) {
            let file =
                if variable.file { format!(" or {}_FILE", variable.name) } else { String::new() };
            let secret = if variable.secret { "  (secret)" } else { "" };
            let _ = writeln!(text, "  {}{file}{secret}", variable.name);
            let _ = writeln!(text, "      {}", variable.doc);
            let _ = writeln!(text, "      accepted: {}", variable.form);
            let _ = writeln!(text, "      default:  {}", default_words(variable));
        }
    }
    text
}

/// The table of variables for the manual.
#[must_use]
pub fn markdown_table() -> String {
    let mut text = String::new();
    for group in VariableGroup::ALL {
        let _ = writeln!(text, "## {}\n", group.title());
        text.push_str("| variable | default | meaning | accepted |\n| --- | --- | --- | --- |\n");
        for variable in VARIABLES.iter().filter(|variable| variable.group == group) {
            let marks = match (variable.secret, variable.file) {
                (true, _) => " (secret, `_FILE`)",
                (false, true) => " (`_FILE`)",
                (false, false) => "",
            };
            let default = match variable.default {
                DefaultValue::Fixed(value) => format!("`{value}`"),
                _ => default_words(variable),
            };
            let cells =
                [&default, variable.doc, variable.form].map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| `{}`{marks} | {} |", variable.name, cells.join(" | "));
        }
        text.push('\n');
    }
    text
}

fn default_words(variable: &Variable) -> String {
    match variable.default {
        DefaultValue::Unset => "none".to_owned(),
        DefaultValue::Fixed(value) => value.to_owned(),
        DefaultValue::ByMode { live, mock } => format!("live: {live}; mock: {mock}"),
    }
}

const USAGE: &str = "\
paygate: vk-uni-pay's createPayment as a sidecar. One out_trade_no is paid once.

Usage: paygate [COMMAND]

Commands:
  serve          run the sidecar (the default)
  check          validate the configuration and print its effective values, without secrets
  mock           run only the simulated WeChat Pay and Alipay
  mock --reset   remove the sidecar's orders and the providers' ledger of mock mode
  mock --print-env
                 print what another program configures to use the simulated providers
  backup FILE    copy the store, which may be in use, to a new file
  restore FILE   put such a copy in the place of the store, which no process holds
  schema [NAME]  print a JSON Schema, or list their names
  health         ask the running sidecar's /readyz; exit code 0 or 1
  test-alert     send one alert to PAYGATE_ALERT_URL, and print whether it was taken
  help [CHAPTER] print a chapter of the manual, or list its chapters

Options:
  -h, --help     print this
  -V, --version  print the version

Exit codes:
  0   a clean stop
  1   health: not ready
  64  the configuration is invalid; every problem of it is printed
  69  a needed service is not available: a port, the store
  70  an internal fault

";

const INTRODUCTION: &str = "\
Variables:

  Environment variables are the only configuration. A value marked `or ..._FILE` can stand in a
  file instead. White space around a value, a line break at its end included, does not count; an
  empty value counts as not set. Durations and sizes carry a unit.

  Listening sockets can be inherited from systemd (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), as
  `paygate help operations` describes. Their listeners bind no address.
";
