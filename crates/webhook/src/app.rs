//! What every invocation works with.

use crate::destinations::Vendors;
use aws::clock;
use aws::secrets::Secrets;
use aws::table::Table;
use aws::tls::Tls;
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
    /// Builds the clients, fetches the secrets, and connects to the table: before its first invocation a function has
    /// whole processors, afterwards a part of one. Secrets that cannot be had yet are no reason to stop: the invocations
    /// that need them try again, and say so.
    pub async fn start(
        settings: WebhookSettings,
        config: SdkConfig,
        tls: &Tls,
    ) -> Result<Self, reqwest::Error> {
        let shared = &settings.shared;
        let secrets = Secrets::new(&shared.secrets, &config, SecretDocument::for_webhook);
        // No POST is made here, so the budget is not this function's.
        let table = Table::new(&config, shared.table_name.clone(), None);
        let (fetched, ()) = tokio::join!(secrets.get(clock::now()), table.connect());
        if let Err(error) = fetched {
            tracing::error!(error = aws::telemetry::chain(&error), "the secrets cannot be had");
        }
        Ok(Self { table, secrets, vendors: Vendors::new(&settings, config, tls)?, settings })
    }
}
