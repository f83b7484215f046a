//! How often each limit acted, for `/metrics`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A limit that refused, delayed or ended something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A connection found every place taken.
    Connections,
    /// An idle connection ended for a new one.
    ConnectionsShed,
    /// A connection was not accepted for lack of file descriptors or memory.
    Descriptors,
    /// A request's head did not arrive in time.
    HeadTimeout,
    /// A connection had no request for long.
    IdleTimeout,
    /// A client took no byte of an answer, or sent none of a body, for long.
    StallTimeout,
    /// A client sent a body too slowly.
    BodyRate,
    /// The upstream did not begin its answer in time.
    UpstreamTimeout,
    /// A request found every connection to the upstream in use.
    UpstreamConnections,
    /// An upgraded connection carried no byte for long.
    TunnelTimeout,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Limit; 10] = [
        Limit::Connections,
        Limit::ConnectionsShed,
        Limit::Descriptors,
        Limit::HeadTimeout,
        Limit::IdleTimeout,
        Limit::StallTimeout,
        Limit::BodyRate,
        Limit::UpstreamTimeout,
        Limit::UpstreamConnections,
        Limit::TunnelTimeout,
    ];

    /// The value of the label `limit`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Limit::Connections => "connections",
            Limit::ConnectionsShed => "connections_shed",
            Limit::Descriptors => "descriptors",
            Limit::HeadTimeout => "head_timeout",
            Limit::IdleTimeout => "idle_timeout",
            Limit::StallTimeout => "stall_timeout",
            Limit::BodyRate => "body_rate",
            Limit::UpstreamTimeout => "upstream_timeout",
            Limit::UpstreamConnections => "upstream_connections",
            Limit::TunnelTimeout => "tunnel_timeout",
        }
    }
}

/// The counters of one program, shared by all who hold a clone.
#[derive(Clone, Debug, Default)]
pub struct LimitCounters(Arc<[AtomicU64; Limit::ALL.len()]>);

impl LimitCounters {
    /// The limit acted.
    pub(super) fn count(&self, limit: Limit) {
        self.0[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The counters in the text format of Prometheus.
    pub(super) fn text(&self, log_lines_dropped: u64) -> String {
        let mut text = "# HELP paygate_limited_total How often a limit refused, delayed or ended \
                        something.\n# TYPE paygate_limited_total counter\n"
            .to_owned();
        for limit in Limit::ALL {
            let count = self.0[limit as usize].load(Ordering::Relaxed);
            let label = limit.label();
            let _ = writeln!(text, "paygate_limited_total{{limit=\"{label}\"}} {count}");
        }
        let _ = writeln!(
            text,
            "# HELP paygate_log_lines_dropped_total Lines of the log that were lost because \
             standard error was not read.\n# TYPE paygate_log_lines_dropped_total counter\n\
             paygate_log_lines_dropped_total {log_lines_dropped}"
        );
        text
    }
}
