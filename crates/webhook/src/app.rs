//! What every invocation works with.

use aws::clock;
use aws::secrets::Secrets;
use aws::table::Table;
use aws_config::SdkConfig;
use model::secrets::{SecretDocument, WebhookSecrets};
use model::settings::Settings;

pub struct App {
    pub settings: Settings,
    pub table: Table,
    pub secrets: Secrets<WebhookSecrets>,
}

impl App {
    /// Builds the clients and fetches the secrets. Secrets that cannot be had yet are no reason to stop: the
    /// invocations that need them try again, and say so.
    pub async fn start(settings: Settings, config: &SdkConfig) -> Self {
        let secrets = Secrets::new(&settings.secrets, config, SecretDocument::for_webhook);
        if let Err(error) = secrets.get(clock::now()).await {
            tracing::error!(error = aws::telemetry::chain(&error), "the secrets cannot be had");
        }
        // No POST is made here, so the budget is not this function's.
        Self { table: Table::new(config, settings.table_name.clone(), None), secrets, settings }
    }
}
