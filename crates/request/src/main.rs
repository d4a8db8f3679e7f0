use aws::tls::Tls;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use model::settings::RequestSettings;
use request::app::App;
use serde_json::value::RawValue;
use std::process::ExitCode;

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    aws::telemetry::init();
    // As a task: to wake one costs nothing, to wake the runtime's own future a system call, five for a new request.
    let ran = tokio::task::spawn_local(run()).await;
    aws::telemetry::exit_code(ran.unwrap_or_else(|panicked| Err(panicked.into())))
}

async fn run() -> Result<(), Error> {
    let settings = RequestSettings::read(|name| std::env::var(name).ok())?;
    aws::metrics::init(&settings.shared.stack_name);
    let tls = Tls::from_env()?;
    let app = App::start(settings, &aws::clients::from_env(&tls), &tls).await?;
    let app = &app;
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| request::handle(app, event));
    Runtime::new(service).run().await
}
