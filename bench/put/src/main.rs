use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::{Body, Error, Request, RequestExt, Response, run, service_fn, tracing};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let (dynamodb, table) = (Client::new(&config), std::env::var("TABLE_NAME")?);
    run(service_fn(|request| put(&dynamodb, &table, request))).await
}

async fn put(dynamodb: &Client, table: &str, request: Request) -> Result<Response<Body>, Error> {
    let id = request.lambda_context().request_id;
    dynamodb.put_item().table_name(table).item("requestID", AttributeValue::S(id)).send().await?;
    let body = r#"{"status":"PENDING"}"#;
    Ok(Response::builder().status(202).header("content-type", "application/json").body(body.into())?)
}
