//! A signed webhook: LogRocket's own payload, signed as Standard Webhooks has it.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use super::{Failure, Handover, MAX_ANSWER, Vendors, secret_pieces};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use model::payload;
use model::secrets::DestinationSecrets;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use secrecy::ExposeSecret;
use sha2::Sha256;

impl Vendors {
    /// Any 2xx is a yes. The id is the same in every try, so that a receiver can tell a repeat.
    pub(super) async fn webhook(
        &self,
        handover: &Handover<'_>,
        url: &str,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        let key = secrets.signing_key.as_ref().map_err(Clone::clone)?;
        let body = payload::whole(handover.record, handover.result, &self.settings.shared.app).to_string();
        let id = &handover.delivery_id;
        let timestamp = aws::clock::now().0.div_euclid(1000).to_string();
        let request = self
            .guarded
            .request(Method::POST, url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", signature(key.expose_secret(), id, &timestamp, &body))
            .body(body);
        let answer = self.guarded.send_for_status(request, MAX_ANSWER, handover.time_left()).await?;
        if answer.is_success() {
            return Ok(None);
        }
        // A receiver may say what it was called by, and what it knows the signature by.
        let key = STANDARD.encode(key.expose_secret());
        let hidden = [&secret_pieces(url)[..], &[&key]].concat();
        Err(Failure::of_answer("the webhook", &answer, &hidden))
    }
}

/// `v1,` and the base64 of the HMAC over `id.timestamp.body`.
fn signature(key: &[u8], id: &str, timestamp: &str, body: &str) -> String {
    // HMAC takes keys of any length; if it ever did not, an empty signature fits nothing.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    for part in [id, ".", timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's reference libraries.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
