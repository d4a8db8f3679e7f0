//! What the vendors have in common: a call that came in, and what becomes of it.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use url::form_urlencoded;

use super::behaviour::Place;
use super::{
    Options, World, eventbridge, hook, hubspot, intercom, salesforce, slack, slack_hook, states, teams,
    zendesk,
};

/// Which vendor, and where it has two doors, which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Slack's Web API.
    Slack,
    /// Slack's incoming webhooks.
    SlackWebhook,
    /// Zendesk Support.
    Zendesk,
    /// Intercom.
    Intercom,
    /// HubSpot.
    Hubspot,
    /// Salesforce's REST API.
    Salesforce,
    /// Salesforce's token endpoint.
    SalesforceToken,
    /// Microsoft Teams, through a workflow.
    Teams,
    /// A receiver of signed webhooks.
    Webhook,
    /// Amazon EventBridge.
    EventBridge,
    /// AWS Step Functions.
    StepFunctions,
}

impl Kind {
    /// Whose door this path is, and what stands behind the door's own part of it.
    pub(super) fn of(path: &str) -> Option<(Self, &str)> {
        const DOORS: [(&str, Kind); 11] = [
            ("/slack/api", Kind::Slack),
            ("/slack/hooks", Kind::SlackWebhook),
            ("/zendesk", Kind::Zendesk),
            ("/intercom", Kind::Intercom),
            ("/hubspot", Kind::Hubspot),
            ("/salesforce/services/oauth2", Kind::SalesforceToken),
            ("/salesforce", Kind::Salesforce),
            ("/teams", Kind::Teams),
            ("/hook", Kind::Webhook),
            ("/eventbridge", Kind::EventBridge),
            ("/states", Kind::StepFunctions),
        ];
        DOORS.into_iter().find_map(|(door, kind)| {
            let rest = path.strip_prefix(door)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((kind, rest))
        })
    }

    /// The product's name.
    pub(super) fn product(self) -> &'static str {
        match self {
            Self::Slack => "Slack",
            Self::SlackWebhook => "Slack (incoming webhook)",
            Self::Zendesk => "Zendesk",
            Self::Intercom => "Intercom",
            Self::Hubspot => "HubSpot",
            Self::Salesforce => "Salesforce",
            Self::SalesforceToken => "Salesforce (access token)",
            Self::Teams => "Microsoft Teams",
            Self::Webhook => "Webhook",
            Self::EventBridge => "EventBridge",
            Self::StepFunctions => "Step Functions",
        }
    }

    /// What the vendor makes of a call.
    pub(super) fn check(self, call: &Call, world: &World, options: &Options) -> Verdict {
        match self {
            Self::Slack => slack::check(call, world),
            Self::SlackWebhook => slack_hook::check(call, world, options),
            Self::Zendesk => zendesk::check(call, world),
            Self::Intercom => intercom::check(call, world),
            Self::Hubspot => hubspot::check(call, world),
            Self::Salesforce => salesforce::check(call, world),
            Self::SalesforceToken => salesforce::check_token(call, world),
            Self::Teams => teams::check(call, world, options),
            Self::Webhook => hook::check(call, world),
            Self::EventBridge => eventbridge::check(call, world, options),
            Self::StepFunctions => states::check(call, world),
        }
    }

    /// The vendor's own words for «too fast».
    pub(super) fn rate_limited(self, seconds: u64) -> Reply {
        match self {
            Self::Slack => slack::rate_limited(seconds),
            Self::SlackWebhook => slack_hook::rate_limited(seconds),
            Self::Zendesk => zendesk::rate_limited(seconds),
            Self::Intercom => intercom::rate_limited(seconds),
            Self::Hubspot => hubspot::rate_limited(seconds),
            Self::Salesforce => salesforce::error("REQUEST_LIMIT_EXCEEDED"),
            Self::SalesforceToken => salesforce::token_error("rate_limit_exceeded"),
            Self::Teams => teams::rate_limited(seconds),
            Self::Webhook => hook::rate_limited(seconds),
            Self::EventBridge => eventbridge::error("ThrottlingException", "Rate exceeded"),
            Self::StepFunctions => states::error("ThrottlingException"),
        }
    }

    /// The vendor's own words for a fault of its own.
    pub(super) fn failure(self) -> Reply {
        match self {
            Self::Slack => slack::error("internal_error"),
            Self::SlackWebhook => slack_hook::error("rollup_error"),
            Self::Zendesk => zendesk::error("InternalError"),
            Self::Intercom => intercom::error("server_error"),
            Self::Hubspot => hubspot::error("INTERNAL_ERROR"),
            Self::Salesforce => salesforce::error("UNKNOWN_EXCEPTION"),
            Self::SalesforceToken => salesforce::error("SERVER_UNAVAILABLE"),
            Self::Teams => teams::error("InternalServerError"),
            Self::Webhook => Reply::text(500, "Internal Server Error"),
            Self::EventBridge => eventbridge::error("InternalException", "Internal failure"),
            Self::StepFunctions => states::error("InternalFailure"),
        }
    }

    /// The vendor's error of that name, or the one that it most likely gives up on a call with.
    pub(super) fn refusal(self, code: Option<&str>) -> Reply {
        match self {
            Self::Slack => slack::error(code.unwrap_or("channel_not_found")),
            Self::SlackWebhook => slack_hook::error(code.unwrap_or("no_service")),
            Self::Zendesk => zendesk::error(code.unwrap_or("RecordNotFound")),
            Self::Intercom => intercom::error(code.unwrap_or("not_found")),
            Self::Hubspot => hubspot::error(code.unwrap_or("OBJECT_NOT_FOUND")),
            Self::Salesforce => salesforce::error(code.unwrap_or("ENTITY_IS_DELETED")),
            Self::SalesforceToken => salesforce::token_error(code.unwrap_or("invalid_client")),
            Self::Teams => teams::error(code.unwrap_or("WorkflowNotFound")),
            Self::Webhook => hook::error(code.unwrap_or("gone")),
            Self::EventBridge => eventbridge::failed_entry(code.unwrap_or("NotAuthorizedForSourceException")),
            Self::StepFunctions => states::error(code.unwrap_or("TaskDoesNotExist")),
        }
    }
}

/// A call that came in.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) kind: Kind,
    /// Its place among all calls, counted from 1: what ids are made of.
    pub(super) number: u64,
    pub(super) at_ms: u64,
    pub(super) method: Method,
    /// The path behind the vendor's door.
    pub(super) rest: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What `Authorization: Bearer …` carries.
    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }

    /// What `Authorization: Basic …` carries, decoded.
    pub(super) fn basic(&self) -> Option<String> {
        let (scheme, encoded) = self.header("authorization")?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded.trim()).ok()?;
        scheme.eq_ignore_ascii_case("basic").then(|| String::from_utf8(decoded).ok())?
    }

    /// The content type without its parameters, in lower case; empty where there is none.
    pub(super) fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    pub(super) fn is_json(&self) -> bool {
        self.media_type() == "application/json"
    }

    /// The body as JSON; none where it is not.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The one segment of the path; none if there are more or none.
    pub(super) fn name(&self) -> Option<&str> {
        self.rest.strip_prefix('/').filter(|name| !name.is_empty() && !name.contains('/'))
    }

    /// The fields of a form.
    pub(super) fn form(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(&self.body).collect()
    }

    /// `http://…` of this server, as the caller calls it.
    pub(super) fn base(&self) -> String {
        format!("http://{}", self.header("host").unwrap_or("127.0.0.1"))
    }

    /// When it came, in epoch seconds.
    pub(super) fn at_seconds(&self) -> u64 {
        self.at_ms / 1000
    }

    /// When it came, as RFC 3339 with milliseconds.
    pub(super) fn at(&self) -> String {
        rfc3339(self.at_ms)
    }
}

/// Epoch milliseconds as RFC 3339 with milliseconds.
pub(super) fn rfc3339(ms: u64) -> String {
    let nanos = i128::from(ms) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

/// How long a text is where a vendor says «characters» and not which: in UTF-16 units, the strictest reading (and
/// what a vendor that is written in Java or JavaScript counts).
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// What a vendor makes of a call.
pub(super) type Verdict = Result<Taken, Refusal>;

/// A call that its vendor takes.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) reply: Reply,
    pub(super) sight: Option<Sight>,
    pub(super) effect: Effect,
    /// The vendor answers as if all were well, and it is not: why nobody will see anything of it.
    pub(super) lost: Option<String>,
}

impl Taken {
    pub(super) fn new(reply: Reply) -> Self {
        Self { reply, sight: None, effect: Effect::None, lost: None }
    }

    pub(super) fn seen(mut self, sight: Sight) -> Self {
        self.sight = Some(sight);
        self
    }

    pub(super) fn doing(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    pub(super) fn but_lost(mut self, why: impl Into<String>) -> Self {
        self.lost = Some(why.into());
        self
    }
}

/// What a person sees of it in the product.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) place: String,
    pub(super) thread: Option<String>,
    pub(super) id: Option<String>,
    pub(super) text: String,
}

impl Sight {
    pub(super) fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), thread: None, id: None, text: text.into() }
    }

    pub(super) fn id(mut self, id: impl ToString) -> Self {
        self.id = Some(id.to_string());
        self
    }

    pub(super) fn thread(mut self, thread: Option<&str>) -> Self {
        self.thread = thread.map(str::to_owned);
        self
    }
}

/// What a call changes at the vendor, beside being seen.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    None,
    /// The ticket was updated at that time.
    TicketUpdated {
        id: String,
        audit: Value,
    },
    /// This access token is good from now on.
    TokenIssued(String),
    /// The task has its answer.
    TaskAnswered(String),
}

/// A call that its vendor does not take.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reply: Reply,
    pub(super) complaint: String,
}

/// What a vendor answers.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self { body: body.to_string(), ..Self::empty(status) }.of_type("application/json; charset=utf-8")
    }

    pub(super) fn text(status: u16, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::empty(status) }.of_type("text/plain; charset=utf-8")
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, content_type: "", headers: Vec::new(), body: String::new() }
    }

    pub(super) fn of_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(super) fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// The refusal that is answered so, for that reason.
    pub(super) fn because(self, complaint: impl Into<String>) -> Refusal {
        Refusal { reply: self, complaint: complaint.into() }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        if !self.content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// The error answer of an AWS service that speaks JSON.
pub(super) fn aws_error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(status, json!({ "__type": kind, "message": message })).of_type("application/x-amz-json-1.1")
}

/// Whether the call is signed for that service (the signature itself is not computed again), and is that operation of
/// it in that version of the protocol.
///
/// Tried with botocore 1.43, which takes these answers for AWS's. The texts of the refusals are not verified.
pub(super) fn aws_operation<'a>(
    call: &'a Call,
    service: &str,
    target: &str,
    version: &str,
) -> Result<&'a str, Refusal> {
    if call.method != Method::POST || !matches!(call.rest.as_str(), "" | "/") {
        return Err(aws_error(404, "UnknownOperationException", "").because("not a POST to /"));
    }
    let authorization = call.header("authorization").unwrap_or_default();
    let Some(signature) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else {
        let reply = aws_error(403, "MissingAuthenticationTokenException", "Missing Authentication Token");
        return Err(reply.because("not signed"));
    };
    let scoped = signature.split(',').any(|part| {
        let scope = part.trim().strip_prefix("Credential=");
        scope.is_some_and(|scope| scope.ends_with(&format!("/{service}/aws4_request")))
    });
    if !scoped || !signature.contains("SignedHeaders=") || !signature.contains("Signature=") {
        let message = format!("Credential should be scoped to correct service: '{service}'.");
        return Err(aws_error(403, "InvalidSignatureException", &message).because(message));
    }
    let expected = format!("application/x-amz-json-{version}");
    if call.media_type() != expected {
        return Err(aws_error(404, "UnknownOperationException", "")
            .because(format!("the content type is not {expected}")));
    }
    let operation = call.header("x-amz-target").and_then(|name| name.strip_prefix(target)?.strip_prefix('.'));
    operation.ok_or_else(|| {
        aws_error(404, "UnknownOperationException", "").because(format!("X-Amz-Target is not of {target}"))
    })
}

/// The place's state as it was set; else that.
pub(super) fn place(world: &World, kind: Kind, id: &str, otherwise: Place) -> Place {
    world.places.get(&(kind, id.to_owned())).copied().unwrap_or(otherwise)
}
