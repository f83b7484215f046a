//! What is wrong with a configuration, all of it at once.

use std::borrow::Cow;
use std::fmt;

use super::table::Var;

/// One thing that is wrong. Never holds a value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable that has to change.
    pub variable: String,
    /// What is wrong with it.
    pub wrong: String,
    /// What is accepted, and an example of it; an unknown name has neither.
    pub accepted: Option<(&'static str, String)>,
}

impl Problem {
    pub(super) fn with(var: &'static Var, wrong: impl Into<String>) -> Problem {
        let accepted = Some((var.form, var.example_line()));
        Problem { variable: var.name.to_owned(), wrong: wrong.into(), accepted }
    }
}

/// Everything that is wrong with a configuration. Its `Display` is what the program prints before
/// it ends with exit code 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    advice: Advice,
}

/// What is said beside the problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Nothing was configured at all: both ways to go on.
    WaysToGoOn,
    /// Where the variables are explained.
    Help,
}

impl Problems {
    pub(super) fn new(problems: Vec<Problem>, advice: Advice) -> Problems {
        Problems { problems, advice }
    }

    /// The exit code of a program whose configuration is wrong (`EX_USAGE` of sysexits.h).
    pub const EXIT_CODE: u8 = 64;

    /// The problems, in the order of the table of variables.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.advice == Advice::WaysToGoOn {
            f.write_str(WAYS_TO_GO_ON)?;
        }
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        writeln!(f, "{count} {noun} in the configuration:")?;
        for problem in &self.problems {
            writeln!(f, "\n  {}: {}", problem.variable, problem.wrong)?;
            if let Some((form, example)) = &problem.accepted {
                writeln!(f, "      accepted: {form}")?;
                writeln!(f, "      example:  {example}")?;
            }
        }
        f.write_str("\n`paygate --help` explains every variable.\n")
    }
}

impl std::error::Error for Problems {}

/// What is wrong with one value, in words that follow "it": `has no unit`. Never the value.
pub(super) type Wrong = Cow<'static, str>;

const WAYS_TO_GO_ON: &str = "\
Nothing is configured. There are two ways to go on.

Without any account, against simulated providers:

    PAYGATE_MODE=mock paygate

Live, with your own merchant account: set at least

    PAYGATE_STORE=sqlite:paygate.db
    PAYGATE_PUBLIC_URL=https://pay.example.com
    PAYGATE_PRICING=trusted
    PAYGATE_CALLER_TOKEN_FILE=/run/secrets/caller-token

and one provider, WeChat Pay

    PAYGATE_WXPAY_MCH_ID, PAYGATE_WXPAY_APP_ID, PAYGATE_WXPAY_PRIVATE_KEY_FILE,
    PAYGATE_WXPAY_SERIAL_NO, PAYGATE_WXPAY_API_V3_KEY_FILE

or Alipay

    PAYGATE_ALIPAY_APP_ID, PAYGATE_ALIPAY_PRIVATE_KEY_FILE, PAYGATE_ALIPAY_PUBLIC_KEY_FILE

or vk-uni-pay's vk-pay-config documents in PAYGATE_MERCHANTS.

";
