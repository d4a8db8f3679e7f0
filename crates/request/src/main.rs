use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use model::settings::RequestSettings;
use request::app::App;
use serde_json::value::RawValue;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::telemetry::init();
    aws::telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let settings = RequestSettings::read(|name| std::env::var(name).ok())?;
    aws::metrics::init(&settings.shared.stack_name);
    let app = App::start(settings, &aws::clients::load_config().await).await?;
    let app = &app;
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| request::handle(app, event));
    Runtime::new(service).run().await
}
