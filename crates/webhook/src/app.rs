//! What every invocation works with.

use crate::destinations::Vendors;
use aws::clock;
use aws::secrets::Secrets;
use aws::table::Table;
use aws_config::SdkConfig;
use model::secrets::{SecretDocument, WebhookSecrets};
use model::settings::WebhookSettings;

pub struct App {
    pub settings: WebhookSettings,
    pub table: Table,
    pub secrets: Secrets<WebhookSecrets>,
    pub vendors: Vendors,
}

impl App {
    /// Builds the clients and fetches the secrets. Secrets that cannot be had yet are no reason to stop: the
    /// invocations that need them try again, and say so.
    pub async fn start(settings: WebhookSettings, config: SdkConfig) -> Result<Self, reqwest::Error> {
        let shared = &settings.shared;
        let secrets = Secrets::new(&shared.secrets, &config, SecretDocument::for_webhook);
        if let Err(error) = secrets.get(clock::now()).await {
            tracing::error!(error = aws::telemetry::chain(&error), "the secrets cannot be had");
        }
        Ok(Self {
            // No POST is made here, so the budget is not this function's.
            table: Table::new(&config, shared.table_name.clone(), None),
            secrets,
            vendors: Vendors::new(&settings, config)?,
            settings,
        })
    }
}
