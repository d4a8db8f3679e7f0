use crate::as_text;
use judges::address::{assert_callable, is_in_a_block};
use model::address::is_public;
use model::destination::Target;
use model::request::{NewRequest, RequestRules};
use serde_json::json;
use std::net::{IpAddr, Ipv6Addr};

/// An address, a host or a URL that a caller gives: none that only we can reach is called.
pub fn address(bytes: &[u8]) {
    let text = as_text(bytes);
    let four = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    let six = <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
    for address in [text.parse().ok(), four, six].into_iter().flatten() {
        judge(address);
    }
    for url in [text.clone().into_owned(), format!("https://{text}/"), format!("https://{text}:8443/a?b#c")] {
        let body = json!({ "userID": "u", "webhookURL": url }).to_string();
        let Ok(request) = NewRequest::parse(body.as_bytes(), &RequestRules::default()) else { continue };
        match &request.destinations[0].target {
            Target::Webhook { url } => assert_callable(url),
            other => panic!("{other:?}"),
        }
    }
}

fn judge(address: IpAddr) {
    match address {
        IpAddr::V4(four) => {
            assert_eq!(is_public(address), !address.is_multicast() && !is_in_a_block(address), "{address}");
            let private = four.is_private() || four.is_loopback() || four.is_link_local();
            assert!(!private || !is_public(address), "{address}");
            assert!(!is_public(four.to_ipv6_mapped().into()) && !is_public(four.to_ipv6_compatible().into()));
        }
        IpAddr::V6(six) => {
            let global = Ipv6Addr::to_bits(six) >> 125 == 1;
            assert_eq!(is_public(address), global && !is_in_a_block(address), "{address}");
        }
    }
}
