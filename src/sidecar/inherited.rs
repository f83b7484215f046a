//! Listening sockets that the program which started this one made: systemd's socket activation
//! (sd_listen_fds(3)). They stay open while paygate restarts, so no connection is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener};

use crate::config::{Problem, Problems, inherited_sockets};

/// A listener of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenerName {
    /// The payment operations and the proxy.
    Public,
    /// Health and the admin operations.
    Admin,
    /// The simulated providers.
    Mock,
}

impl ListenerName {
    const ALL: [ListenerName; 3] = [ListenerName::Public, ListenerName::Admin, ListenerName::Mock];

    fn parse(text: &str) -> Option<ListenerName> {
        ListenerName::ALL.into_iter().find(|name| name.as_str() == text)
    }

    fn as_str(self) -> &'static str {
        match self {
            ListenerName::Public => "public",
            ListenerName::Admin => "admin",
            ListenerName::Mock => "mock",
        }
    }

    /// The variable of its address.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            ListenerName::Public => "PAYGATE_LISTEN",
            ListenerName::Admin => "PAYGATE_ADMIN_LISTEN",
            ListenerName::Mock => "PAYGATE_MOCK_LISTEN",
        }
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The sockets that the process was started with.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    /// Each socket's name, if it has one, or why it is none that paygate can listen on.
    sockets: Vec<(Option<String>, Result<TcpListener, &'static str>)>,
    problems: Vec<Problem>,
}

impl InheritedSockets {
    /// Takes the sockets of the environment. It changes the environment: no other thread may run.
    #[must_use]
    pub fn take() -> InheritedSockets {
        let names = match inherited_names(&inherited_sockets(), std::process::id()) {
            Ok(names) => names,
            Err(problem) => {
                return InheritedSockets { problems: vec![problem], ..InheritedSockets::default() };
            }
        };
        let sockets = descriptors(names.len());
        let sockets = names.into_iter().zip(sockets).collect();
        InheritedSockets { sockets, problems: Vec::new() }
    }

    /// Finds the listener of each socket, of those that the configuration has.
    ///
    /// # Errors
    ///
    /// A socket that is no listener's, or that cannot be listened on.
    pub fn assign(self, listeners: &[ListenerName]) -> Result<ListenerSockets, Problems> {
        let InheritedSockets { sockets, mut problems } = self;
        let names: Vec<Option<&str>> = sockets.iter().map(|(name, _)| name.as_deref()).collect();
        let assigned = assigned_names(&names, listeners).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        let mut by_name = BTreeMap::new();
        for (n, (name, socket)) in sockets.into_iter().enumerate() {
            match (socket, assigned.get(n)) {
                (Ok(socket), Some(name)) => _ = by_name.insert(*name, socket),
                (Ok(_), None) => {}
                (Err(why), _) => {
                    let name = name.map(|name| format!(" (`{name}`)")).unwrap_or_default();
                    let descriptor = FIRST_DESCRIPTOR + n;
                    problems.push(problem(
                        "LISTEN_FDS",
                        format!("passes the descriptor {descriptor}{name}, which {why}"),
                    ));
                }
            }
        }
        match problems.is_empty() {
            true => Ok(ListenerSockets(by_name)),
            false => Err(Problems::of_inherited_sockets(problems)),
        }
    }
}

/// The inherited sockets of some listeners.
#[derive(Debug, Default)]
pub struct ListenerSockets(BTreeMap<ListenerName, TcpListener>);

impl ListenerSockets {
    /// Whether none was inherited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each listener that has a socket, and its address.
    #[must_use]
    pub fn addresses(&self) -> Vec<(ListenerName, SocketAddr)> {
        let addresses = self.0.iter();
        addresses.filter_map(|(name, socket)| Some((*name, socket.local_addr().ok()?))).collect()
    }

    /// Takes the socket of one listener.
    pub fn take(&mut self, name: ListenerName) -> Option<TcpListener> {
        self.0.remove(&name)
    }
}

/// The number of the first descriptor that is passed.
const FIRST_DESCRIPTOR: usize = 3;

/// Each socket's name in the variables of sd_listen_fds(3), if they are for the process `pid`.
fn inherited_names(
    variables: &BTreeMap<&str, String>,
    pid: u32,
) -> Result<Vec<Option<String>>, Problem> {
    let set = |name: &str| variables.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let (Some(process), Some(count)) = (set("LISTEN_PID"), set("LISTEN_FDS")) else {
        return Ok(Vec::new());
    };
    let Ok(process) = process.parse::<u32>() else {
        return Err(problem("LISTEN_PID", "is not the number of a process"));
    };
    if process != pid {
        return Ok(Vec::new());
    }
    let Ok(count) = count.parse::<usize>() else {
        return Err(problem("LISTEN_FDS", "is not a number of sockets"));
    };
    let most = ListenerName::ALL.len();
    if count > most {
        let reason = format!("passes {count} sockets, and paygate has at most {most} listeners");
        return Err(problem("LISTEN_FDS", reason));
    }
    let Some(names) = set("LISTEN_FDNAMES") else { return Ok(vec![None; count]) };
    let names: Vec<_> = names.split(':').map(|name| Some(name.to_owned())).collect();
    match names.len() == count {
        true => Ok(names),
        false => {
            let reason = format!("has {} names for the sockets of LISTEN_FDS={count}", names.len());
            Err(problem("LISTEN_FDNAMES", reason))
        }
    }
}

/// The listener of each socket: by its name, or, where none has a name of its own, in the order of
/// `listeners`.
fn assigned_names(
    names: &[Option<&str>],
    listeners: &[ListenerName],
) -> Result<Vec<ListenerName>, Vec<Problem>> {
    let known = |list: &[ListenerName]| {
        list.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let first = names.first().copied().flatten();
    // A socket unit without FileDescriptorName= gives all of its sockets its own name.
    let unnamed = first.is_none_or(|name| name.ends_with(".socket") || name == "unknown");
    if unnamed && names.iter().all(|name| *name == first) {
        if names.len() > listeners.len() {
            let reason = format!(
                "passes {} sockets, and this configuration has {} listeners: {}",
                names.len(),
                listeners.len(),
                known(listeners)
            );
            return Err(vec![problem("LISTEN_FDS", reason)]);
        }
        return Ok(listeners.iter().copied().take(names.len()).collect());
    }
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for name in names.iter().map(|name| name.unwrap_or_default()) {
        let reason = match ListenerName::parse(name) {
            Some(listener) if found.contains(&listener) => "has the name twice:",
            Some(listener) if listeners.contains(&listener) => {
                found.push(listener);
                continue;
            }
            Some(_) => "names a listener that this configuration does not have:",
            None => "names no listener:",
        };
        let listeners = known(listeners);
        let reason = format!("{reason} `{name}`. FileDescriptorName= is one of {listeners}");
        problems.push(problem("LISTEN_FDNAMES", reason));
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

fn problem(variable: &str, reason: impl Into<String>) -> Problem {
    Problem { variable: variable.to_owned(), reason: reason.into(), accepted: None }
}

/// The first `count` descriptors that are passed.
#[cfg(unix)]
fn descriptors(count: usize) -> Vec<Result<TcpListener, &'static str>> {
    if count == 0 {
        return Vec::new();
    }
    let mut passed = listenfd::ListenFd::from_env();
    let mut take = |n| match passed.take_tcp_listener(n) {
        Ok(Some(socket)) if is_listening(&socket) => match socket.set_nonblocking(true) {
            Ok(()) => Ok(socket),
            Err(_) => Err("cannot be used"),
        },
        Ok(Some(_)) => Err("is a TCP socket that does not listen: ListenStream= with Accept=no"),
        Ok(None) | Err(_) => Err("is no TCP socket: ListenStream= with an address and a port"),
    };
    (0..count).map(&mut take).collect()
}

/// Sockets are passed on Unix alone.
#[cfg(not(unix))]
fn descriptors(count: usize) -> Vec<Result<TcpListener, &'static str>> {
    (0..count).map(|_| Err("this system does not pass")).collect()
}

/// Whether it listens, where the system can be asked.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn is_listening(socket: &TcpListener) -> bool {
    socket2::SockRef::from(socket).is_listener().unwrap_or(false)
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android", target_os = "freebsd"))))]
fn is_listening(_: &TcpListener) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: u32 = 7;
    const LIVE: [ListenerName; 2] = [ListenerName::Public, ListenerName::Admin];

    fn variables(pid: &str, count: &str, names: &str) -> BTreeMap<&'static str, String> {
        let all = [("LISTEN_PID", pid), ("LISTEN_FDS", count), ("LISTEN_FDNAMES", names)];
        all.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
    }

    /// The listeners of the sockets, or the problems, one in a line.
    fn assigned(pid: &str, count: &str, names: &str) -> Result<Vec<ListenerName>, String> {
        let named = inherited_names(&variables(pid, count, names), OURS);
        let named = named.map_err(|found| format!("{} {}", found.variable, found.reason))?;
        let named: Vec<_> = named.iter().map(Option::as_deref).collect();
        assigned_names(&named, &LIVE).map_err(|found| {
            let lines = found.iter().map(|found| format!("{} {}", found.variable, found.reason));
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn sockets_are_the_listeners_that_their_names_name_or_come_in_order() {
        let (public, admin) = (ListenerName::Public, ListenerName::Admin);
        let cases: [(&str, &str, &[ListenerName]); 7] = [
            ("2", "admin:public", &[admin, public]),
            ("1", "admin", &[admin]),
            ("2", "", &[public, admin]),
            ("1", "", &[public]),
            ("2", "paygate.socket:paygate.socket", &[public, admin]),
            ("1", "unknown", &[public]),
            ("0", "", &[]),
        ];
        for (count, names, expected) in cases {
            assert_eq!(assigned("7", count, names).as_deref(), Ok(expected), "{count} {names}");
        }
    }

    #[test]
    fn sockets_for_another_process_are_none_of_ours() {
        for pid in ["8", ""] {
            assert_eq!(assigned(pid, "2", "admin:public").as_deref(), Ok(&[][..]), "{pid}");
        }
        assert_eq!(assigned("7", "", "").as_deref(), Ok(&[][..]));
    }

    #[test]
    fn wrong_variables_are_problems_with_the_remedy() {
        let cases = [
            ("x", "1", "", "LISTEN_PID is not the number of a process"),
            ("7", "one", "", "LISTEN_FDS is not a number of sockets"),
            ("7", "-1", "", "LISTEN_FDS is not a number of sockets"),
            ("7", "1000000000", "", "at most 3 listeners"),
            ("7", "3", "", "this configuration has 2 listeners: public, admin"),
            ("7", "2", "public", "LISTEN_FDNAMES has 1 names for the sockets of LISTEN_FDS=2"),
            ("7", "2", "public:public", "has the name twice: `public`"),
            (
                "7",
                "2",
                "public:mock",
                "does not have: `mock`. FileDescriptorName= is one of public",
            ),
            ("7", "2", "public:web", "names no listener: `web`"),
            ("7", "2", "a.socket:b.socket", "names no listener: `a.socket`"),
            ("7", "2", "public:paygate.socket", "names no listener: `paygate.socket`"),
        ];
        for (pid, count, names, words) in cases {
            let found = assigned(pid, count, names).unwrap_err();
            assert!(found.contains(words), "{count} {names}: {found}");
        }
    }
}
