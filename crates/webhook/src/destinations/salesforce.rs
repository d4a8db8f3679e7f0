//! Salesforce: a completed task on a record.
//!
//! - The token, by OAuth's client credentials:
//!   <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_client_credentials_flow.htm>. It says
//!   nothing of how long it is good for: until a 401.
//! - `POST …/sobjects/Task`:
//!   <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/dome_sobject_create.htm>, and the fields:
//!   <https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_task.htm>,
//!   their lengths:
//!   <https://developer.salesforce.com/docs/atlas.en-us.sfFieldRef.meta/sfFieldRef/salesforce_field_reference_Task.htm>
//! - Errors: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm>
//!
//! Nothing tells Salesforce a repeat: a task whose answer was lost is made twice.

use super::{Decision, Failure, Handover, Vendors, WAIT_FOR_THE_NEXT_DAY, made, utf16_units};
use aws::outgoing::Answer;
use model::render::{Inline, Line, Links, text};
use model::secrets::{DestinationSecrets, SalesforceSecret};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Of Spring '26. Salesforce supports a version for three years at least:
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/api_rest_eol.htm>.
const TASKS: &str = "services/data/v66.0/sobjects/Task";
const MAX_SUBJECT: usize = 255;
const MAX_DESCRIPTION: usize = 32_000;

/// The token that is in use; deliveries share it.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Option<Session>>);

#[derive(Clone)]
struct Session {
    /// What it was got for: another secret gets another.
    secret: SalesforceSecret,
    token: SecretString,
    /// Without a slash at its end.
    api_url: String,
}

impl Vendors {
    pub(super) async fn salesforce(
        &self,
        handover: &Handover<'_>,
        record_id: &str,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        let secret = secrets.salesforce.as_ref().map_err(Clone::clone)?;
        let tasks = tasks(handover, record_id);
        handover.send_all(&tasks, |task, _| self.salesforce_task(handover, secret, task)).await
    }

    async fn salesforce_task(
        &self,
        handover: &Handover<'_>,
        secret: &SalesforceSecret,
        task: &Value,
    ) -> Result<Option<String>, Failure> {
        let mut session = self.salesforce_session(handover, secret, None).await?;
        let mut answer = self.salesforce_post(handover, &session, task).await?;
        if answer.status == 401 {
            session = self.salesforce_session(handover, secret, Some(&session)).await?;
            answer = self.salesforce_post(handover, &session, task).await?;
        }
        read(&answer, &[session.token.expose_secret(), secret.client_secret.expose_secret()])
    }

    async fn salesforce_post(
        &self,
        handover: &Handover<'_>,
        session: &Session,
        task: &Value,
    ) -> Result<Answer, Failure> {
        let url = format!("{}/{TASKS}", session.api_url);
        let request = self.json(Method::POST, &url, task).bearer_auth(session.token.expose_secret());
        self.send(handover, request).await
    }

    /// The session that is there, or a new one if it is of another secret, or the one that was refused. Who comes
    /// while one is being got waits for it.
    async fn salesforce_session(
        &self,
        handover: &Handover<'_>,
        secret: &SalesforceSecret,
        refused: Option<&Session>,
    ) -> Result<Session, Failure> {
        let current = timeout(handover.time_left(), self.salesforce.0.lock()).await;
        let mut current = current.map_err(|_| Failure::again("no answer"))?;
        let usable = current.as_ref().filter(|session| {
            is_same(&session.secret, secret)
                && refused.is_none_or(|refused| !is_equal(&session.token, &refused.token))
        });
        if let Some(session) = usable {
            return Ok(session.clone());
        }
        let url = format!("{}/services/oauth2/token", secret.instance_url);
        let request = self.request(Method::POST, &url).form(&[
            ("grant_type", "client_credentials"),
            ("client_id", secret.client_id.expose_secret()),
            ("client_secret", secret.client_secret.expose_secret()),
        ]);
        let session = granted(&self.send(handover, request).await?, secret)?;
        *current = Some(session.clone());
        Ok(session)
    }
}

fn is_same(one: &SalesforceSecret, other: &SalesforceSecret) -> bool {
    one.instance_url == other.instance_url
        && is_equal(&one.client_id, &other.client_id)
        && is_equal(&one.client_secret, &other.client_secret)
}

fn is_equal(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

/// Reads the answer to the client credentials. A refusal is always about what stands in the secret, the instance's
/// URL included.
fn granted(answer: &Answer, secret: &SalesforceSecret) -> Result<Session, Failure> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: SecretString,
        instance_url: Option<String>,
    }
    /// The codes: <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_flow_errors.htm>.
    #[derive(Deserialize)]
    struct Refused {
        error: String,
    }
    const VENDOR: &str = "Salesforce, asked for a token,";
    if answer.is_success() {
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|_| Failure::again(format!("{VENDOR} answered {} without one", answer.status)))?;
        let api_url = api_url(&secret.instance_url, granted.instance_url.as_deref());
        return Ok(Session { secret: secret.clone(), token: granted.access_token, api_url });
    }
    let hidden = [secret.client_secret.expose_secret(), secret.client_id.expose_secret()];
    let failure = Failure::of_answer(VENDOR, answer, &hidden);
    let decision = match (failure.decision, serde_json::from_slice::<Refused>(&answer.body)) {
        (again @ Decision::Again { .. }, _) => again,
        // "retry your request", say its words.
        (_, Ok(Refused { error })) if matches!(&error[..], "rate_limit_exceeded" | "unknown_error") => {
            Decision::Again { retry_after: None }
        }
        _ => {
            let error = failure.error + ": check destinations.salesforce in the secret";
            return Err(Failure::unauthorized(error));
        }
    };
    Err(Failure { decision, ..failure })
}

/// Where the API is. The answer that brings a token says so, and is believed as far as its host is Salesforce's own:
/// the token goes nowhere else, whoever answered. Otherwise it is where the token came from, an address of the
/// operator's choice: this flow is spoken at the organisation's My Domain, where the API is too.
fn api_url(configured: &str, answered: Option<&str>) -> String {
    let is_salesforce = |url: &Url| {
        url.scheme() == "https"
            && url.host_str().is_some_and(|host| host.ends_with(".salesforce.com"))
            && url.port().is_none()
    };
    let answered = answered.and_then(|text| Url::parse(text).ok()).filter(is_salesforce);
    answered.map_or_else(|| configured.to_owned(), |url| url.origin().ascii_serialization())
}

/// The page as tasks.
fn tasks(handover: &Handover<'_>, record_id: &str) -> Vec<Value> {
    let parts = handover.parts(MAX_DESCRIPTION, |document| description_units(&text::write(document)));
    let record = handover.record;
    let day: String = record.completed_at.unwrap_or(record.created_at).to_string().chars().take(10).collect();
    let (user, of) = (record.request.subject.as_field().1, parts.len());
    let tasks = parts.iter().enumerate().map(|(index, part)| {
        json!({
            "Subject": subject(user, handover.links, index + 1, of),
            "Description": text::write(part),
            "Status": "Completed",
            "ActivityDate": day,
            relation(record_id): record_id,
        })
    });
    tasks.collect()
}

/// A line feed may be kept as two characters.
fn description_units(text: &str) -> usize {
    utf16_units(text) + text.matches('\n').count()
}

/// One line of characters that show, whatever the user calls himself.
fn subject(user: &str, links: &Links<'_>, part: usize, of: usize) -> String {
    let line = Line::new(links).text("LogRocket highlights of ").text(user).finish();
    let texts = line.iter().map(|inline| match inline {
        Inline::Text(span) => span.text(),
        Inline::Link { .. } | Inline::Break => " ",
    });
    let which = if of > 1 { format!(" ({part} of {of})") } else { String::new() };
    let (line, room) = (texts.collect::<String>(), MAX_SUBJECT - which.len());
    let mut subject = String::new();
    let mut taken = 0;
    for c in line.chars() {
        taken += c.len_utf16();
        if taken > room {
            break;
        }
        subject.push(c);
    }
    subject + &which
}

/// People are who it is about (`003` is a contact, `00Q` a lead), all else is what it is about: neither field takes
/// the other's ids.
fn relation(record_id: &str) -> &'static str {
    if record_id.starts_with("003") || record_id.starts_with("00Q") { "WhoId" } else { "WhatId" }
}

fn read(answer: &Answer, hidden: &[&str]) -> Result<Option<String>, Failure> {
    if answer.is_success() {
        return Ok(made(answer));
    }
    let failure = Failure::of_answer("Salesforce", answer, hidden);
    let decision = match error_code(answer).as_deref() {
        // Of 24 hours, whichever these are.
        Some("REQUEST_LIMIT_EXCEEDED") => Decision::Again { retry_after: Some(WAIT_FOR_THE_NEXT_DAY) },
        Some("UNABLE_TO_LOCK_ROW" | "SERVER_UNAVAILABLE") => Decision::Again { retry_after: None },
        _ => failure.decision,
    };
    Err(Failure { decision, ..failure })
}

fn error_code(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Error {
        #[serde(rename = "errorCode")]
        error_code: String,
    }
    let errors: Vec<Error> = serde_json::from_slice(&answer.body).ok()?;
    errors.into_iter().next().map(|error| error.error_code)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{AGAIN, again_after, answer, failed, ready, why};
    use super::super::stand_in::StandIn;
    use super::*;
    use local::destinations::{Behaviour, Kind};
    use model::destination::Target;

    const CONTACT: &str = "003000000000001AAA";
    const CASE: &str = "500000000000001";

    fn secret() -> SalesforceSecret {
        SalesforceSecret {
            instance_url: "https://acme.my.salesforce.com".into(),
            client_id: "3MVG9".into(),
            client_secret: "hush".into(),
        }
    }

    #[test]
    fn a_result_is_a_completed_task_on_its_record() {
        for (record_id, relation) in [(CONTACT, "WhoId"), ("00Q000000000001", "WhoId"), (CASE, "WhatId")] {
            let tasks = ready("She **pays**.", |handover| tasks(handover, record_id));
            assert_eq!(tasks.len(), 1);
            let description = tasks[0]["Description"].as_str().unwrap();
            assert!(description.contains("\nShe pays.\n"), "{description}");
            let expected = json!({
                "Subject": "LogRocket highlights of alice@example.com",
                "Description": description,
                "Status": "Completed",
                "ActivityDate": "2024-05-12",
                relation: record_id,
            });
            assert_eq!(tasks[0], expected);
        }
    }

    #[test]
    fn a_long_result_is_several_tasks() {
        let tasks = ready(&"😀 pays & waits.\n\n".repeat(5_000), |handover| tasks(handover, CASE));
        assert!(tasks.len() > 2);
        for (index, task) in tasks.iter().enumerate() {
            assert!(description_units(task["Description"].as_str().unwrap()) <= MAX_DESCRIPTION);
            let which =
                format!("LogRocket highlights of alice@example.com ({} of {})", index + 1, tasks.len());
            assert_eq!(task["Subject"], which);
        }
    }

    #[test]
    fn a_failure_says_so() {
        let tasks = failed(|handover| tasks(handover, CASE));
        assert!(tasks[0]["Description"].as_str().unwrap().contains("FAILED"));
    }

    #[test]
    fn a_subject_is_one_short_line() {
        ready("She pays.", |handover| {
            let subject = |user: &str, of| subject(user, handover.links, of, of);
            assert_eq!(subject("a\nb\u{202e}\t c", 1), "LogRocket highlights of a b c");
            let long = subject(&"😀".repeat(1_000), 10);
            assert!(utf16_units(&long) <= MAX_SUBJECT && utf16_units(&long) > MAX_SUBJECT - 2, "{long}");
            assert!(long.ends_with("😀 (10 of 10)"), "{long}");
        });
    }

    #[test]
    fn the_answers() {
        let created = answer(201, r#"{"id":"00T1","success":true,"errors":[]}"#);
        assert_eq!(read(&created, &[]), Ok(Some("00T1".into())));
        for (status, code, decision) in [
            (401, "INVALID_SESSION_ID", Decision::Unauthorized),
            (403, "REQUEST_LIMIT_EXCEEDED", again_after(3_600)),
            (403, "API_DISABLED_FOR_ORG", Decision::Refuse),
            (400, "UNABLE_TO_LOCK_ROW", AGAIN),
            (400, "MALFORMED_ID", Decision::Refuse),
            (400, "INVALID_CROSS_REFERENCE_KEY", Decision::Refuse),
            (400, "ENTITY_IS_DELETED", Decision::Refuse),
            (404, "NOT_FOUND", Decision::Refuse),
            (410, "UNSUPPORTED_API_VERSION", Decision::Refuse),
            (500, "UNKNOWN_EXCEPTION", AGAIN),
            (503, "SERVER_UNAVAILABLE", AGAIN),
        ] {
            let body = json!([{ "message": "because of hush", "errorCode": code, "fields": [] }]).to_string();
            let (decided, words) = why(read(&answer(status, body), &["hush"]));
            let expected = format!("Salesforce answered {status}: {code}: because of (secret)");
            assert_eq!((decided, words), (decision, expected));
        }
        assert_eq!(why(read(&answer(302, ""), &[])).0, Decision::Refuse);
        assert_eq!(why(read(&answer(503, "<html>"), &[])).0, AGAIN);
    }

    #[test]
    fn the_answers_to_the_credentials() {
        let session = granted(&answer(200, r#"{"access_token":"00D!x","token_type":"Bearer"}"#), &secret());
        let session = session.map_err(|failure| failure.error).ok().unwrap();
        assert_eq!(session.token.expose_secret(), "00D!x");
        assert_eq!(session.api_url, "https://acme.my.salesforce.com");
        for (status, error, decision) in [
            (400, "invalid_client", Decision::Unauthorized),
            (400, "invalid_client_id", Decision::Unauthorized),
            (400, "invalid_grant", Decision::Unauthorized),
            (400, "unsupported_grant_type", Decision::Unauthorized),
            (401, "invalid_client", Decision::Unauthorized),
            (404, "", Decision::Unauthorized),
            (302, "", Decision::Unauthorized),
            (400, "rate_limit_exceeded", AGAIN),
            (400, "unknown_error", AGAIN),
            (429, "", AGAIN),
            (503, "", AGAIN),
            (200, "", AGAIN),
        ] {
            let body =
                json!({ "error": error, "error_description": "bad hush", "token": "00D!x" }).to_string();
            let refused = granted(&answer(status, body), &secret());
            let (decided, words) = why(refused.map(|_| ()));
            assert_eq!(decided, decision, "{status} {error}");
            assert!(
                words.starts_with(&format!("Salesforce, asked for a token, answered {status}")),
                "{words}"
            );
            assert!(!words.contains("hush") && !words.contains("00D"), "{words}");
        }
    }

    #[test]
    fn a_token_goes_to_salesforce_or_where_it_came_from() {
        let ours = "https://acme.example:8443/sub";
        for (answered, used) in [
            (Some("https://acme.my.salesforce.com"), "https://acme.my.salesforce.com"),
            (Some("https://a--dev.sandbox.my.salesforce.com/"), "https://a--dev.sandbox.my.salesforce.com"),
            (Some("https://evil@na1.salesforce.com/x?y"), "https://na1.salesforce.com"),
            (Some("http://acme.my.salesforce.com"), ours),
            (Some("https://acme.my.salesforce.com:8080"), ours),
            (Some("https://salesforce.com.evil.com"), ours),
            (Some("https://evilsalesforce.com"), ours),
            (Some("acme.my.salesforce.com"), ours),
            (None, ours),
        ] {
            assert_eq!(api_url(ours, answered), used, "{answered:?}");
        }
    }

    #[test]
    fn deliveries_share_a_token_until_it_is_refused() {
        let stand_in = StandIn::start();
        let target = Target::Salesforce { record_id: CONTACT.into() };
        ready("She pays.", |handover| {
            let all = stand_in.deliver_all(handover, &target, 5);
            assert!(all.iter().all(|told| matches!(told, Ok(Some(id)) if id.starts_with("00T"))), "{all:?}");
            assert_eq!((stand_in.calls(Kind::SalesforceToken), stand_in.calls(Kind::Salesforce)), (1, 5));
            assert_eq!(stand_in.there.messages()[4].place, format!("contact {CONTACT}"));
            // One renews it for all.
            stand_in.there.expire_tokens();
            let all = stand_in.deliver_all(handover, &target, 5);
            assert!(all.iter().all(Result::is_ok), "{all:?}");
            assert_eq!(stand_in.calls(Kind::SalesforceToken), 2);
        });
    }

    #[test]
    fn a_token_is_renewed_but_once() {
        let stand_in = StandIn::start();
        let target = Target::Salesforce { record_id: CASE.into() };
        stand_in.there.usually(Kind::Salesforce, Behaviour::refused_as("INVALID_SESSION_ID"));
        ready("She pays.", |handover| {
            let expected = "Salesforce answered 401: INVALID_SESSION_ID: Session expired or invalid";
            let told = why(stand_in.deliver(handover, &target));
            assert_eq!(told, (Decision::Unauthorized, expected.into()));
            assert_eq!((stand_in.calls(Kind::SalesforceToken), stand_in.calls(Kind::Salesforce)), (2, 2));
        });
    }

    #[test]
    fn a_new_secret_gets_a_new_token() {
        let stand_in = StandIn::start();
        let target = Target::Salesforce { record_id: CASE.into() };
        ready("She pays.", |handover| {
            assert!(stand_in.deliver(handover, &target).is_ok());
            let old = stand_in.secrets();
            stand_in.there.rotate(Kind::Salesforce);
            assert!(stand_in.deliver(handover, &target).is_ok());
            assert_eq!(stand_in.calls(Kind::SalesforceToken), 2);
            let (decision, words) = why(stand_in.deliver_with(handover, &target, &old));
            assert_eq!(decision, Decision::Unauthorized);
            let expected = "Salesforce, asked for a token, answered 400: invalid_client: invalid client \
                            credentials: check destinations.salesforce in the secret";
            assert_eq!(words, expected);
        });
    }
}
