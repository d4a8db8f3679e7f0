use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use model::settings::Settings;
use serde_json::value::RawValue;
use webhook::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    aws::telemetry::init();
    let settings = Settings::read(|name| std::env::var(name).ok()).inspect_err(|bad| {
        tracing::error!(variable = bad.variable, "{bad}");
    })?;
    let app = App::start(settings, &aws::clients::load_config().await).await;
    let app = &app;
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| webhook::handle(app, event));
    Runtime::new(service).run().await
}
