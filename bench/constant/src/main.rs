use lambda_http::{Body, Error, Request, Response, run, service_fn, tracing};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    run(service_fn(answer)).await
}

async fn answer(_: Request) -> Result<Response<Body>, Error> {
    let body = r#"{"status":"PENDING"}"#;
    Ok(Response::builder().status(202).header("content-type", "application/json").body(body.into())?)
}
