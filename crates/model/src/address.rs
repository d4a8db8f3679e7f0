//! Which addresses a stranger may have us call.
//!
//! What a stranger names must never be reached from inside: on AWS the credentials of instances and containers
//! (169.254.169.254, fd00:ec2::254, 169.254.170.2 and .23), the Lambda runtime's own API (127.0.0.1:9001, which
//! answers with the next event), and whatever a VPC holds. None of these is globally reachable, so none is public
//! here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// The blocks of IANA's registry that are not globally reachable, with multicast, and with 192.0.0.0/24 and the
/// deprecated relays whole: <https://www.iana.org/assignments/iana-ipv4-special-registry>.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 15] = [
    // This host: Linux connects it to loopback.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Carrier-grade NAT; VPCs use it too.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, and so every metadata service of AWS.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Relays from 6to4.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved, broadcast included.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// All of IPv6 that is assigned as global unicast:
/// <https://www.iana.org/assignments/ipv6-unicast-address-assignments>. Outside it lie loopback, `fc00::/7`,
/// `fe80::/10`, multicast, and what carries an IPv4 address: mapped, compatible, and `64:ff9b::/96` and
/// `64:ff9b:1::/48` (NAT64), through which a gateway would call an address that nobody looked at.
const GLOBAL_UNICAST_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What of it is special: <https://www.iana.org/assignments/iana-ipv6-special-registry>.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    // Protocols: Teredo (which carries an IPv4 address), benchmarks, ORCHID. No server stands in the few blocks
    // of it that are globally reachable.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4 carries an IPv4 address.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether an address is unicast that the whole internet can reach. An IPv6 address that carries an IPv4 one is
/// not, whichever it carries.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|&block| is_in_v4(address, block)),
        IpAddr::V6(address) => {
            is_in_v6(address, GLOBAL_UNICAST_V6)
                && !NOT_PUBLIC_V6.iter().any(|&block| is_in_v6(address, block))
        }
    }
}

/// The address that a URL's host spells out, in whichever notation: none if the host is a name. A client connects to
/// it without asking a resolver, so no check that sits there sees it. A name that would still be read as an address
/// after this does not exist: URLs are parsed as the WHATWG says, where what ends in a number is one or is no URL.
pub fn spelt_out(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Whether a URL's host is surely not public, without asking a resolver: other names may turn out not to be either.
pub(crate) fn is_surely_private(url: &Url) -> bool {
    match spelt_out(url) {
        Some(address) => !is_public(address),
        None => {
            let name = url.host_str().unwrap_or_default().trim_end_matches('.');
            name.rsplit('.').next() == Some("localhost")
        }
    }
}

fn is_in_v4(address: Ipv4Addr, (block, length): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ block.to_bits()).leading_zeros() >= length
}

fn is_in_v6(address: Ipv6Addr, (block, length): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ block.to_bits()).leading_zeros() >= length
}
