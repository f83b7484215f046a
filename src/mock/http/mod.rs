//! The simulated providers over HTTP: the server, the Host check, the control operations.

pub(super) mod control;
pub(super) mod host_check;
pub(super) mod server;
