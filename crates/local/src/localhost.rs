//! Names below `localhost`, which are this machine wherever one asks: RFC 6761, 6.3. Not every system's resolver knows.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::iter;
use std::net::{Ipv4Addr, SocketAddr};

/// Leads `localhost` and what ends in `.localhost` to 127.0.0.1; the system looks up all else.
#[derive(Clone, Copy, Debug)]
pub struct Localhost;

impl Resolve for Localhost {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str();
            if name == "localhost" || name.ends_with(".localhost") {
                return Ok(Box::new(iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))) as Addrs);
            }
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}
