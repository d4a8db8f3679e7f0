//! What a caller asks for, read from the body that every way of asking shares.

use crate::destination::{self, Destination, DestinationRules, Target};
use crate::fields::{Errors, Fields};
use crate::json;
use crate::problem::{Kind, Problem, pointer_token};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// A body may have this many bytes; everything in it that counts is far smaller.
pub const MAX_BODY_BYTES: usize = 128 * 1024;
/// A subject may have this many characters.
pub const MAX_SUBJECT_CHARS: usize = 1024;
const MAX_QUESTION_CHARS: usize = 4000;
const MAX_METADATA_BYTES: usize = 2048;
const MAX_KEY_CHARS: usize = 255;

/// Whose sessions are summarised.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    #[serde(rename = "userEmail")]
    Email(String),
    #[serde(rename = "userID")]
    Id(String),
}

impl Subject {
    /// The JSON field and its value.
    pub fn as_field(&self) -> (&'static str, &str) {
        match self {
            Self::Email(email) => ("userEmail", email),
            Self::Id(id) => ("userID", id),
        }
    }

    /// SHA-256 in hex: an index key holds 2,048 bytes, and needs no e-mail address in it.
    pub fn hash(&self) -> String {
        let (field, value) = self.as_field();
        sha256_hex(format!("{field}:{value}").as_bytes())
    }
}

/// Shows which kind of subject it is, never who.
impl std::fmt::Debug for Subject {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_field().0)
    }
}

/// The recordings that count, in epoch milliseconds, `start_ms < end_ms`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeRange {
    pub start_ms: i64,
    pub end_ms: i64,
}

/// What LogRocket is asked, and what comes back with its answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub question: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_range: Option<TimeRange>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub metadata: BTreeMap<String, String>,
}

/// Shows neither the subject nor the texts.
impl std::fmt::Debug for Question {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Question")
            .field("subject", &self.subject)
            .field("time_range", &self.time_range)
            .finish_non_exhaustive()
    }
}

impl Question {
    /// The same for two requests that LogRocket would answer alike: what `maxAge` looks for.
    pub fn hash(&self) -> String {
        let (field, value) = self.subject.as_field();
        let asked = json!([field, value, self.question, self.time_range]);
        sha256_hex(asked.to_string().as_bytes())
    }
}

/// A request as a caller sent it, valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRequest {
    pub question: Question,
    /// Those of the body and, after them, `DEFAULT_DESTINATIONS`; equal ones once.
    pub destinations: Vec<Destination>,
    pub idempotency_key: Option<IdempotencyKey>,
    pub max_age: Option<Duration>,
    /// See [`NewRequest::parse`]: equal for equal bodies.
    pub fingerprint: String,
}

/// 1 to 255 visible ASCII characters that name one request of one caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            (1..=MAX_KEY_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a body is read against.
#[derive(Clone, Debug, Default)]
pub struct RequestRules {
    pub destinations: DestinationRules,
    pub defaults: Vec<Destination>,
}

impl NewRequest {
    /// Reads the JSON of a request. Every bad field is named at once.
    ///
    /// The fingerprint is a hash of what was parsed, whatever the order of its keys; it leaves out the
    /// idempotency key itself, task tokens (a workflow's retry brings a new one) and the configured defaults.
    pub fn parse(body: &[u8], rules: &RequestRules) -> Result<Self, Problem> {
        if body.len() > MAX_BODY_BYTES {
            let detail = format!("The body has {} bytes; at most {MAX_BODY_BYTES} are taken.", body.len());
            return Err(Problem::new(Kind::TooLarge, detail));
        }
        let mut errors = Errors::default();
        let value =
            json::strict(body, &mut errors).map_err(|detail| Problem::new(Kind::Malformed, detail))?;
        let parsed = parse_fields(&value, rules, &mut errors);
        match parsed {
            Some(request) if errors.is_empty() => Ok(request),
            _ => Err(Problem::invalid(errors.into_vec())),
        }
    }
}

fn parse_fields(value: &Value, rules: &RequestRules, errors: &mut Errors) -> Option<NewRequest> {
    let mut fields = Fields::of(value, "", errors)?;
    let subject = parse_subject(&mut fields, errors);
    let question = fields.text("question", MAX_QUESTION_CHARS, errors);
    let time_range = parse_time_range(&mut fields, errors);
    let mut own = match fields.take("destinations") {
        Some(list) => destination::parse_list(list, "/destinations", &rules.destinations, errors),
        None => Vec::new(),
    };
    if let Some(url) = parse_webhook_url(&mut fields, rules, errors) {
        destination::join(&mut own, [url]);
    }
    let metadata = parse_metadata(&mut fields, errors);
    let idempotency_key = parse_key(&mut fields, errors);
    let max_age = fields.integer("maxAge", errors);
    if max_age.is_some_and(|seconds| seconds < 0) {
        errors.push(&fields.pointer("maxAge"), "must be a number of seconds, 0 or more");
    }
    fields.refuse_unknown(errors);

    let max_age = max_age.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let mut destinations = own.clone();
    destination::join(&mut destinations, rules.defaults.iter().cloned());
    if destinations.len() > destination::MAX_IN_RECORD {
        let detail = format!("must be at most {} with those added here", destination::MAX_IN_RECORD);
        errors.push("/destinations", detail);
    }
    if destinations_bytes(&destinations) > destination::MAX_BYTES_IN_RECORD {
        let detail = format!("must take at most {} bytes together", destination::MAX_BYTES_IN_RECORD);
        errors.push("/destinations", detail);
    }
    let question = Question { subject: subject?, question, time_range, metadata };
    let fingerprint = fingerprint(&question, &own, max_age);
    Some(NewRequest { question, destinations, idempotency_key, max_age, fingerprint })
}

fn parse_subject(fields: &mut Fields<'_>, errors: &mut Errors) -> Option<Subject> {
    let before = errors.len();
    let email = fields.text("userEmail", MAX_SUBJECT_CHARS, errors);
    let id = fields.text("userID", MAX_SUBJECT_CHARS, errors);
    match (email, id) {
        (Some(email), None) => Some(Subject::Email(email)),
        (None, Some(id)) => Some(Subject::Id(id)),
        (Some(_), Some(_)) => {
            errors.push("/userID", "give exactly one of userEmail, userID");
            None
        }
        (None, None) => {
            if errors.len() == before {
                errors.push("/userEmail", "is missing; give exactly one of userEmail, userID");
            }
            None
        }
    }
}

fn parse_time_range(fields: &mut Fields<'_>, errors: &mut Errors) -> Option<TimeRange> {
    let value = fields.take("timeRange")?;
    let before = errors.len();
    let mut range = Fields::of(value, "/timeRange", errors)?;
    let mut bound = |name| {
        let before = errors.len();
        let bound = range.integer(name, errors);
        if bound.is_none() && errors.len() == before {
            errors.push(&range.pointer(name), "is missing; a time range has both ends");
        }
        if bound.is_some_and(|millis| millis < 0) {
            errors.push(&range.pointer(name), "must be epoch milliseconds, 0 or more");
        }
        bound
    };
    let (start, end) = (bound("startMs"), bound("endMs"));
    let both_read = errors.len() == before;
    range.refuse_unknown(errors);
    let (start_ms, end_ms) = (start?, end?);
    if both_read && start_ms >= end_ms {
        errors.push("/timeRange/endMs", "must be later than startMs");
    }
    Some(TimeRange { start_ms, end_ms })
}

/// `webhookURL` is short for a destination of type `webhook`.
fn parse_webhook_url(
    fields: &mut Fields<'_>,
    rules: &RequestRules,
    errors: &mut Errors,
) -> Option<Destination> {
    let url = fields.take("webhookURL")?;
    let mut inner = Errors::default();
    let list = json!([{ "type": "webhook", "url": url }]);
    let parsed = destination::parse_list(&list, "", &rules.destinations, &mut inner);
    for error in inner.into_vec() {
        errors.push("/webhookURL", error.detail);
    }
    parsed.into_iter().next()
}

fn parse_metadata(fields: &mut Fields<'_>, errors: &mut Errors) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    let Some(value) = fields.take("metadata") else { return metadata };
    let Some(object) = value.as_object() else {
        errors.push("/metadata", "must be an object of strings");
        return metadata;
    };
    for (name, value) in object {
        match value.as_str() {
            Some(_) if name.is_empty() => errors.push("/metadata/", "must have a name"),
            Some(text) => {
                metadata.insert(name.clone(), text.to_owned());
            }
            None => {
                errors.push(&format!("/metadata/{}", pointer_token(name)), "must be a string");
            }
        }
    }
    let bytes = metadata.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>();
    if bytes > MAX_METADATA_BYTES {
        let detail = format!("must have at most {MAX_METADATA_BYTES} bytes of names and values, has {bytes}");
        errors.push("/metadata", detail);
    }
    metadata
}

fn parse_key(fields: &mut Fields<'_>, errors: &mut Errors) -> Option<IdempotencyKey> {
    let value = fields.take("idempotencyKey")?;
    let key = value.as_str().and_then(IdempotencyKey::parse);
    if key.is_none() {
        errors.push("/idempotencyKey", "must be 1 to 255 visible ASCII characters");
    }
    key
}

/// What destinations take of a record, as JSON.
pub(crate) fn destinations_bytes(destinations: &[Destination]) -> usize {
    serde_json::to_vec(destinations).map_or(usize::MAX, |json| json.len())
}

fn fingerprint(question: &Question, own: &[Destination], max_age: Option<Duration>) -> String {
    let mut targets: Vec<Destination> = own
        .iter()
        .cloned()
        .map(|mut destination| {
            if let Target::StepFunctions { task_token } = &mut destination.target {
                task_token.clear();
            }
            destination
        })
        .collect();
    targets.sort_by(|a, b| a.target.cmp(&b.target));
    targets.dedup();
    let parsed = json!({
        "question": question,
        "destinations": targets,
        "maxAge": max_age.map(|age| age.as_secs()),
    });
    sha256_hex(parsed.to_string().as_bytes())
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 0xF].map(u32::from);
    Sha256::digest(bytes).iter().flat_map(digits).filter_map(|digit| char::from_digit(digit, 16)).collect()
}
