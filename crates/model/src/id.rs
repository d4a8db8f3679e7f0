//! The `requestID`: ours, minted before LogRocket is called.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The namespace of every UUIDv5 made here. It must never change: a repeat of an old key would become a
/// new request.
const NAMESPACE: Uuid = Uuid::from_u128(0x9d2a_4c55_6b0e_4a53_8f7b_2f1f_6c1d_7e90);

/// The id of one request: a UUID in its lower-case, hyphenated form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// The id of a request without an idempotency key; `fresh` is a UUIDv7 of the caller's making.
    pub fn from_uuid(fresh: Uuid) -> Self {
        Self(fresh.hyphenated().to_string())
    }

    /// The id that this caller's key always means: the key itself is what makes a repeat find its twin.
    pub fn for_key(caller: &str, key: &str) -> Self {
        // The length goes first, so that no two pairs of caller and key run together into one name.
        let name = format!("{}:{caller}{key}", caller.len());
        Self::from_uuid(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }

    /// Reads an id that somebody sent; `None` if it is not a UUID in hyphenated form.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 36 {
            return None;
        }
        Uuid::try_parse(text).ok().map(Self::from_uuid)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A number from 0 to `of - 1` that spreads the ids evenly: the last byte of a UUIDv5 or v7 is random.
    pub fn shard(&self, of: u8) -> u8 {
        let last = self.0.get(34..).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        last.unwrap_or(0) % of.max(1)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_always_means_the_same_id_and_another_caller_another() {
        let id = RequestId::for_key("zendesk", "ticket-1");
        assert_eq!(id, RequestId::for_key("zendesk", "ticket-1"));
        assert_ne!(id, RequestId::for_key("ops", "ticket-1"));
        assert_ne!(RequestId::for_key("a", "bc"), RequestId::for_key("ab", "c"));
    }

    #[test]
    fn only_hyphenated_uuids_are_ids() {
        let id = RequestId::for_key("a", "b");
        assert_eq!(RequestId::parse(&id.as_str().to_uppercase()), Some(id.clone()));
        assert_eq!(RequestId::parse(&id.as_str().replace('-', "")), None);
        assert_eq!(RequestId::parse("budget#2026-11"), None);
        assert_eq!(RequestId::parse(""), None);
    }

    #[test]
    fn shards_are_used_evenly() {
        let mut counts = [0u32; 4];
        for n in 0..4000 {
            counts[usize::from(RequestId::for_key("a", &n.to_string()).shard(4))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
