//! The HTTP API.

use crate::app::{App, Invocation, secrets_unavailable, table_unavailable};
use crate::ask::{Asked, Caller, How};
use crate::pages;
use aws::clock;
use aws::http::{json, path, problem, text};
use aws::secrets::SecretsError;
use aws::table::{Changed, Cursor};
use lambda_http::http::{HeaderValue, Method, Response, StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt};
use model::callback::is_log_rocket_id;
use model::id::RequestId;
use model::problem::{FieldError, Kind, Problem, pointer_token};
use model::record::Record;
use model::render::Links;
use model::request::{IdempotencyKey, MAX_SUBJECT_CHARS, NewRequest, Subject};
use model::result::{HighlightsResult, MAX_JSON_BYTES, escaped_bytes};
use model::secrets::{BadSecret, RequestSecrets};
use model::settings::ApiAuth;
use model::{token, view};
use serde_json::Value;
use std::collections::BTreeMap;

const WEBHOOK: &str = "/webhook";
const REDELIVER: &str = "/redeliver";
const VIEW: &str = "/view/";
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;

/// Answers one HTTP request; every error is a `problem+json`, or a page where a browser asked for one.
pub async fn respond(app: &App, request: Request, invocation: &Invocation) -> Response<Body> {
    match route(app, &request, invocation).await {
        Ok(response) => response,
        Err(refused) => {
            let status = refused.kind.status();
            tracing::info!(method = request.method().as_str(), httpStatus = status, "refused");
            let mut response = match path(&request).strip_prefix(VIEW) {
                Some(_) if pages::takes_html(&request) => pages::problem(&refused),
                _ => problem(&refused),
            };
            if refused.kind == Kind::MethodNotAllowed
                && let Some(methods) = allowed(path(&request))
            {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
            }
            if refused.kind == Kind::Unauthorized && app.settings.api_auth == ApiAuth::Token {
                let challenge = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

async fn route(app: &App, request: &Request, invocation: &Invocation) -> Result<Response<Body>, Problem> {
    let path = path(request);
    let Some(methods) = allowed(path) else {
        return Err(Problem::new(Kind::NotFound, "There is nothing at this path."));
    };
    if let Some(rest) = path.strip_prefix(VIEW) {
        return match (rest.strip_suffix(REDELIVER), request.method()) {
            (None, &Method::GET | &Method::HEAD) => pages::view(app, request, rest).await,
            (Some(id), &Method::POST) => pages::redeliver(app, request, id).await,
            _ => Err(Problem::new(Kind::MethodNotAllowed, format!("This path takes {methods}."))),
        };
    }
    let of_request = path.strip_prefix("/highlights/");
    if let Some(id) = of_request.and_then(|rest| rest.strip_suffix(REDELIVER)) {
        return match *request.method() {
            Method::POST => redeliver(app, request, id).await,
            _ => Err(Problem::new(Kind::MethodNotAllowed, format!("This path takes {methods}."))),
        };
    }
    match (of_request, request.method()) {
        // Its POST goes to webhook λ.
        (None, _) if path == WEBHOOK => {
            Err(Problem::new(Kind::MethodNotAllowed, format!("This path takes {methods}.")))
        }
        (None, &Method::POST) => post_highlights(app, request, invocation).await,
        (None, &Method::GET) => list_highlights(app, request).await,
        (Some(id), &Method::GET) => get_highlights(app, request, id).await,
        (Some(id), &Method::DELETE) => delete_highlights(app, request, id).await,
        _ => Err(Problem::new(Kind::MethodNotAllowed, format!("This path takes {methods}."))),
    }
}

/// The methods of a path; `None` for a path that is none of ours.
fn allowed(path: &str) -> Option<&'static str> {
    if path == WEBHOOK {
        return Some("POST");
    }
    let of_one = |rest: &str, methods| {
        let (id, methods) = match rest.strip_suffix(REDELIVER) {
            Some(id) => (id, "POST"),
            None => (rest, methods),
        };
        (!id.is_empty() && !id.contains('/')).then_some(methods)
    };
    if let Some(rest) = path.strip_prefix(VIEW) {
        return of_one(rest, "GET, HEAD");
    }
    match path.strip_prefix("/highlights")? {
        "" => Some("POST, GET"),
        rest => of_one(rest.strip_prefix('/')?, "GET, DELETE"),
    }
}

async fn post_highlights(
    app: &App,
    request: &Request,
    invocation: &Invocation,
) -> Result<Response<Body>, Problem> {
    let name = authenticate(app, request).await?;
    check_content_type(request)?;
    let mut new = NewRequest::parse(request.body(), &app.settings.request_rules)?;
    if let Some(key) = key_of_header(request)? {
        if new.idempotency_key.as_ref().is_some_and(|in_body| *in_body != key) {
            let detail = "differs from the Idempotency-Key header; give one of them";
            return Err(Problem::invalid(vec![FieldError::at("/idempotencyKey", detail)]));
        }
        new.idempotency_key = Some(key);
    }
    let asked = app.ask_parsed(new, Caller { name, source_key: None, invocation }).await?;
    Ok(receipt(&asked))
}

fn receipt(asked: &Asked) -> Response<Body> {
    let pending = asked.summary.status == model::record::Status::Pending;
    let status = match asked.how {
        How::New => StatusCode::ACCEPTED,
        How::Replayed if pending => StatusCode::ACCEPTED,
        How::Replayed | How::Found => StatusCode::OK,
    };
    let mut response = json(status, &view::receipt(&asked.summary));
    let location = format!("/highlights/{}", asked.summary.request_id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if asked.how == How::Replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}

async fn get_highlights(app: &App, request: &Request, id: &str) -> Result<Response<Body>, Problem> {
    authenticate(app, request).await?;
    let record = find(app, id).await?.ok_or_else(not_found)?;
    let result = unpack(&record)?;
    match Form::wanted(request) {
        Form::Json => Ok(json(StatusCode::OK, &view::whole(&record, result.as_ref()))),
        Form::Html => pages::of_caller(app, &record, result.as_ref()).await,
        Form::Markdown => {
            let links = Links::new(&app.settings.shared.log_rocket_app_url, &app.settings.shared.app);
            let markdown = view::markdown(&record, result.as_ref(), &links);
            check_size("Markdown", &markdown)?;
            Ok(text("text/markdown; charset=utf-8", markdown))
        }
    }
}

pub fn unpack(record: &Record) -> Result<Option<HighlightsResult>, Problem> {
    record.unpack_result().map_err(|error| {
        let error = aws::telemetry::chain(&error);
        tracing::error!(requestID = record.request_id.as_str(), error, "the stored result is damaged");
        Problem::new(Kind::Unavailable, "The stored result cannot be read.")
    })
}

/// Escaped for its form, a result may have grown beyond what an answer carries.
pub fn check_size(form: &str, text: &str) -> Result<(), Problem> {
    if escaped_bytes(text) > MAX_JSON_BYTES {
        let detail = format!("As {form} this result is too large for an answer: read it as JSON.");
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    Ok(())
}

/// By our id, else by the id that LogRocket gave its latest attempt.
async fn find(app: &App, id: &str) -> Result<Option<Record>, Problem> {
    let now = clock::now();
    let unavailable = |error| table_unavailable(&error);
    if let Some(id) = RequestId::parse(id)
        && let Some(record) = app.table.get(&id, now).await.map_err(unavailable)?
    {
        return Ok(Some(record));
    }
    if !is_log_rocket_id(id) {
        return Ok(None);
    }
    app.table.find_by_log_rocket_id(id, now).await.map_err(unavailable)
}

async fn delete_highlights(app: &App, request: &Request, id: &str) -> Result<Response<Body>, Problem> {
    authenticate(app, request).await?;
    let id = RequestId::parse(id).ok_or_else(not_found)?;
    let deleted = app.table.delete(&id, clock::now()).await.map_err(|error| table_unavailable(&error))?;
    if !deleted {
        return Err(not_found());
    }
    tracing::info!(requestID = id.as_str(), "deleted");
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// 202 where deliveries are due again, 200 where none had failed; both show all of them.
async fn redeliver(app: &App, request: &Request, id: &str) -> Result<Response<Body>, Problem> {
    authenticate(app, request).await?;
    let record = find(app, id).await?.ok_or_else(not_found)?;
    let (status, record) = make_due(app, record).await?;
    Ok(json(status, &view::redelivery(&record)))
}

/// Makes failed deliveries due again. 202 if there were any, else 200; and the request as it is then.
pub async fn make_due(app: &App, record: Record) -> Result<(StatusCode, Record), Problem> {
    let now = clock::now();
    let redelivered = app.table.change(record, |record| record.redeliver(now)).await;
    let (answer, record) = match redelivered.map_err(|error| table_unavailable(&error))? {
        Changed::Written(record) => (StatusCode::ACCEPTED, *record),
        Changed::Unchanged(record) => (StatusCode::OK, *record),
        Changed::Gone | Changed::OverBudget => return Err(not_found()),
    };
    let (id, status) = (record.request_id.as_str(), record.status.as_str());
    tracing::info!(requestID = id, status, due = answer == StatusCode::ACCEPTED, "redeliver");
    Ok((answer, record))
}

async fn list_highlights(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    authenticate(app, request).await?;
    let query = ListQuery::read(request)?;
    let page = app
        .table
        .list(&query.subject, query.limit, query.cursor.as_ref(), clock::now())
        .await
        .map_err(|error| table_unavailable(&error))?;
    if Form::wanted(request) == Form::Html {
        return pages::history(app, &query.subject, &page).await;
    }
    let requests = view::list(&page.requests);
    // A hundred of the longest are more than an answer carries: the rest are on the next page.
    let next = match page.requests.get(..requests.len()) {
        Some(shown) if shown.len() < page.requests.len() => shown.last().map(Cursor::from),
        _ => page.next,
    };
    let mut body = serde_json::json!({ "requests": requests });
    if let Some(next) = next {
        body["nextCursor"] = Value::from(next.encode());
    }
    Ok(json(StatusCode::OK, &body))
}

/// What a list is asked for.
pub struct ListQuery {
    pub subject: Subject,
    /// Entries of a page, 1 to 100.
    pub limit: usize,
    /// Where the page begins; `None` for the first.
    pub cursor: Option<Cursor>,
}

impl ListQuery {
    /// Reads the query of a request. Every bad parameter is named at once.
    pub fn read(request: &Request) -> Result<Self, Problem> {
        let mut errors: Vec<FieldError> = Vec::new();
        let mut complain = |name: &str, detail: &str| {
            errors.push(FieldError::at(&format!("/{}", pointer_token(name)), detail));
        };
        let query = request.query_string_parameters();
        let mut given: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in query.iter() {
            given.entry(name).or_default().push(value);
        }
        for (name, values) in &given {
            if !["userEmail", "userID", "limit", "cursor"].contains(name) {
                complain(name, "unknown parameter; known are userEmail, userID, limit, cursor");
            } else if values.len() > 1 {
                complain(name, "must be given once");
            }
        }
        let one = |name: &str| given.get(name).and_then(|values| values.first().copied());

        let subject = match (one("userEmail"), one("userID")) {
            (Some(email), None) => Some(("userEmail", Subject::Email(email.to_owned()))),
            (None, Some(id)) => Some(("userID", Subject::Id(id.to_owned()))),
            (Some(_), Some(_)) => {
                complain("userID", "give exactly one of userEmail, userID");
                None
            }
            (None, None) => {
                complain("userEmail", "is missing; give exactly one of userEmail, userID");
                None
            }
        };
        if let Some((name, subject)) = &subject {
            let text = subject.as_field().1;
            if text.trim().is_empty() || text.chars().count() > MAX_SUBJECT_CHARS {
                complain(name, "must have 1 to 1024 characters");
            }
        }
        let limit = one("limit").map_or(Some(DEFAULT_LIMIT), |text| {
            text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
        });
        if limit.is_none() {
            complain("limit", "must be from 1 to 100");
        }
        let cursor = one("cursor").map(Cursor::decode);
        if matches!(cursor, Some(None)) {
            complain("cursor", "is none that a list gave as nextCursor");
        }
        match (subject, limit) {
            (Some((_, subject)), Some(limit)) if errors.is_empty() => {
                Ok(Self { subject, limit, cursor: cursor.flatten() })
            }
            _ => Err(Problem::invalid(errors)),
        }
    }
}

/// The name under which the caller's keys are kept apart from those of others.
async fn authenticate(app: &App, request: &Request) -> Result<String, Problem> {
    let unauthorized = |detail: &str| Problem::new(Kind::Unauthorized, detail);
    if app.settings.api_auth == ApiAuth::Iam {
        // The gateway has checked the signature; a route that does not check has no principal to show.
        return principal(request)
            .map(|principal| format!("iam:{principal}"))
            .ok_or_else(|| unauthorized("Sign the request with AWS credentials (SigV4)."));
    }
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = header
        .and_then(token::from_authorization)
        .ok_or_else(|| unauthorized("Give an API token: Authorization: Bearer {token}."))?;
    let name_of =
        |secrets: &RequestSecrets| secrets.api_tokens.name_of(presented).map(|name| format!("token:{name}"));
    let known = app.secrets().await?;
    if let Some(name) = name_of(&known) {
        return Ok(name);
    }
    // It may have been added since the secrets were read.
    let newest = if known.api_tokens.is_empty() {
        app.secrets.beyond(&known, clock::now()).await
    } else {
        app.secrets.refresh(clock::now()).await.unwrap_or(known)
    };
    if let Some(name) = name_of(&newest) {
        return Ok(name);
    }
    if newest.api_tokens.is_empty() {
        return Err(secrets_unavailable(&SecretsError::from(BadSecret::Missing {
            field: "apiTokens".into(),
        })));
    }
    Err(unauthorized("This API token is not known."))
}

/// The principal that the gateway's IAM check found. An assumed role's session is left off: a retry comes from
/// another.
fn principal(request: &Request) -> Option<String> {
    let arn = match request.request_context() {
        RequestContext::ApiGatewayV2(context) => context.authorizer?.iam?.user_arn?,
        RequestContext::ApiGatewayV1(context) => context.identity.user_arn?,
        _ => return None,
    };
    if arn.is_empty() {
        return None;
    }
    Some(match arn.split_once(":assumed-role/") {
        Some((account, role)) => {
            format!("{account}:assumed-role/{}", role.split('/').next().unwrap_or(role))
        }
        None => arn,
    })
}

/// JSON by any of its names, none at all, or what `curl -d` declares.
fn check_content_type(request: &Request) -> Result<(), Problem> {
    let unsupported = |detail: &str| Err(Problem::new(Kind::UnsupportedMediaType, detail));
    if let Some(encoding) = request.headers().get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return unsupported("Send the body without a Content-Encoding.");
    }
    let Some(declared) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let declared = declared.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    let json = essence == "application/json" || essence == "text/json" || essence.ends_with("+json");
    if json || essence.is_empty() || essence == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    unsupported("Send JSON: Content-Type: application/json.")
}

fn key_of_header(request: &Request) -> Result<Option<IdempotencyKey>, Problem> {
    let mut headers = request.headers().get_all("idempotency-key").iter();
    let Some(value) = headers.next() else { return Ok(None) };
    let key = value.to_str().ok().and_then(IdempotencyKey::parse);
    match key {
        Some(key) if headers.next().is_none() => Ok(Some(key)),
        _ => {
            let detail = "Idempotency-Key must be one value of 1 to 255 visible ASCII characters.";
            Err(Problem::new(Kind::Malformed, detail))
        }
    }
}

/// What a request may be shown as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Markdown,
    Html,
}

impl Form {
    /// What `Accept` wants most; of equals, what it names first.
    fn wanted(request: &Request) -> Self {
        let mut best: Option<(f32, Self)> = None;
        for (range, quality) in accepted(request) {
            let form = match range.as_str() {
                "text/markdown" => Self::Markdown,
                "text/html" => Self::Html,
                "application/json" | "application/*" | "*/*" => Self::Json,
                _ => continue,
            };
            if quality > 0.0 && best.is_none_or(|(other, _)| quality > other) {
                best = Some((quality, form));
            }
        }
        best.map_or(Self::Json, |(_, form)| form)
    }
}

/// The media ranges of `Accept`, in small letters, each with its quality.
pub fn accepted(request: &Request) -> impl Iterator<Item = (String, f32)> {
    let headers = request.headers().get_all(header::ACCEPT).into_iter();
    headers.flat_map(|accept| accept.to_str().unwrap_or_default().split(',')).map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        (range, quality)
    })
}

pub fn not_found() -> Problem {
    Problem::new(
        Kind::NotFound,
        "There is no request of this id; it may have been deleted, or its time is over.",
    )
}
