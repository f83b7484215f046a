//! The exit codes of the program, and which problem ends with which.

use std::fmt::Display;

use crate::assemble::AssembleError;

/// An exit code of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The configuration or an argument is invalid (`EX_USAGE`).
    Configuration = 64,
    /// Something that paygate needs is not there (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A fault of paygate (`EX_SOFTWARE`).
    Internal = 70,
}

/// What a command ends with: an exit code, and a text for the operator.
pub type CommandResult = Result<(), (Exit, String)>;

/// A problem of the configuration or of an argument.
#[must_use]
pub fn misconfigured(problem: impl Display) -> (Exit, String) {
    (Exit::Configuration, problem.to_string())
}

/// A port, store or file that cannot be used.
#[must_use]
pub fn unavailable(problem: impl Display) -> (Exit, String) {
    (Exit::Unavailable, problem.to_string())
}

/// A fault of paygate.
#[must_use]
pub fn internal(problem: impl Display) -> (Exit, String) {
    (Exit::Internal, problem.to_string())
}

/// Why the engine did not start.
#[must_use]
pub fn not_started(error: AssembleError) -> (Exit, String) {
    match error {
        AssembleError::Refused(_) => misconfigured(error),
        AssembleError::Store(_) | AssembleError::Mock { .. } => unavailable(error),
        _ => internal(error),
    }
}
