//! Of addresses: every block that is not public, written out once more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::Url;

pub const NOT_PUBLIC_V4: [&str; 22] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.170/31",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/8",
    "233.252.0.0/24",
    "239.0.0.0/8",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "169.254.169.254/32",
];

pub const NOT_PUBLIC_V6: [&str; 30] = [
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "200::/7",
    "1000::/4",
    "2001::/23",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "4000::/2",
    "5f00::/16",
    "8000::/2",
    "c000::/3",
    "e000::/4",
    "fc00::/7",
    "fd00:ec2::254/128",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// The first address of a block and how many bits lie behind its prefix.
pub fn v4(block: &str) -> (u32, u32) {
    let (first, length) = block.split_once('/').unwrap();
    (first.parse::<Ipv4Addr>().unwrap().to_bits(), 32 - length.parse::<u32>().unwrap())
}

pub fn v6(block: &str) -> (u128, u32) {
    let (first, length) = block.split_once('/').unwrap();
    (first.parse::<Ipv6Addr>().unwrap().to_bits(), 128 - length.parse::<u32>().unwrap())
}

/// Whether an address is in one of the blocks.
pub fn is_in_a_block(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => NOT_PUBLIC_V4.iter().any(|block| {
            let (first, bits) = v4(block);
            u64::from(address.to_bits()) >> bits == u64::from(first) >> bits
        }),
        IpAddr::V6(address) => NOT_PUBLIC_V6.iter().any(|block| {
            let (first, bits) = v6(block);
            address.to_bits().checked_shr(bits) == first.checked_shr(bits)
        }),
    }
}

/// Fails unless the URL is one that a stranger may have us call: `https`, no credentials, and a host that is a public
/// address or a name that no client reads as an address.
pub fn assert_callable(text: &str) {
    let url = Url::parse(text).unwrap();
    assert_eq!(url.as_str(), text);
    let behind = text.strip_prefix("https://").unwrap_or_else(|| panic!("{text:?}"));
    let authority = behind.split(['/', '?', '#', '\\']).next().unwrap();
    assert!(!authority.contains('@') && !authority.is_empty(), "{text:?}");
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => authority,
    };
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = literal.parse::<IpAddr>() {
        assert!(!is_in_a_block(address) && !address.is_multicast(), "{text:?}");
        return;
    }
    assert_eq!(literal, host, "{text:?}");
    // A dot at the end is the root's; with two of them it is no name that anybody resolves.
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap();
    let number = match last.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    assert!(!number && last != "localhost" && host.is_ascii(), "{text:?}");
    assert_eq!(host, host.to_ascii_lowercase(), "{text:?}");
}
