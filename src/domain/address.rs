//! Which addresses a buyer on the internet can have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `ip` can be a buyer's address on the public internet: not private, not this machine's,
/// not a carrier's inner one (RFC 6598), not reserved for documentation or tests.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let reserved = a == 0                       // "this network", RFC 791
        || a >= 240                             // reserved and broadcast
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT, RFC 6598
        || (a == 192 && b == 0 && c == 0)       // IETF assignments, RFC 6890
        || (a == 198 && (b == 18 || b == 19)); // benchmarks, RFC 2544
    !(reserved
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let global_unicast = first & 0xe000 == 0x2000; // RFC 4291 section 2.4
    let documentation = first == 0x2001 && second == 0x0db8; // RFC 3849
    let teredo_or_6to4 = (first == 0x2001 && second == 0) || first == 0x2002;
    global_unicast && !documentation && !teredo_or_6to4
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
