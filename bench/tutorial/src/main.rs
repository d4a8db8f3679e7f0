use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::{Body, Error, Request, RequestExt, Response, run, service_fn, tracing};
use serde_json::{Value, json};

struct Clients {
    dynamodb: aws_sdk_dynamodb::Client,
    http: reqwest::Client,
    table: String,
    log_rocket_url: String,
    log_rocket_key: String,
    webhook_url: String,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let (api, app) = (std::env::var("LOGROCKET_API_URL")?, std::env::var("LOGROCKET_APP_ID")?);
    let (org, app) = app.split_once('/').ok_or("LOGROCKET_APP_ID is not org/app")?;
    let clients = Clients {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        http: reqwest::Client::new(),
        table: std::env::var("TABLE_NAME")?,
        log_rocket_url: format!("{api}/v1/orgs/{org}/apps/{app}/highlights/"),
        log_rocket_key: std::env::var("LOGROCKET_API_KEY")?,
        webhook_url: std::env::var("WEBHOOK_URL")?,
    };
    run(service_fn(|request| handle(&clients, request))).await
}

async fn handle(clients: &Clients, request: Request) -> Result<Response<Body>, Error> {
    let body: Value = serde_json::from_slice(request.body())?;
    match request.uri().path() {
        "/highlights" => ask(clients, body).await,
        "/webhook" => store(clients, &request, body).await,
        _ => answer(404, &json!({ "message": "Not Found" })),
    }
}

/// Asks LogRocket, and writes down what was asked by the id that it gave.
async fn ask(clients: &Clients, mut body: Value) -> Result<Response<Body>, Error> {
    body["webhookURL"] = json!(clients.webhook_url);
    let request = clients.http.post(&clients.log_rocket_url);
    let request = request.header("authorization", format!("token {}", clients.log_rocket_key)).json(&body);
    let answered: Value = request.send().await?.error_for_status()?.json().await?;
    let id = answered["id"].as_str().ok_or("LogRocket gave no id")?;
    let put = clients.dynamodb.put_item().table_name(&clients.table);
    put.item("requestID", AttributeValue::S(id.to_owned()))
        .item("status", AttributeValue::S("PENDING".to_owned()))
        .item("request", AttributeValue::S(body.to_string()))
        .send()
        .await?;
    answer(202, &json!({ "requestID": id, "status": "PENDING" }))
}

/// Writes down LogRocket's result.
async fn store(clients: &Clients, request: &Request, body: Value) -> Result<Response<Body>, Error> {
    let query = request.query_string_parameters();
    let id = query.first("request").or(body["requestID"].as_str()).ok_or("no requestID")?;
    let put = clients.dynamodb.put_item().table_name(&clients.table);
    put.item("requestID", AttributeValue::S(id.to_owned()))
        .item("status", AttributeValue::S(body["status"].as_str().unwrap_or("FAILED").to_owned()))
        .item("result", AttributeValue::S(body["result"].to_string()))
        .send()
        .await?;
    answer(200, &json!({ "requestID": id }))
}

fn answer(status: u16, body: &Value) -> Result<Response<Body>, Error> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(body.to_string().into())?)
}
