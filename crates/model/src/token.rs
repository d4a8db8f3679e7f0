//! The two tokens that let somebody in: the callback's MAC and the API token. Both are compared in constant
//! time. (What opens a page is a [`crate::view_link`], by the same keys.)

use crate::id::RequestId;
use crate::time::Time;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The keys that callback tokens and the links to pages are made with: the first signs, all of them verify, so that a
/// key can be rotated while callbacks are under way.
#[derive(Clone, Debug)]
pub struct CallbackKeys(Vec<SecretSlice<u8>>);

impl CallbackKeys {
    /// `None` without any key.
    pub fn new(keys: Vec<SecretSlice<u8>>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The token of one attempt's callback URL: when the request was opened, and an HMAC-SHA256 in URL-safe base64.
    ///
    /// A key of a deleted request may be used again: then the same id and attempt mean another request, and only
    /// the opening tells a late callback of the first from one of the second.
    pub fn sign(&self, app: &str, request_id: &RequestId, attempt: u32, opened: Time) -> String {
        self.seal(opened, &callback(app, request_id.as_str(), attempt, opened))
    }

    /// When the request was opened that `token` was made for, with any of the keys; `None` if it was not made for
    /// exactly this.
    pub fn verify(&self, app: &str, request_id: &str, attempt: u32, token: &str) -> Option<Time> {
        self.unseal(token, |opened| callback(app, request_id, attempt, opened))
    }

    /// The opening, and the MAC of a message that has it in it. Messages of two purposes begin with different lines, so
    /// that none passes for the other.
    pub(crate) fn seal(&self, opened: Time, message: &str) -> String {
        let mac = self.0.first().and_then(|key| mac(key, message));
        let mac = mac.map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())).unwrap_or_default();
        format!("{}.{mac}", opened.0)
    }

    /// The opening that a seal names, if any of the keys made it of the message of that opening.
    pub(crate) fn unseal(&self, seal: &str, message: impl Fn(Time) -> String) -> Option<Time> {
        let (opened_text, given) = seal.split_once('.')?;
        let opened = Time(opened_text.parse().ok()?);
        let given = URL_SAFE_NO_PAD.decode(given).ok()?;
        let message = message(opened);
        // Every key is tried, so that the time tells nothing of which one matched.
        let fits = self.0.iter().fold(false, |fits, key| {
            let right = mac(key, &message).is_some_and(|mac| mac.verify_slice(&given).is_ok());
            fits | right
        });
        (fits && opened.0.to_string() == opened_text).then_some(opened)
    }
}

/// The parts are separated by line feeds, which none of them can hold: no two messages are the same bytes.
fn callback(app: &str, request_id: &str, attempt: u32, opened: Time) -> String {
    let opened = opened.0;
    format!("galileo-highlights callback\n{app}\n{request_id}\n{attempt}\n{opened}")
}

fn mac(key: &SecretSlice<u8>, message: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).ok()?;
    mac.update(message.as_bytes());
    Some(mac)
}

/// Reads the `attempt` of a callback URL in its one spelling; `01` or `+1` would be second URLs of one MAC.
pub fn parse_attempt(text: &str) -> Option<u32> {
    let attempt: u32 = text.parse().ok().filter(|attempt| *attempt > 0)?;
    (attempt.to_string() == text).then_some(attempt)
}

/// The named tokens that may ask.
#[derive(Clone, Debug, Default)]
pub struct ApiTokens(Vec<(String, SecretString)>);

impl ApiTokens {
    pub fn new(tokens: Vec<(String, SecretString)>) -> Self {
        Self(tokens)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of the token that was presented. Digests are compared, so that neither length nor position
    /// shows in the time taken.
    pub fn name_of(&self, presented: &str) -> Option<&str> {
        let presented = Sha256::digest(presented.as_bytes());
        let mut found = None;
        for (name, token) in &self.0 {
            let token = Sha256::digest(token.expose_secret().as_bytes());
            let same: Choice = presented.as_slice().ct_eq(token.as_slice());
            if bool::from(same) {
                found = Some(name.as_str());
            }
        }
        found
    }
}

/// The token of an `Authorization` header: `Bearer …`, or LogRocket's own spelling `token …`.
pub fn from_authorization(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    Some(token.trim()).filter(|token| known && !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> CallbackKeys {
        let keys = bytes.iter().map(|byte| SecretSlice::from(vec![*byte; 32])).collect();
        CallbackKeys::new(keys).unwrap()
    }

    const OPENED: Time = Time(1_715_481_030_123);

    #[test]
    fn a_token_fits_its_app_request_attempt_and_opening_and_nothing_else() {
        let keys = keys(&[1]);
        let id = RequestId::for_key("a", "b");
        let other = RequestId::for_key("a", "c");
        let token = keys.sign("org/app", &id, 1, OPENED);
        assert_eq!(keys.verify("org/app", id.as_str(), 1, &token), Some(OPENED));
        assert_eq!(keys.verify("org/other", id.as_str(), 1, &token), None);
        assert_eq!(keys.verify("org/app", other.as_str(), 1, &token), None);
        assert_eq!(keys.verify("org/app", id.as_str(), 2, &token), None);
        let (opened, mac) = token.split_once('.').unwrap();
        let later = format!("{}.{mac}", OPENED.0 + 1);
        let zero = format!("0{token}");
        let padded = format!("{token}=");
        let short = &token[..token.len() - 1];
        for forged in ["", ".", "AAAA", opened, mac, short, &later, &zero, &padded, &token.to_lowercase()] {
            assert_eq!(keys.verify("org/app", id.as_str(), 1, forged), None, "{forged}");
        }
    }

    #[test]
    fn the_previous_key_still_verifies_and_a_dropped_one_does_not() {
        let id = RequestId::for_key("a", "b");
        let before = keys(&[1]).sign("org/app", &id, 1, OPENED);
        assert_eq!(keys(&[2, 1]).verify("org/app", id.as_str(), 1, &before), Some(OPENED));
        assert_eq!(keys(&[2]).verify("org/app", id.as_str(), 1, &before), None);
        assert!(CallbackKeys::new(Vec::new()).is_none());
    }

    #[test]
    fn an_attempt_has_one_spelling() {
        assert_eq!(parse_attempt("1"), Some(1));
        for text in ["", "0", "01", "+1", "-1", " 1", "1,1", "4294967296"] {
            assert_eq!(parse_attempt(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_is_known_by_its_name() {
        let token = |name: &str, token: &str| (name.to_owned(), SecretString::from(token));
        let tokens = ApiTokens::new(vec![token("zendesk", "one"), token("ops", "two")]);
        assert_eq!(tokens.name_of("two"), Some("ops"));
        assert_eq!(tokens.name_of("tw"), None);
        assert_eq!(tokens.name_of(""), None);
    }

    #[test]
    fn both_spellings_of_the_header_are_read() {
        assert_eq!(from_authorization("Bearer abc"), Some("abc"));
        assert_eq!(from_authorization("token org:app:x"), Some("org:app:x"));
        for header in ["", "abc", "Basic abc", "Bearer ", "Bearer"] {
            assert_eq!(from_authorization(header), None, "{header}");
        }
    }
}
