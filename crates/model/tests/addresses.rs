//! Which addresses are public: every block that is not, written out once more, and what stands beside it.

#![cfg(test)]

use judges::address::{NOT_PUBLIC_V4, NOT_PUBLIC_V6, is_in_a_block, v4, v6};
use model::address::is_public;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn in_v4((first, bits): (u32, u32), random: u32) -> IpAddr {
    Ipv4Addr::from_bits(first | (random & ((1_u64 << bits) - 1) as u32)).into()
}

fn in_v6((first, bits): (u128, u32), random: u128) -> IpAddr {
    Ipv6Addr::from_bits(first | (random & 1_u128.checked_shl(bits).map_or(u128::MAX, |all| all - 1))).into()
}

#[test]
fn the_first_and_last_address_of_a_block_are_not_public() {
    for block in NOT_PUBLIC_V4 {
        assert!(!is_public(in_v4(v4(block), 0)) && !is_public(in_v4(v4(block), u32::MAX)), "{block}");
    }
    for block in NOT_PUBLIC_V6 {
        assert!(!is_public(in_v6(v6(block), 0)) && !is_public(in_v6(v6(block), u128::MAX)), "{block}");
    }
}

#[test]
fn what_stands_beside_the_blocks_is_public() {
    for address in [
        "1.0.0.0",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2000::",
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2003::",
        "2606:4700:4700::1111",
        "2a05:d018::1",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::",
    ] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_within_a_block_is_public(
        four in proptest::sample::select(NOT_PUBLIC_V4.as_slice()),
        six in proptest::sample::select(NOT_PUBLIC_V6.as_slice()),
        random: u128,
    ) {
        let (four, six) = (in_v4(v4(four), random as u32), in_v6(v6(six), random));
        prop_assert!(!is_public(four), "{four}");
        prop_assert!(!is_public(six), "{six}");
    }

    #[test]
    fn what_lies_in_no_block_is_public(random: u128) {
        let four = IpAddr::from(Ipv4Addr::from_bits(random as u32));
        let six = IpAddr::from(Ipv6Addr::from_bits(random));
        prop_assert_eq!(is_public(four), !four.is_multicast() && !is_in_a_block(four));
        let outside = random >> 125 != 1;
        prop_assert_eq!(is_public(six), !outside && !is_in_a_block(six));
    }

    #[test]
    fn no_address_that_carries_an_ipv4_one_is_public(bits: u32, low: u64, random: u128) {
        let four = Ipv4Addr::from_bits(bits);
        let carried = u128::from(bits);
        for six in [
            four.to_ipv6_mapped(),
            four.to_ipv6_compatible(),
            // NAT64, well-known and local; 6to4; Teredo, whose client is written inverted.
            Ipv6Addr::from_bits((0x64_ff9b_u128 << 96) | carried),
            Ipv6Addr::from_bits((0x64_ff9b_0001_u128 << 80) | carried),
            Ipv6Addr::from_bits((0x2002_u128 << 112) | (carried << 80) | u128::from(low)),
            Ipv6Addr::from_bits((0x2001_0000_u128 << 96) | (random >> 32 & !0xffff_ffff) | u128::from(!bits)),
        ] {
            prop_assert!(!is_public(six.into()), "{six}");
        }
    }
}
