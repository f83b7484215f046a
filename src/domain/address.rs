//! The addresses that a buyer on the internet can have, and those of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::Ipv4Net;

/// Whether the internet can reach `address`, as WeChat Pay requires of an H5 buyer's.
///
/// Private, loopback, link-local, shared (RFC 6598), documentation, benchmarking, multicast,
/// reserved and transition (6to4, Teredo, NAT64) addresses are not public.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !PRIVATE_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The address by which a program on this machine reaches the listener at `listen`: loopback where
/// that is every address of the machine.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

/// Global unicast is `2000::/3` (IANA, IPv6 Global Unicast Address Assignments), without the
/// blocks in it that reach no host (IANA, IPv6 Special-Purpose Address Registry).
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    match (first, second) {
        (0x2001, 0..=0x01ff) => false, // IETF protocols, Teredo and ORCHID among them.
        (0x2001, 0x0db8) => false,     // Documentation.
        (0x3fff, 0..=0x0fff) => false, // Documentation.
        (0x2002, _) => false,          // 6to4.
        _ => first & 0xe000 == 0x2000,
    }
}

/// IANA, IPv4 Special-Purpose Address Registry, and multicast (RFC 5771).
const PRIVATE_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

const fn v4(address: [u8; 4], prefix_len: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_reserved_addresses_are_not_public() {
        let cases = [
            ("8.8.8.8", true),
            ("223.104.63.1", true),
            ("100.63.255.255", true),
            ("100.64.0.1", false),
            ("10.0.0.1", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("192.0.2.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("198.18.0.1", false),
            ("::1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("2408:8000::1", true),
            ("2001:db8::1", false),
            ("2002:0808:0808::1", false),
            ("fe80::1", false),
            ("fd00::1", false),
        ];
        for (text, public) in cases {
            assert_eq!(text.parse().map(is_public), Ok(public), "{text}");
        }
    }
}
