//! What a stand-in is told to do with a call that its vendor would take.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How one call goes that is right in itself: what is wrong is refused as the vendor refuses it, and uses no behaviour
/// up. Where the effect is not named, nothing was done at the vendor.
///
/// As JSON (for the control route): `"ok"`, `"failure"`, `{"rateLimited": 30}`, `{"refusedAs": "not_in_channel"}`,
/// `{"slow": 500}` (milliseconds), `{"redirect": "http://…"}`,
/// `{"status": 503, "headers": {"retry-after": "7"}, "body": "busy"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Behaviour {
    /// Done, and answered as the vendor does.
    #[default]
    Ok,
    /// The vendor's own words for «too fast», with so many seconds to wait wherever it says them.
    RateLimited(u64),
    /// The vendor's own words for a fault of its own: a 500, or what it sends instead.
    Failure,
    /// What the vendor says when there is no use in trying again.
    Refused,
    /// The vendor's error of that name: `not_in_channel` (Slack), `RecordInvalid` (Zendesk), `UNABLE_TO_LOCK_ROW`
    /// (Salesforce), `ThrottlingException` (an entry of `PutEvents`), …
    RefusedAs(String),
    /// Done and answered as usual, but so much later; until then nothing is done.
    Slow(#[serde(with = "millis")] Duration),
    /// No answer ever.
    Hang,
    /// Done, and no answer ever.
    HangAfter,
    /// The connection is closed.
    CutBefore,
    /// Done, then the connection is closed.
    CutAfter,
    /// Done; the answer is a 200 and half a JSON object.
    Garbage,
    /// Done; the answer is a 200 whose body does not end.
    Huge,
    /// Done; the vendor's answer, called `text/html`.
    WrongType,
    /// A 307 to that address.
    Redirect(String),
    /// That answer, whatever it is.
    #[serde(untagged)]
    Status {
        /// The status.
        status: u16,
        /// Its headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The body, sent as it stands.
        #[serde(default)]
        body: String,
    },
}

impl Behaviour {
    /// That status, with no headers and an empty body.
    pub fn status(status: u16) -> Self {
        Self::Status { status, headers: BTreeMap::new(), body: String::new() }
    }

    /// With that header. Only a [`Behaviour::Status`] has any.
    pub fn header(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.insert(name.into(), value.to_string());
        }
        self
    }

    /// With that body. Only a [`Behaviour::Status`] has one.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let Self::Status { body, .. } = &mut self {
            *body = text.into();
        }
        self
    }

    /// The vendor's error of that name.
    pub fn refused_as(code: impl Into<String>) -> Self {
        Self::RefusedAs(code.into())
    }

    /// A 307 to that address.
    pub fn redirect(to: impl Into<String>) -> Self {
        Self::Redirect(to.into())
    }
}

/// What is the matter with a channel, a ticket, a record, a webhook, a bus or a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// It is there and takes what comes.
    Open,
    /// There is none.
    Missing,
    /// Archived, closed, deleted, switched off, timed out: the vendor's word for it.
    Closed,
    /// It is there, and not for these credentials.
    Foreign,
}

mod millis {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_millis().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_behaviour_is_read_from_short_json_and_survives_its_own() {
        let status = Behaviour::status(503).header("retry-after", 7).body("busy");
        for (json, behaviour) in [
            (json!("ok"), Behaviour::Ok),
            (json!("cutAfter"), Behaviour::CutAfter),
            (json!({"rateLimited": 30}), Behaviour::RateLimited(30)),
            (json!({"refusedAs": "not_in_channel"}), Behaviour::refused_as("not_in_channel")),
            (json!({"slow": 500}), Behaviour::Slow(Duration::from_millis(500))),
            (json!({"redirect": "http://x"}), Behaviour::redirect("http://x")),
            (json!({"status": 503, "headers": {"retry-after": "7"}, "body": "busy"}), status),
        ] {
            assert_eq!(serde_json::to_value(&behaviour).unwrap(), json);
            assert_eq!(serde_json::from_value::<Behaviour>(json).unwrap(), behaviour);
        }
        assert_eq!(
            serde_json::from_value::<Behaviour>(json!({"status": 500})).unwrap(),
            Behaviour::status(500)
        );
        assert!(serde_json::from_value::<Behaviour>(json!("okay")).is_err());
        assert!(serde_json::from_value::<Behaviour>(json!({"statsu": 500})).is_err());
    }
}
