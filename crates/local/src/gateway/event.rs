//! An HTTP request as it is handed to a function: by API Gateway in payload format 2.0 of an HTTP API and 1.0 of a REST
//! API (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>), by a
//! function URL (<https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>), and by a load balancer
//! (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>).

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

const ACCOUNT_ID: &str = "000000000000";
const API_ID: &str = "local";
const DOMAIN_NAME: &str = "local.execute-api.us-east-1.amazonaws.com";
const FUNCTION_URL_DOMAIN_NAME: &str = "local.lambda-url.us-east-1.on.aws";
const TARGET_GROUP_ARN: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/local/0123456789abcdef";
const SOURCE_IP: &str = "127.0.0.1";
/// The stage of the REST form; an HTTP API's default stage has no name of its own.
const REST_STAGE: &str = "prod";

/// The routes that the API has, as `METHOD /path/{parameter}`; all else is `$default`.
const ROUTES: [(&str, &str); 9] = [
    ("POST", "/highlights"),
    ("GET", "/highlights"),
    ("GET", "/highlights/{requestID}"),
    ("DELETE", "/highlights/{requestID}"),
    ("POST", "/highlights/{requestID}/redeliver"),
    ("GET", "/view/{requestID}"),
    ("HEAD", "/view/{requestID}"),
    ("POST", "/view/{requestID}/redeliver"),
    ("POST", "/webhook"),
];

/// An HTTP request before it is an event.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCall {
    /// `POST`, `GET`, …
    pub method: Method,
    /// As in the request line: percent-encoded.
    pub path: String,
    /// As in the request line: percent-encoded, without the question mark.
    pub query: String,
    /// As received, those that repeat apart.
    pub headers: HeaderMap,
    /// As received; empty is none.
    pub body: Bytes,
}

impl HttpCall {
    /// A call without body or headers; `path_and_query` as it stands in a request line.
    pub fn new(method: Method, path_and_query: &str) -> HttpCall {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        HttpCall {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Adds a header beside those of the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> HttpCall {
        self.headers.append(name, value);
        self
    }

    /// Sets the body, with the content type of JSON.
    #[must_use]
    pub fn json(mut self, body: &Value) -> HttpCall {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = body.to_string().into();
        self
    }

    /// The event of an HTTP API, payload format 2.0.
    pub fn http_api_event(&self) -> Value {
        let matched = self.matched();
        let path = decode(&self.path);
        let now = OffsetDateTime::now_utc();
        let (body, is_base64) = self.body_text();
        let mut event = json!({
            "version": "2.0",
            "routeKey": matched.route_key(),
            "rawPath": path,
            "rawQueryString": self.query,
            "headers": self.joined_headers(),
            "requestContext": {
                "accountId": ACCOUNT_ID,
                "apiId": API_ID,
                "domainName": DOMAIN_NAME,
                "domainPrefix": API_ID,
                "http": {
                    "method": self.method.as_str(),
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": SOURCE_IP,
                    "userAgent": self.user_agent(),
                },
                "requestId": Uuid::new_v4().to_string(),
                "routeKey": matched.route_key(),
                "stage": "$default",
                "time": log_time(now),
                "timeEpoch": epoch_milliseconds(now),
            },
            "isBase64Encoded": is_base64,
        });
        // What there is none of is absent in this format.
        let cookies = self.cookies();
        if !cookies.is_empty() {
            event["cookies"] = json!(cookies);
        }
        let query = self.query_parameters();
        if !query.is_empty() {
            event["queryStringParameters"] =
                Map::from_iter(query.into_iter().map(|(name, values)| (name, values.join(",").into())))
                    .into();
        }
        if !matched.parameters.is_empty() {
            event["pathParameters"] = json!(matched.parameters);
        }
        if let Some(body) = body {
            event["body"] = body.into();
        }
        event
    }

    /// The event of a REST API, payload format 1.0, in stage `prod`.
    pub fn rest_api_event(&self) -> Value {
        let matched = self.matched();
        let now = OffsetDateTime::now_utc();
        let (body, is_base64) = self.body_text();
        let headers = self.header_values();
        let query = self.query_parameters();
        let resource = matched.route.map_or("/{proxy+}", |(_, path)| path);
        // What there is none of is null in this format.
        json!({
            "resource": resource,
            "path": self.path,
            "httpMethod": self.method.as_str(),
            "headers": last_values(&headers),
            "multiValueHeaders": headers,
            "queryStringParameters": none_if_empty(last_values(&query)),
            "multiValueQueryStringParameters": none_if_empty(json!(query)),
            "pathParameters": none_if_empty(json!(matched.parameters)),
            "stageVariables": null,
            "requestContext": {
                "accountId": ACCOUNT_ID,
                "apiId": API_ID,
                "domainName": DOMAIN_NAME,
                "domainPrefix": API_ID,
                "extendedRequestId": Uuid::new_v4().to_string(),
                "httpMethod": self.method.as_str(),
                "identity": { "sourceIp": SOURCE_IP, "userAgent": self.user_agent() },
                "path": format!("/{REST_STAGE}{}", self.path),
                "protocol": "HTTP/1.1",
                "requestId": Uuid::new_v4().to_string(),
                "requestTime": log_time(now),
                "requestTimeEpoch": epoch_milliseconds(now),
                "resourceId": "local0",
                "resourcePath": resource,
                "stage": REST_STAGE,
            },
            "body": body,
            "isBase64Encoded": is_base64,
        })
    }

    /// The event of a function URL: payload format 2.0 without routes.
    pub fn function_url_event(&self) -> Value {
        let mut event = self.http_api_event();
        event["routeKey"] = "$default".into();
        event["requestContext"]["routeKey"] = "$default".into();
        event["requestContext"]["domainName"] = FUNCTION_URL_DOMAIN_NAME.into();
        if let Some(fields) = event.as_object_mut() {
            fields.remove("pathParameters");
        }
        event
    }

    /// The event of an Application Load Balancer; whether the target group has `lambda.multi_value_headers.enabled`
    /// decides which fields there are. Parameters stand as in the request line: a load balancer decodes nothing.
    pub fn load_balancer_event(&self, has_multi_values: bool) -> Value {
        let (body, is_base64) = self.body_text();
        let (headers, mut query) = (self.header_values(), BTreeMap::<_, Vec<_>>::new());
        for parameter in self.query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            query.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        let mut event = json!({
            "requestContext": { "elb": { "targetGroupArn": TARGET_GROUP_ARN } },
            "httpMethod": self.method.as_str(),
            "path": self.path,
            // No body is an empty one.
            "body": body.unwrap_or_default(),
            "isBase64Encoded": is_base64,
        });
        if has_multi_values {
            event["multiValueHeaders"] = json!(headers);
            event["multiValueQueryStringParameters"] = json!(query);
        } else {
            event["headers"] = last_values(&headers);
            event["queryStringParameters"] = last_values(&query);
        }
        event
    }

    fn matched(&self) -> Matched {
        for (method, pattern) in ROUTES {
            if self.method.as_str() == method
                && let Some(parameters) = match_path(pattern, &self.path)
            {
                return Matched { route: Some((method, pattern)), parameters };
            }
        }
        Matched::default()
    }

    /// Names in lower case, the values of one name joined with commas, no cookies.
    fn joined_headers(&self) -> Value {
        let mut headers = self.header_values();
        headers.remove(header::COOKIE.as_str());
        Map::from_iter(headers.into_iter().map(|(name, values)| (name, values.join(",").into()))).into()
    }

    fn header_values(&self) -> BTreeMap<String, Vec<String>> {
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &self.headers {
            headers.entry(name.as_str().to_owned()).or_default().push(text(value));
        }
        headers
    }

    fn cookies(&self) -> Vec<String> {
        let cookies = self.headers.get_all(header::COOKIE).iter();
        cookies
            .flat_map(|value| {
                text(value).split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>()
            })
            .filter(|cookie| !cookie.is_empty())
            .collect()
    }

    fn query_parameters(&self) -> BTreeMap<String, Vec<String>> {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(self.query.as_bytes()) {
            parameters.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        parameters
    }

    fn user_agent(&self) -> String {
        self.headers.get(header::USER_AGENT).map(text).unwrap_or_default()
    }

    /// The body as it stands in the event, and whether that is base64: text is only what is declared to be text.
    /// A form is not (the gateway encodes it), and neither is what is not UTF-8.
    fn body_text(&self) -> (Option<String>, bool) {
        if self.body.is_empty() {
            return (None, false);
        }
        let is_text = self.headers.get(header::CONTENT_TYPE).is_none_or(|value| is_text(&text(value)))
            && !self.headers.contains_key(header::CONTENT_ENCODING);
        match str::from_utf8(&self.body) {
            Ok(body) if is_text => (Some(body.to_owned()), false),
            _ => (Some(BASE64_STANDARD.encode(&self.body)), true),
        }
    }
}

/// The route that a call takes; none is `$default`.
#[derive(Default)]
struct Matched {
    route: Option<(&'static str, &'static str)>,
    parameters: BTreeMap<String, String>,
}

impl Matched {
    fn route_key(&self) -> String {
        self.route.map_or_else(|| "$default".to_owned(), |(method, path)| format!("{method} {path}"))
    }
}

/// The path's parameters, decoded; `None` when it is another path. No parameter is empty.
fn match_path(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    if pattern.split('/').count() != path.split('/').count() {
        return None;
    }
    let mut parameters = BTreeMap::new();
    for (expected, segment) in pattern.split('/').zip(path.split('/')) {
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => {
                parameters.insert(name.to_owned(), decode(segment));
            }
            None if expected == segment => {}
            _ => return None,
        }
    }
    Some(parameters)
}

fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || matches!(essence.as_str(), "application/json" | "application/javascript" | "application/xml")
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn last_values(values: &BTreeMap<String, Vec<String>>) -> Value {
    Map::from_iter(
        values.iter().filter_map(|(name, values)| Some((name.clone(), Value::from(values.last()?.as_str())))),
    )
    .into()
}

fn none_if_empty(value: Value) -> Value {
    if value.as_object().is_some_and(Map::is_empty) { Value::Null } else { value }
}

/// `12/Mar/2020:19:03:58 +0000`.
fn log_time(time: OffsetDateTime) -> String {
    let month = time.month().to_string();
    format!(
        "{:02}/{}/{}:{:02}:{:02}:{:02} +0000",
        time.day(),
        month.get(..3).unwrap_or(&month),
        time.year(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

fn epoch_milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    #[test]
    fn a_post_is_the_event_that_aws_documents() {
        let call = HttpCall::new(Method::POST, "/highlights")
            .header(header::USER_AGENT, value("curl/8"))
            .json(&json!({ "userID": "7" }));
        let event = call.http_api_event();

        assert_eq!(event["version"], "2.0");
        assert_eq!(event["routeKey"], "POST /highlights");
        assert_eq!(event["rawPath"], "/highlights");
        assert_eq!(event["rawQueryString"], "");
        assert_eq!(event["body"], r#"{"userID":"7"}"#);
        assert_eq!(event["isBase64Encoded"], false);
        assert_eq!(event["headers"]["content-type"], "application/json");
        let context = &event["requestContext"];
        assert_eq!(context["routeKey"], "POST /highlights");
        assert_eq!(context["stage"], "$default");
        assert_eq!(context["http"]["method"], "POST");
        assert_eq!(context["http"]["userAgent"], "curl/8");
        assert!(context["timeEpoch"].as_i64().unwrap() > 1_700_000_000_000);
        for absent in ["cookies", "queryStringParameters", "pathParameters", "stageVariables"] {
            assert!(event.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn headers_and_parameters_that_repeat_are_joined_and_cookies_stand_apart() {
        let event = HttpCall::new(Method::GET, "/highlights?userID=a%20b&userID=c&limit=2")
            .header(HeaderName::from_static("x-many"), value("1"))
            .header(HeaderName::from_static("x-many"), value("2"))
            .header(header::COOKIE, value("a=1; b=2"))
            .header(header::COOKIE, value("c=3"))
            .http_api_event();

        assert_eq!(event["rawQueryString"], "userID=a%20b&userID=c&limit=2");
        assert_eq!(event["queryStringParameters"], json!({ "userID": "a b,c", "limit": "2" }));
        assert_eq!(event["headers"], json!({ "x-many": "1,2" }));
        assert_eq!(event["cookies"], json!(["a=1", "b=2", "c=3"]));
        assert!(event.get("body").is_none());
    }

    #[test]
    fn a_path_parameter_is_decoded_and_so_is_the_path() {
        let event = HttpCall::new(Method::DELETE, "/highlights/a%20b").http_api_event();
        assert_eq!(event["routeKey"], "DELETE /highlights/{requestID}");
        assert_eq!(event["pathParameters"], json!({ "requestID": "a b" }));
        assert_eq!(event["rawPath"], "/highlights/a b");
    }

    #[test]
    fn what_has_no_route_is_default() {
        let calls = [
            (Method::PUT, "/highlights"),
            (Method::GET, "/webhook"),
            (Method::GET, "/highlights/"),
            (Method::GET, "/highlights/a/b"),
            (Method::GET, "/"),
        ];
        for (method, path) in calls {
            let event = HttpCall::new(method, path).http_api_event();
            assert_eq!(event["routeKey"], "$default", "{path}");
            assert!(event.get("pathParameters").is_none(), "{path}");
        }
    }

    #[test]
    fn a_body_that_is_not_declared_text_is_base64() {
        let body = Bytes::from_static(b"{\"a\":1}");
        let cases = [
            (Some("application/json; charset=utf-8"), false),
            (Some("application/problem+json"), false),
            (Some("text/plain"), false),
            (None, false),
            (Some("application/x-www-form-urlencoded"), true),
            (Some("application/octet-stream"), true),
        ];
        for (content_type, is_base64) in cases {
            let mut call = HttpCall::new(Method::POST, "/highlights");
            call.body = body.clone();
            if let Some(content_type) = content_type {
                call = call.header(header::CONTENT_TYPE, value(content_type));
            }
            let event = call.http_api_event();
            assert_eq!(event["isBase64Encoded"], is_base64, "{content_type:?}");
            let expected = if is_base64 { "eyJhIjoxfQ==" } else { "{\"a\":1}" };
            assert_eq!(event["body"], expected, "{content_type:?}");
        }
        let mut not_utf8 = HttpCall::new(Method::POST, "/webhook").json(&Value::Null);
        not_utf8.body = Bytes::from_static(&[0xff]);
        assert_eq!(not_utf8.http_api_event()["isBase64Encoded"], true);
    }

    #[test]
    fn the_rest_form_has_single_and_multiple_values() {
        let event = HttpCall::new(Method::GET, "/highlights/r1?a=1&a=2")
            .header(header::ACCEPT, value("text/markdown"))
            .rest_api_event();

        assert_eq!(event["resource"], "/highlights/{requestID}");
        assert_eq!(event["httpMethod"], "GET");
        assert_eq!(event["queryStringParameters"], json!({ "a": "2" }));
        assert_eq!(event["multiValueQueryStringParameters"], json!({ "a": ["1", "2"] }));
        assert_eq!(event["pathParameters"], json!({ "requestID": "r1" }));
        assert_eq!(event["headers"]["accept"], "text/markdown");
        assert_eq!(event["requestContext"]["path"], "/prod/highlights/r1");
        assert_eq!(event["body"], Value::Null);
    }

    #[test]
    fn a_function_url_knows_no_routes() {
        let event = HttpCall::new(Method::GET, "/highlights/r1?a=1").function_url_event();
        assert_eq!((&event["version"], &event["routeKey"]), (&json!("2.0"), &json!("$default")));
        assert_eq!(event["rawPath"], "/highlights/r1");
        assert_eq!(event["requestContext"]["routeKey"], "$default");
        assert!(event["requestContext"]["domainName"].as_str().unwrap().contains(".lambda-url."));
        assert!(event.get("pathParameters").is_none());
    }

    #[test]
    fn a_load_balancer_decodes_nothing_and_has_one_form_of_headers() {
        let call = HttpCall::new(Method::GET, "/highlights?userID=a%20b&userID=c")
            .header(HeaderName::from_static("x-many"), value("1"))
            .header(HeaderName::from_static("x-many"), value("2"));
        let one = call.load_balancer_event(false);
        assert_eq!((&one["headers"], &one["body"]), (&json!({ "x-many": "2" }), &json!("")));
        assert_eq!(one["queryStringParameters"], json!({ "userID": "c" }));
        assert!(one.get("multiValueHeaders").is_none());
        let many = call.load_balancer_event(true);
        assert_eq!(many["multiValueHeaders"], json!({ "x-many": ["1", "2"] }));
        assert_eq!(many["multiValueQueryStringParameters"], json!({ "userID": ["a%20b", "c"] }));
        assert!(many.get("headers").is_none() && many.get("queryStringParameters").is_none());
        assert!(many["requestContext"]["elb"]["targetGroupArn"].is_string());
    }

    #[test]
    fn times_are_written_as_in_an_access_log() {
        let time = OffsetDateTime::from_unix_timestamp(1_583_348_638).unwrap();
        assert_eq!(log_time(time), "04/Mar/2020:19:03:58 +0000");
    }
}
