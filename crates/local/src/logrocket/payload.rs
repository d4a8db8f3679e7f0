//! What LogRocket says: the body of a callback, which is also the answer to a poll.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::behaviour::{Dialect, Outcome, Shape};

/// What a result is told about: one request that was taken.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) id: String,
    pub(super) app_id: String,
    pub(super) app_url: String,
    pub(super) question: Option<String>,
    /// Epoch milliseconds between which the sessions lie.
    pub(super) range: (i64, i64),
}

/// What the simulated users did: what happened, as a link's text, and how it is told.
const EPISODES: [(&str, &str); 5] = [
    (
        "checks out their cart",
        "The payment form stays greyed out after the card number is entered, and they reload the page twice.",
    ),
    (
        "encounters an error",
        "`POST /api/payments` answers 500; the page shows *Something went wrong* and offers no way on.",
    ),
    (
        "rage-clicks the Save button",
        "Nothing on the page changes for eleven seconds, after which the same settings are shown again.",
    ),
    (
        "searches the help center",
        "They look for \"change billing address\", open two articles, and leave without finding the form.",
    ),
    (
        "abandons the sign-up form",
        "The field for the company's VAT number refuses what they typed three times, without saying why.",
    ),
];

/// The body that tells `outcome`.
pub(super) fn payload(subject: &Subject, outcome: Outcome, shape: &Shape) -> Value {
    let (status, result) = match (outcome, shape.dialect) {
        (Outcome::Pending, _) => ("PENDING", Value::Null),
        (Outcome::Failed, _) => ("FAILED", Value::Null),
        (Outcome::Ready, Dialect::Ready) => ("READY", result(subject, shape)),
        (Outcome::Ready, Dialect::Complete) => ("COMPLETE", result(subject, shape)),
    };
    let mut payload = json!({
        "result": result,
        "status": status,
        "appID": subject.app_id,
        "requestID": subject.id,
    });
    if shape.extra_fields {
        payload["apiVersion"] = json!(2);
        payload["usage"] = json!({ "creditsUsed": 1, "tags": ["galileo", null] });
        if payload["result"].is_object() {
            payload["result"]["generatedBy"] = json!("galileo");
        }
    }
    payload
}

fn result(subject: &Subject, shape: &Shape) -> Value {
    let sessions: Vec<_> = (0..shape.sessions).map(|index| Session::new(subject, index)).collect();
    let mut highlights = overview(subject, &sessions);
    if highlights.len() < shape.bytes {
        let missing = shape.bytes - highlights.len();
        highlights.push_str("\n\n");
        highlights.push_str(&filling(&subject.id, missing, shape.incompressible));
    }
    let sessions: Vec<_> = sessions.iter().map(|session| session.json(shape)).collect();
    json!({ "highlights": highlights, "sessions": sessions })
}

fn overview(subject: &Subject, sessions: &[Session]) -> String {
    let mut text = String::new();
    if let Some(question) = &subject.question {
        let answer = match sessions.first() {
            Some(first) => format!("Most likely because of what happened when the user {}.", first.link()),
            None => "There are no sessions to answer it from.".to_owned(),
        };
        text.push_str(&format!("**{question}** {answer}\n\n"));
    }
    match sessions {
        [] => text.push_str("No sessions were found for this user."),
        [only] => text.push_str(&format!("The user {}. {}", only.link(), only.detail)),
        [first, others @ ..] => {
            text.push_str(&format!("The user {}", first.link()));
            for (index, other) in others.iter().enumerate() {
                let comma = if index + 1 == others.len() { " and" } else { "," };
                text.push_str(&format!("{comma} {}", other.link()));
            }
            text.push_str(&format!(".\n\n- {}", first.detail));
            for other in others {
                text.push_str(&format!("\n- {}", other.detail));
            }
        }
    }
    text
}

struct Session {
    recording_id: String,
    session_id: usize,
    url: String,
    action: &'static str,
    detail: &'static str,
}

impl Session {
    fn new(subject: &Subject, index: usize) -> Self {
        let digest = hex(&Sha256::digest(format!("{}/{index}", subject.id)));
        let recording_id = format!(
            "5-{}-{}-{}-{}-{}",
            &digest[..8],
            &digest[8..12],
            &digest[12..16],
            &digest[16..20],
            &digest[20..32]
        );
        // The most recent comes first, and two sessions in a row belong to one recording now and then.
        let session_id = index % 2;
        let (start, end) = subject.range;
        let since = (end - start) / (i64::try_from(index).unwrap_or(i64::MAX - 2) + 2);
        let url = format!(
            "{}/{}/s/{recording_id}/{session_id}?t={}",
            subject.app_url,
            subject.app_id,
            start + since
        );
        let (action, detail) = EPISODES[index % EPISODES.len()];
        Self { recording_id, session_id, url, action, detail }
    }

    fn link(&self) -> String {
        format!("[{}]({})", self.action, self.url)
    }

    fn json(&self, shape: &Shape) -> Value {
        let highlights = format!("The user {}. {}", self.link(), self.detail);
        let mut session = json!({ "recordingID": self.recording_id, "highlights": highlights });
        match shape.dialect {
            Dialect::Ready => session["sessionID"] = json!(self.session_id),
            Dialect::Complete => session["sessionId"] = json!(self.session_id.to_string()),
        }
        if shape.extra_fields {
            session["durationMs"] = json!(184_000);
            session["device"] = json!({ "browser": "Firefox", "mobile": false });
        }
        session
    }
}

/// `bytes` of ASCII, the same for the same id.
fn filling(id: &str, bytes: usize, incompressible: bool) -> String {
    if !incompressible {
        let sentence = "They scroll to the end of the page, and back. ";
        return sentence.chars().cycle().take(bytes).collect();
    }
    let noise = (0_u64..).flat_map(|block| Sha256::digest(format!("{id} {block}")));
    // Letters and signs that mean nothing to Markdown or JSON: 6 bits of noise in 8.
    noise
        .map(|byte| match byte % 64 {
            low @ 0..26 => char::from(b'a' + low),
            middle @ 26..52 => char::from(b'A' + middle - 26),
            high @ 52..62 => char::from(b'0' + high - 52),
            62 => '-',
            _ => ' ',
        })
        .take(bytes)
        .collect()
}

/// 64 hex digits, as LogRocket's ids are.
pub(super) fn new_id() -> String {
    hex(&Sha256::digest(uuid::Uuid::now_v7().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(question: Option<&str>) -> Subject {
        Subject {
            id: "0cc1".to_owned(),
            app_id: "org/app".to_owned(),
            app_url: "https://app.logrocket.com".to_owned(),
            question: question.map(str::to_owned),
            range: (1_715_481_030_000, 1_715_567_430_000),
        }
    }

    #[test]
    fn ready_is_told_as_on_logrockets_page() {
        let told = payload(&subject(None), Outcome::Ready, &Shape::default());

        assert_eq!(told["status"], "READY");
        assert_eq!(told["appID"], "org/app");
        assert_eq!(told["requestID"], "0cc1");
        let highlights = told["result"]["highlights"].as_str().unwrap();
        let sessions = told["result"]["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), 3);
        for session in sessions {
            let recording = session["recordingID"].as_str().unwrap();
            let number = session["sessionID"].as_u64().unwrap();
            let link = format!("(https://app.logrocket.com/org/app/s/{recording}/{number}?t=17155");
            assert!(highlights.contains(&link), "{highlights}");
            assert!(session["highlights"].as_str().unwrap().contains(&link));
        }
    }

    #[test]
    fn complete_is_told_as_in_the_published_asyncapi() {
        let shape = Shape { dialect: Dialect::Complete, extra_fields: true, ..Shape::default() };
        let told = payload(&subject(None), Outcome::Ready, &shape);

        assert_eq!(told["status"], "COMPLETE");
        assert_eq!(told["result"]["sessions"][1]["sessionId"], "1");
        assert!(told["result"]["sessions"][1]["recordingID"].is_string());
        assert!(told["usage"].is_object() && told["result"]["generatedBy"].is_string());
    }

    #[test]
    fn a_question_is_answered_in_the_text() {
        let told = payload(&subject(Some("Why?")), Outcome::Ready, &Shape::default());
        let highlights = told["result"]["highlights"].as_str().unwrap();
        assert!(highlights.starts_with("**Why?** "), "{highlights}");
    }

    #[test]
    fn failed_and_pending_have_no_result() {
        for (outcome, status) in [(Outcome::Failed, "FAILED"), (Outcome::Pending, "PENDING")] {
            let told = payload(&subject(None), outcome, &Shape::default());
            let expected = json!({"result": null, "status": status, "appID": "org/app", "requestID": "0cc1"});
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn a_result_can_be_empty_or_of_any_size() {
        let shape =
            |sessions, bytes, incompressible| Shape { sessions, bytes, incompressible, ..Shape::default() };
        let told = payload(&subject(None), Outcome::Ready, &shape(0, 0, false));
        assert_eq!(told["result"]["sessions"], json!([]));
        for incompressible in [false, true] {
            let told = payload(&subject(None), Outcome::Ready, &shape(10, 500_000, incompressible));
            let length = told["result"]["highlights"].as_str().unwrap().len();
            assert!((500_000..500_010).contains(&length), "{length}");
        }
    }
}
