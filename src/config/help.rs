//! `--help`, and the README's table of variables.

use std::fmt::Write as _;

use super::table::{Group, Preset, VARS, Var};

/// What `paygate --help` prints: usage, commands, exit codes and every variable.
#[must_use]
pub fn text() -> String {
    format!("{USAGE}{}", variables())
}

/// Every variable with its meaning, form and default, under headings.
#[must_use]
pub fn variables() -> String {
    let mut text = String::from(INTRODUCTION);
    for group in Group::ALL {
        let _ = writeln!(text, "\n{}:\n", group.title());
        for var in VARS.iter().filter(|var| var.group == group) {
            let file = if var.file { format!(" or {}_FILE", var.name) } else { String::new() };
            let secret = if var.secret { "  (secret)" } else { "" };
            let _ = writeln!(text, "  {}{file}{secret}", var.name);
            let _ = writeln!(text, "      {}", var.doc);
            let _ = writeln!(text, "      accepted: {}", var.form);
            let _ = writeln!(text, "      default:  {}", default_words(var));
        }
    }
    text
}

/// The table of variables for the README.
#[must_use]
pub fn markdown_table() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let _ = writeln!(text, "#### {}\n", group.title());
        text.push_str("| variable | default | meaning | accepted |\n| --- | --- | --- | --- |\n");
        for var in VARS.iter().filter(|var| var.group == group) {
            let marks = match (var.secret, var.file) {
                (true, _) => " (secret, `_FILE`)",
                (false, true) => " (`_FILE`)",
                (false, false) => "",
            };
            let default = match var.preset {
                Preset::Value(value) => format!("`{value}`"),
                _ => default_words(var),
            };
            let cells = [&default, var.doc, var.form].map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| `{}`{marks} | {} |", var.name, cells.join(" | "));
        }
        text.push('\n');
    }
    text
}

fn default_words(var: &Var) -> String {
    match var.preset {
        Preset::None => "none".to_owned(),
        Preset::Value(value) => value.to_owned(),
        Preset::Depends { live, mock } => format!("live: {live}; mock: {mock}"),
    }
}

const USAGE: &str = "\
paygate: vk-uni-pay's createPayment as a sidecar. One out_trade_no is paid once.

Usage: paygate [COMMAND]

Commands:
  serve          run the sidecar (the default)
  check          validate the configuration and print what takes effect, without secrets
  mock           run only the simulated WeChat Pay and Alipay
  schema [NAME]  print a JSON Schema, or list their names
  health         ask the running sidecar's /readyz; exit code 0 or 1

Options:
  -h, --help     print this
  -V, --version  print the version

Exit codes:
  0   a clean stop
  1   health: not ready
  64  the configuration is wrong; everything that is wrong with it is printed
  69  a needed service is not available: a port, the store
  70  an internal fault

";

const INTRODUCTION: &str = "\
Variables:

  Everything is configured by environment variables. What is marked `or ..._FILE` can stand in a
  file instead. White space around a value, a line break at its end included, does not count; an
  empty value counts as not set. Durations and sizes carry a unit.
";
