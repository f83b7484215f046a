//! The problems of a configuration, reported all at once.

use std::borrow::Cow;
use std::fmt;

use super::table::Variable;
use crate::error::debug_like_display;

/// One problem. It never holds a value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable that has to change.
    pub variable: String,
    /// The reason, in words that follow the variable's name: `has no unit`.
    pub reason: String,
    /// The accepted form, and a line with an example; `None` for an unknown name, and where
    /// the variable is not paygate's.
    pub accepted: Option<(&'static str, String)>,
}

impl Problem {
    pub(super) fn with(variable: &'static Variable, reason: impl Into<String>) -> Problem {
        let accepted = Some((variable.form, variable.example_line()));
        Problem { variable: variable.name.to_owned(), reason: reason.into(), accepted }
    }
}

/// All problems of a configuration. The program prints its `Display` and ends with exit code 64.
#[derive(Clone, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    help: HelpText,
}

/// The help that the program prints with the problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HelpText {
    /// How to start, when no variable is set.
    GettingStarted,
    /// Where to read about the variables.
    Reference,
}

impl Problems {
    pub(super) fn new(problems: Vec<Problem>, help: HelpText) -> Problems {
        Problems { problems, help }
    }

    /// Problems that no variable in the table has.
    #[cfg(feature = "sidecar")]
    pub(crate) fn of_inherited_sockets(problems: Vec<Problem>) -> Problems {
        Problems::new(problems, HelpText::Reference)
    }

    /// The exit code of a program with an invalid configuration (`EX_USAGE` of sysexits.h).
    pub const EXIT_CODE: u8 = 64;

    /// The problems, in the order of the table of variables.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.help == HelpText::GettingStarted {
            f.write_str(GETTING_STARTED)?;
        }
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        writeln!(f, "{count} {noun} in the configuration:")?;
        for problem in &self.problems {
            writeln!(f, "\n  {}: {}", problem.variable, problem.reason)?;
            if let Some((form, example)) = &problem.accepted {
                writeln!(f, "      accepted: {form}")?;
                writeln!(f, "      example:  {example}")?;
            }
        }
        f.write_str("\n`paygate --help` explains every variable.\n")
    }
}

debug_like_display!(Problems);

impl std::error::Error for Problems {}

/// Why a value is refused, in words that follow the variable's name: `has no unit`. It never
/// repeats the value.
pub(super) type ProblemReason = Cow<'static, str>;

const GETTING_STARTED: &str = "\
Nothing is configured. There are two ways to start.

Without any account, against simulated providers:

    PAYGATE_MODE=mock paygate

Live, with your own merchant account: set at least

    PAYGATE_STORE=sqlite:paygate.db
    PAYGATE_PUBLIC_URL=https://pay.example.com

the party that sets the price, since a browser must not name its own: one of

    PAYGATE_PRICING=callback   clients call paygate, and it asks your service at
                               PAYGATE_PRICING_URL for each order's price
    PAYGATE_PRICING=quote      clients call paygate with a price that your service signed
                               with PAYGATE_QUOTE_SECRET_FILE
    PAYGATE_PRICING=trusted    your own backend is the only caller, with
                               PAYGATE_CALLER_TOKEN_FILE

and one provider, WeChat Pay

    PAYGATE_WXPAY_MCH_ID, PAYGATE_WXPAY_APP_ID, PAYGATE_WXPAY_PRIVATE_KEY_FILE,
    PAYGATE_WXPAY_SERIAL_NO, PAYGATE_WXPAY_API_V3_KEY_FILE

or Alipay

    PAYGATE_ALIPAY_APP_ID, PAYGATE_ALIPAY_PRIVATE_KEY_FILE, PAYGATE_ALIPAY_PUBLIC_KEY_FILE

or vk-uni-pay's vk-pay-config documents in PAYGATE_MERCHANTS.

";
