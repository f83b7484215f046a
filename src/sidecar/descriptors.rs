//! File descriptors: the process takes as many as it may have, and keeps some for what must work
//! when clients take the rest.

/// Raises the soft limit to the hard one; the limit, unless the system has none.
#[cfg(unix)]
#[must_use]
pub fn raise_limit() -> Option<usize> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let soft = limit.current;
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of file descriptors stays");
        limit.current = soft;
    }
    limit.current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// The limit of this platform is not known.
#[cfg(not(unix))]
#[must_use]
pub fn raise_limit() -> Option<usize> {
    None
}

/// How many connections there may be when `limit` is the most descriptors and the configuration
/// allows `wanted`: each may need a second one, to the upstream.
#[must_use]
pub fn connections(limit: Option<usize>, wanted: usize) -> usize {
    let Some(limit) = limit else { return wanted };
    (limit.saturating_sub(RESERVED) / 2).clamp(CONNECTIONS_MIN, wanted.max(CONNECTIONS_MIN))
}

/// The most connections of the admin listener.
pub const ADMIN_CONNECTIONS: usize = 64;

/// For the admin listener, the store's files, the calls to providers and to the shop, and the
/// program's own files and sockets.
const RESERVED: usize = ADMIN_CONNECTIONS + 128;

/// So that a limit that is far too low can at least be seen and raised.
const CONNECTIONS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        assert_eq!(connections(None, 10_000), 10_000);
        assert_eq!(connections(Some(1_048_576), 10_000), 10_000);
        assert_eq!(connections(Some(1024), 10_000), 416);
        assert_eq!(connections(Some(1024), 100), 100);
        assert_eq!(connections(Some(64), 10_000), 16);
    }
}
