//! Where a result goes.

use crate::address;
use crate::fields::{Errors, Fields};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use url::Url;

/// A request may name this many destinations.
pub const MAX_IN_REQUEST: usize = 10;
/// A record may gather this many, over repeats and `maxAge`.
pub const MAX_IN_RECORD: usize = 20;
/// All destinations of a record together, as JSON: the record must keep room for the result and the marks.
pub const MAX_BYTES_IN_RECORD: usize = 20_000;

/// One place a result goes to. Two destinations are the same if their target is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    #[serde(flatten)]
    pub target: Target,
    /// Whether `FAILED` and `EXPIRED` are delivered too.
    pub on_failure: bool,
    pub when_empty: WhenEmpty,
}

/// What happens to a result without sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WhenEmpty {
    Skip,
    Send,
}

/// The `type` of a destination and what it takes to address it.
///
/// A URL may hold a key, and a task token is one. They are plain text, since they stand in the table's item and equal
/// destinations are found by them; what shows a target shows them not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Target {
    /// A channel by the bot, in a thread if there is one.
    #[serde(rename = "slack")]
    SlackChannel {
        channel: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        thread_ts: Option<String>,
    },
    /// An incoming webhook by its configured name.
    #[serde(rename = "slackWebhook")]
    SlackWebhook {
        webhook: String,
    },
    Zendesk {
        #[serde(rename = "ticketID")]
        ticket_id: String,
    },
    Intercom {
        #[serde(rename = "conversationID")]
        conversation_id: String,
    },
    Hubspot {
        object: HubspotObject,
        #[serde(rename = "objectID")]
        object_id: String,
    },
    Salesforce {
        #[serde(rename = "recordID")]
        record_id: String,
    },
    Teams {
        webhook: String,
    },
    Webhook {
        url: String,
    },
    EventBridge {
        #[serde(skip_serializing_if = "Option::is_none")]
        bus: Option<String>,
    },
    StepFunctions {
        task_token: String,
    },
}

/// What a HubSpot note is associated with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HubspotObject {
    Contact,
    Company,
    Deal,
    Ticket,
}

impl HubspotObject {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Contact, "contactID"),
        (Self::Company, "companyID"),
        (Self::Deal, "dealID"),
        (Self::Ticket, "ticketID"),
    ];

    fn field(self) -> &'static str {
        Self::ALL.iter().find(|(object, _)| *object == self).map_or("", |(_, field)| field)
    }
}

impl Target {
    /// The `type` a caller writes.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::SlackChannel { .. } | Self::SlackWebhook { .. } => "slack",
            Self::Zendesk { .. } => "zendesk",
            Self::Intercom { .. } => "intercom",
            Self::Hubspot { .. } => "hubspot",
            Self::Salesforce { .. } => "salesforce",
            Self::Teams { .. } => "teams",
            Self::Webhook { .. } => "webhook",
            Self::EventBridge { .. } => "eventBridge",
            Self::StepFunctions { .. } => "stepFunctions",
        }
    }

    /// Read by people, who want neither noise about failures nor empty summaries.
    pub fn is_people_facing(&self) -> bool {
        !matches!(self, Self::Webhook { .. } | Self::EventBridge { .. } | Self::StepFunctions { .. })
    }

    /// The name in `KNOWN_DESTINATIONS` that this target needs: `slack`, `slack:nps`, `zendesk`.
    fn configured_name(&self) -> String {
        match self {
            Self::SlackWebhook { webhook } | Self::Teams { webhook } => {
                format!("{}:{webhook}", self.type_name())
            }
            _ => self.type_name().to_owned(),
        }
    }

    /// The target as a caller wrote it, less what is secret: a task token, a URL's query and credentials.
    pub fn to_public_json(&self) -> Value {
        let mut shown = json!({ "type": self.type_name() });
        let mut show = |name: &str, value: &str| shown[name] = Value::from(value);
        match self {
            Self::SlackChannel { channel, thread_ts } => {
                show("channel", channel);
                if let Some(thread) = thread_ts {
                    show("threadTs", thread);
                }
            }
            Self::SlackWebhook { webhook } | Self::Teams { webhook } => show("webhook", webhook),
            Self::Zendesk { ticket_id } => show("ticketID", ticket_id),
            Self::Intercom { conversation_id } => show("conversationID", conversation_id),
            Self::Hubspot { object, object_id } => show(object.field(), object_id),
            Self::Salesforce { record_id } => show("recordID", record_id),
            Self::Webhook { url } => show("url", &without_secrets(url)),
            Self::EventBridge { bus: Some(bus) } => show("bus", bus),
            Self::EventBridge { bus: None } | Self::StepFunctions { .. } => {}
        }
        shown
    }
}

/// Shows no more than [`Target::to_public_json`]: a task token lets its holder answer for the workflow.
impl fmt::Debug for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.to_public_json())
    }
}

fn without_secrets(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return String::new() };
    let had_query = url.query().is_some();
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for URLs that cannot have credentials at all.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if had_query { format!("{url}?…") } else { url.to_string() }
}

/// The destinations that are configured, by name; secrets stay with the function that delivers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KnownDestinations(Option<BTreeSet<String>>);

impl KnownDestinations {
    /// Reads `slack,slack:nps,zendesk`. `None` takes every destination.
    pub fn parse(list: Option<&str>) -> Self {
        Self(list.map(|list| {
            list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }))
    }

    fn refusal(&self, target: &Target) -> Option<String> {
        let known = self.0.as_ref()?;
        // These need no configuration beyond the stack's own.
        if matches!(target, Target::EventBridge { .. } | Target::StepFunctions { .. }) {
            return None;
        }
        let name = target.configured_name();
        if known.contains(&name) {
            return None;
        }
        let list: Vec<&str> = known.iter().map(String::as_str).collect();
        Some(match list.as_slice() {
            [] => format!("{name} is not configured here; no destination is"),
            list => format!("{name} is not configured here; configured are {}", list.join(", ")),
        })
    }
}

/// What a destination is read against.
#[derive(Clone, Debug, Default)]
pub struct DestinationRules {
    pub known: KnownDestinations,
    /// Local runs only: `http` and private addresses are taken.
    pub allow_private: bool,
}

/// Adds to `all` those of `more` that are not there yet.
pub fn join(all: &mut Vec<Destination>, more: impl IntoIterator<Item = Destination>) {
    for destination in more {
        if !all.iter().any(|other| other.target == destination.target) {
            all.push(destination);
        }
    }
}

/// Reads a JSON array of destinations at `at`; the bad ones become errors.
pub(crate) fn parse_list(
    value: &Value,
    at: &str,
    rules: &DestinationRules,
    errors: &mut Errors,
) -> Vec<Destination> {
    let Some(list) = value.as_array() else {
        errors.push(at, "must be an array of destinations");
        return Vec::new();
    };
    if list.len() > MAX_IN_REQUEST {
        errors.push(at, format!("must have at most {MAX_IN_REQUEST} destinations, has {}", list.len()));
        return Vec::new();
    }
    let mut all = Vec::new();
    for (index, value) in list.iter().enumerate() {
        join(&mut all, parse_one(value, &format!("{at}/{index}"), rules, errors));
    }
    all
}

fn parse_one(value: &Value, at: &str, rules: &DestinationRules, errors: &mut Errors) -> Option<Destination> {
    let errors_before = errors.len();
    let mut fields = Fields::of(value, at, errors)?;
    let kind = fields.text("type", 40, errors);
    if kind.is_none() && errors.len() == errors_before {
        errors.push(&fields.pointer("type"), format!("is missing; known are {TYPES}"));
    }
    let target = kind.as_deref().and_then(|kind| parse_target(kind, &mut fields, rules, errors));
    if let Some(refusal) = target.as_ref().and_then(|target| rules.known.refusal(target)) {
        errors.push(&fields.pointer("type"), refusal);
    }
    let people = target.as_ref().is_none_or(Target::is_people_facing);
    let known_type = kind.is_some_and(|kind| TYPES.split(", ").any(|known| known == kind));
    let on_failure = fields.boolean("onFailure", errors);
    if !people && on_failure == Some(false) {
        let detail = "must not be false: a machine-facing destination always hears of the outcome";
        errors.push(&fields.pointer("onFailure"), detail);
    }
    let when_empty = match fields.text("whenEmpty", 40, errors).as_deref() {
        None if people => WhenEmpty::Skip,
        None | Some("send") => WhenEmpty::Send,
        Some("skip") => WhenEmpty::Skip,
        Some(_) => {
            errors.push(&fields.pointer("whenEmpty"), "must be skip or send");
            WhenEmpty::Send
        }
    };
    // The fields of an unknown type are unknown too; saying so of each would bury what matters.
    if known_type {
        fields.refuse_unknown(errors);
    }
    let target = target.filter(|_| errors.len() == errors_before)?;
    Some(Destination { target, on_failure: on_failure.unwrap_or(!people), when_empty })
}

const TYPES: &str =
    "slack, zendesk, intercom, hubspot, salesforce, teams, webhook, eventBridge, stepFunctions";

fn parse_target(
    kind: &str,
    fields: &mut Fields<'_>,
    rules: &DestinationRules,
    errors: &mut Errors,
) -> Option<Target> {
    match kind {
        "slack" => parse_slack(fields, errors),
        "zendesk" => required("ticketID", fields, errors, Fields::digits)
            .map(|ticket_id| Target::Zendesk { ticket_id }),
        "intercom" => required("conversationID", fields, errors, Fields::digits)
            .map(|conversation_id| Target::Intercom { conversation_id }),
        "hubspot" => parse_hubspot(fields, errors),
        "salesforce" => parse_salesforce(fields, errors),
        "teams" => {
            required("webhook", fields, errors, configured_name).map(|webhook| Target::Teams { webhook })
        }
        "webhook" => {
            let url =
                required("url", fields, errors, |fields, name, errors| fields.text(name, MAX_URL, errors))?;
            check_url(&url, &fields.pointer("url"), rules, errors).map(|url| Target::Webhook { url })
        }
        "eventBridge" => {
            let bus = fields.text("bus", 400, errors);
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-:".contains(&byte);
            if bus.as_ref().is_some_and(|bus| !bus.bytes().all(fits)) {
                errors.push(&fields.pointer("bus"), "must be the name or ARN of an event bus");
            }
            Some(Target::EventBridge { bus })
        }
        "stepFunctions" => required("taskToken", fields, errors, |fields, name, errors| {
            fields.text(name, MAX_TASK_TOKEN, errors)
        })
        .map(|task_token| Target::StepFunctions { task_token }),
        _ => {
            errors.push(&fields.pointer("type"), format!("is unknown; known are {TYPES}"));
            None
        }
    }
}

/// Reads a field that must be there.
fn required<'a, T>(
    name: &'static str,
    fields: &mut Fields<'a>,
    errors: &mut Errors,
    read: impl Fn(&mut Fields<'a>, &'static str, &mut Errors) -> Option<T>,
) -> Option<T> {
    let before = errors.len();
    let value = read(fields, name, errors);
    if value.is_none() && errors.len() == before {
        errors.push(&fields.pointer(name), "is missing");
    }
    value
}

/// The name of a webhook that an operator configured.
fn configured_name(fields: &mut Fields<'_>, name: &'static str, errors: &mut Errors) -> Option<String> {
    let text = fields.text(name, 80, errors)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text.bytes().all(plain) {
        return Some(text);
    }
    let detail = "must be the name of a configured webhook (letters, digits, _ . -), not its URL";
    errors.push(&fields.pointer(name), detail);
    None
}

fn parse_slack(fields: &mut Fields<'_>, errors: &mut Errors) -> Option<Target> {
    let before = errors.len();
    let channel = fields.text("channel", 80, errors);
    let thread_ts = fields.text("threadTs", 40, errors);
    let webhook = configured_name(fields, "webhook", errors);
    let all_read = errors.len() == before;
    let is_ts = |ts: &String| {
        ts.split_once('.').is_some_and(|(seconds, rest)| {
            [seconds, rest]
                .iter()
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    if thread_ts.as_ref().is_some_and(|ts| !is_ts(ts)) {
        errors.push(&fields.pointer("threadTs"), "must be a message's ts, like 1715481030.000100");
    }
    if !all_read {
        return None;
    }
    match (channel, webhook) {
        (Some(channel), None) => Some(Target::SlackChannel { channel, thread_ts }),
        (None, Some(webhook)) => {
            if thread_ts.is_some() {
                let detail = "goes with channel: an incoming webhook cannot answer in a thread";
                errors.push(&fields.pointer("threadTs"), detail);
            }
            Some(Target::SlackWebhook { webhook })
        }
        (None, None) => {
            errors.push(&fields.pointer("channel"), "is missing; give exactly one of channel, webhook");
            None
        }
        (Some(_), Some(_)) => {
            errors.push(&fields.pointer("webhook"), "give exactly one of channel, webhook");
            None
        }
    }
}

fn parse_hubspot(fields: &mut Fields<'_>, errors: &mut Errors) -> Option<Target> {
    let before = errors.len();
    let mut given = Vec::new();
    for (object, name) in HubspotObject::ALL {
        given.extend(fields.digits(name, errors).map(|object_id| (object, object_id)));
    }
    if errors.len() > before {
        return None;
    }
    if given.len() > 1 {
        let pointer = fields.pointer(given.last().map_or("", |(object, _)| object.field()));
        errors.push(&pointer, "give exactly one of contactID, companyID, dealID, ticketID");
        return None;
    }
    match given.pop() {
        Some((object, object_id)) => Some(Target::Hubspot { object, object_id }),
        None => {
            let detail = "is missing; give exactly one of contactID, companyID, dealID, ticketID";
            errors.push(&fields.pointer("contactID"), detail);
            None
        }
    }
}

fn parse_salesforce(fields: &mut Fields<'_>, errors: &mut Errors) -> Option<Target> {
    let record_id =
        required("recordID", fields, errors, |fields, name, errors| fields.text(name, 40, errors))?;
    let is_id =
        matches!(record_id.len(), 15 | 18) && record_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_id {
        errors.push(&fields.pointer("recordID"), "must be a Salesforce id of 15 or 18 letters and digits");
        return None;
    }
    Some(Target::Salesforce { record_id })
}

const MAX_URL: usize = 2048;
/// As Step Functions' own API has it.
const MAX_TASK_TOKEN: usize = 2048;

/// A URL that may be called: `https` with a host that is not private (locally, also `http` and any host), and without
/// credentials. Which address a name resolves to is decided when it is connected to.
pub(crate) fn check_url(
    text: &str,
    pointer: &str,
    rules: &DestinationRules,
    errors: &mut Errors,
) -> Option<String> {
    let problem = match Url::parse(text) {
        Err(_) => "must be an absolute URL",
        Ok(url) => match refusal(&url, rules) {
            Some(problem) => problem,
            None => return Some(url.to_string()),
        },
    };
    errors.push(pointer, problem);
    None
}

fn refusal(url: &Url, rules: &DestinationRules) -> Option<&'static str> {
    if url.host_str().is_none_or(str::is_empty) {
        Some("must have a host")
    } else if url.scheme() != "https" && !(url.scheme() == "http" && rules.allow_private) {
        Some("must be an https URL")
    } else if !url.username().is_empty() || url.password().is_some() {
        // They would become a header that the caller sets, and stand in the record.
        Some("must not carry a user or password")
    } else if !rules.allow_private && address::is_surely_private(url) {
        Some("must not be a private or reserved address, or localhost")
    } else {
        None
    }
}

/// Reads `DEFAULT_DESTINATIONS`, a JSON array; the error names every bad field.
pub fn parse_defaults(json: &str, rules: &DestinationRules) -> Result<Vec<Destination>, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| format!("is not JSON: {error}"))?;
    let mut errors = Errors::default();
    let all = parse_list(&value, "", rules, &mut errors);
    let wrong: Vec<String> =
        errors.into_vec().into_iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect();
    if wrong.is_empty() { Ok(all) } else { Err(wrong.join("; ")) }
}
