//! The real clients, against the local stand-ins of their vendors.

use super::{Failure, Handover, Vendors};
use aws::clients;
use aws::tls::Tls;
use aws_config::Region;
use aws_sdk_sfn::config::{Credentials, SharedCredentialsProvider};
use local::destinations::{Destinations, Kind, Options};
use model::destination::Target;
use model::secrets::{DestinationSecrets, SecretDocument};
use model::settings::WebhookSettings;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

pub struct StandIn {
    pub there: Destinations,
    vendors: Vendors,
    runtime: Runtime,
}

impl StandIn {
    pub fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let there = runtime.block_on(Destinations::start(Options::default())).unwrap();
        let vendors = vendors(&there);
        Self { there, vendors, runtime }
    }

    pub fn secrets(&self) -> DestinationSecrets {
        let mut document = SecretDocument::default();
        let key = "0123456789abcdef0123456789abcdef";
        let json = json!({ "callbackKey": key, "destinations": self.there.secrets() });
        document.merge("test", &json.to_string()).unwrap();
        document.for_webhook().unwrap().destinations
    }

    pub fn deliver(&self, handover: &Handover<'_>, target: &Target) -> Result<Option<String>, Failure> {
        self.deliver_with(handover, target, &self.secrets())
    }

    pub fn deliver_with(
        &self,
        handover: &Handover<'_>,
        target: &Target,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        self.runtime.block_on(self.vendors.deliver(&to(handover, target), secrets))
    }

    /// So many at once.
    pub fn deliver_all(
        &self,
        handover: &Handover<'_>,
        target: &Target,
        count: usize,
    ) -> Vec<Result<Option<String>, Failure>> {
        let (handover, secrets) = (to(handover, target), self.secrets());
        let all = (0..count).map(|_| self.vendors.deliver(&handover, &secrets));
        self.runtime.block_on(futures::future::join_all(all))
    }

    /// The calls of that kind so far.
    pub fn calls(&self, kind: Kind) -> usize {
        self.there.received().iter().filter(|call| call.kind == kind).count()
    }
}

fn to<'a>(handover: &Handover<'a>, target: &'a Target) -> Handover<'a> {
    Handover { target, delivery_id: handover.delivery_id.clone(), ..*handover }
}

fn vendors(there: &Destinations) -> Vendors {
    let environment = there.environment();
    let at = |variable: &str| {
        environment.iter().find(|(known, _)| *known == variable).map(|(_, value)| value.clone())
    };
    let settings = WebhookSettings::read(|variable| match variable {
        "TABLE_NAME" => Some("highlights".to_owned()),
        "LOGROCKET_APP_ID" => Some("org/app".to_owned()),
        "SECRETS_JSON" => Some("{}".to_owned()),
        "ALLOW_PRIVATE_DESTINATIONS" => Some("true".to_owned()),
        variable => at(variable),
    });
    // All clients of a region share how many retries they have left: a test of what fails takes them from others.
    let region = Region::new(format!("local-{}", uuid::Uuid::new_v4().simple()));
    let tls = Tls::from_env().unwrap();
    let credentials = Credentials::new("id", "secret", None, None, "test");
    let config = clients::builder(&tls)
        .region(region)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    // The SDK finds these endpoints in the environment, which a test cannot set.
    let aws = |variable| config.clone().into_builder().endpoint_url(at(variable).unwrap()).build();
    Vendors {
        event_bridge: aws_sdk_eventbridge::Client::new(&aws("AWS_ENDPOINT_URL_EVENTBRIDGE")).into(),
        step_functions: super::step_functions::client(&aws("AWS_ENDPOINT_URL_SFN")).into(),
        ..Vendors::new(&settings.unwrap(), config.clone(), &tls).unwrap()
    }
}
