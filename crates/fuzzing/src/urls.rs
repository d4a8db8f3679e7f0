use crate::as_text;
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::{Request, RequestExt};
use model::problem::Kind;
use model::token::CallbackKeys;
use request::ListQuery;
use secrecy::SecretSlice;
use url::form_urlencoded;
use webhook::Claim;

const APP: &str = "org/app";

/// The query of a callback URL: only one that request λ wrote is believed, and no parameter that is given twice.
pub fn callback_url(bytes: &[u8]) {
    let text = as_text(bytes);
    let query: QueryMap = text.parse().unwrap_or_default();
    let keys = CallbackKeys::new(vec![SecretSlice::from(vec![7; 32])]).unwrap();
    let Some(claim) = Claim::read(&query) else { return };
    let given = |name: &str| -> Vec<String> {
        let pairs = form_urlencoded::parse(text.as_bytes()).filter(|(other, _)| other == name);
        pairs.map(|(_, value)| value.into_owned()).collect()
    };
    assert_eq!(given("request"), [claim.request_id.as_str()]);
    assert_eq!(given("attempt"), [claim.attempt.to_string()]);
    let tokens = given("token");
    assert_eq!(tokens.len(), 1);
    if let Some(opened) = claim.opened(&keys, APP) {
        assert_eq!(tokens, [keys.sign(APP, &claim.request_id, claim.attempt, opened)]);
        assert_eq!(claim.opened(&keys, "org/other"), None);
    }
    let other = CallbackKeys::new(vec![SecretSlice::from(vec![8; 32])]).unwrap();
    assert_eq!(claim.opened(&other, APP), None);
}

/// The query of `GET /highlights`: it says all that is wrong with it, or is the same again when it is written anew.
pub fn list_query(bytes: &[u8]) {
    let asked = match read(&as_text(bytes)) {
        Ok(asked) => asked,
        Err(problem) => {
            assert!(problem.kind == Kind::Invalid && !problem.errors.is_empty(), "{problem:?}");
            return;
        }
    };
    assert!((1..=100).contains(&asked.limit));
    let (field, name) = asked.subject.as_field();
    assert!(!name.trim().is_empty() && name.chars().count() <= 1024, "{name:?}");
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.append_pair(field, name).append_pair("limit", &asked.limit.to_string());
    if let Some(cursor) = &asked.cursor {
        written.append_pair("cursor", &cursor.encode());
    }
    let again = read(&written.finish()).unwrap();
    assert_eq!((again.subject, again.limit, again.cursor), (asked.subject, asked.limit, asked.cursor));
}

fn read(query: &str) -> Result<ListQuery, model::problem::Problem> {
    let query: QueryMap = query.parse().unwrap_or_default();
    ListQuery::read(&Request::default().with_query_string_parameters(query))
}
