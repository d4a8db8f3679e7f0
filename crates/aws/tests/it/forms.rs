//! Events of every form that a gateway has, and of none.

use aws::function::Http;
use lambda_http::request::LambdaRequest;
use local::gateway::HttpCall;
use reqwest::Method;
use serde_json::{Value, json};

fn form(event: &Value) -> &'static str {
    match Http::read(&event.to_string()) {
        Http::Request(request) => match *request {
            LambdaRequest::ApiGatewayV1(_) => "REST API",
            LambdaRequest::ApiGatewayV2(_) => "HTTP API",
            LambdaRequest::Alb(_) => "load balancer",
            _ => "another",
        },
        Http::Unreadable => "unreadable",
        Http::Other => "none",
    }
}

#[test]
fn each_form_is_read_as_what_it_is() {
    let call = HttpCall::new(Method::POST, "/highlights?a=1").json(&json!({ "requestContext": {} }));
    assert_eq!(form(&call.http_api_event()), "HTTP API");
    assert_eq!(form(&call.function_url_event()), "HTTP API");
    assert_eq!(form(&call.rest_api_event()), "REST API");
    for has_multi_values in [true, false] {
        assert_eq!(form(&call.load_balancer_event(has_multi_values)), "load balancer");
    }
    // Made by hand, without what lambda_http knows the form by.
    let mut by_hand = call.rest_api_event();
    by_hand["requestContext"] = json!({});
    assert_eq!(form(&by_hand), "REST API");
}

#[test]
fn what_only_looks_like_http_is_unreadable_and_what_does_not_is_another_event() {
    assert_eq!(form(&json!({ "requestContext": { "http": {} } })), "unreadable");
    assert_eq!(form(&json!({ "requestContext": { "elb": {} }, "httpMethod": "no method" })), "unreadable");
    for event in [
        json!({ "userID": "1", "requestContext": {} }),
        json!({ "requestContext": "x", "httpMethod": "GET" }),
        json!({ "httpMethod": "GET" }),
        json!({ "detail": { "requestContext": { "http": { "method": "GET" } } } }),
        json!("requestContext"),
    ] {
        assert_eq!(form(&event), "none", "{event}");
    }
}
