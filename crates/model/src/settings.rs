//! The configuration, read from environment variables that come in as a function.

use crate::destination::{self, DestinationRules, KnownDestinations};
use crate::request::RequestRules;
use crate::rules::Rules;
use secrecy::SecretString;
use std::str::FromStr;
use std::time::Duration;
use url::{Host, Url};

/// A variable that is missing or cannot be used; one line that names it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct BadSetting {
    pub variable: &'static str,
    pub problem: String,
}

/// What both functions are told.
#[derive(Clone, Debug)]
pub struct Settings {
    pub table_name: String,
    pub app: App,
    pub secrets: SecretSource,
    pub rules: Rules,
    /// Where people watch sessions: links go there, and nowhere else.
    pub log_rocket_app_url: Url,
    /// Tells the metrics of two stacks of one account apart.
    pub stack_name: String,
    /// Of the API, where people read pages; without it, messages to them carry no link.
    pub public_url: Option<Url>,
    /// How long such a link opens its page.
    pub view_link_lives: Duration,
}

/// What only request λ is told.
#[derive(Clone, Debug)]
pub struct RequestSettings {
    pub shared: Settings,
    /// Without a slash at its end.
    pub log_rocket_api_url: String,
    /// The whole route, `/webhook` included.
    pub webhook_url: String,
    pub api_auth: ApiAuth,
    pub request_rules: RequestRules,
    pub monthly_request_limit: Option<u64>,
}

/// What only webhook λ is told. No URL has a slash at its end.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    pub shared: Settings,
    pub slack_api_url: String,
    /// With `{subdomain}` in it, unless there is but one.
    pub zendesk_api_url: String,
    /// `None` leaves it to the region that the secret names.
    pub intercom_api_url: Option<String>,
    pub hubspot_api_url: String,
    /// Local runs only: results also go to `http` and to private addresses.
    pub allow_private: bool,
    /// Lambda's own, `host:port`: no result goes there, whatever else is allowed.
    pub runtime_api: Option<String>,
}

/// LogRocket's name of an application, `org/app`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct App(String);

impl App {
    pub fn parse(text: &str) -> Option<Self> {
        let slug = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
                && part.bytes().any(|byte| byte != b'.')
        };
        let (org, app) = text.split_once('/')?;
        (slug(org) && slug(app)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn org_and_app(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or((&self.0, ""))
    }
}

/// Where the secrets come from.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// Ids or ARNs of Secrets Manager, merged in this order.
    Ids(Vec<String>),
    /// The JSON itself, for local runs.
    Json(SecretString),
}

/// Who tells whether a caller may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApiAuth {
    /// This function, by `Authorization: Bearer`.
    Token,
    /// The gateway, by IAM.
    Iam,
}

impl Settings {
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        Environment(&variable).settings()
    }
}

impl RequestSettings {
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let environment = Environment(&variable);
        Ok(Self {
            shared: environment.settings()?,
            log_rocket_api_url: environment.base_url("LOGROCKET_API_URL", "https://api.logrocket.com")?,
            webhook_url: environment.url("WEBHOOK_URL")?.ok_or_else(|| missing("WEBHOOK_URL"))?,
            api_auth: match environment.get("API_AUTH").as_deref() {
                None | Some("token") => ApiAuth::Token,
                Some("iam") => ApiAuth::Iam,
                Some(_) => return Err(bad("API_AUTH", "must be token or iam")),
            },
            request_rules: environment.request_rules()?,
            monthly_request_limit: environment.optional_number("MONTHLY_REQUEST_LIMIT")?,
        })
    }
}

impl WebhookSettings {
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let environment = Environment(&variable);
        Ok(Self {
            shared: environment.settings()?,
            slack_api_url: environment.base_url("SLACK_API_URL", "https://slack.com/api")?,
            zendesk_api_url: environment.zendesk_url()?,
            intercom_api_url: environment.url("INTERCOM_API_URL")?.map(without_slash),
            hubspot_api_url: environment.base_url("HUBSPOT_API_URL", "https://api.hubapi.com")?,
            allow_private: environment.allow_private()?,
            runtime_api: environment.get("AWS_LAMBDA_RUNTIME_API"),
        })
    }
}

struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// An empty variable is an unset one: templates cannot leave one out.
    fn get(&self, variable: &'static str) -> Option<String> {
        (self.0)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn settings(&self) -> Result<Settings, BadSetting> {
        let app = self.required("LOGROCKET_APP_ID")?;
        Ok(Settings {
            table_name: self.required("TABLE_NAME")?,
            app: App::parse(&app)
                .ok_or_else(|| bad("LOGROCKET_APP_ID", "must be org/app, as in LogRocket's URLs"))?,
            secrets: self.secret_source()?,
            rules: Rules {
                max_attempts: self.number("MAX_ATTEMPTS", 3, 1..=20)?,
                retry_after: self.seconds("RETRY_AFTER_SECONDS", 30)?,
                lease: self.seconds("LEASE_SECONDS", 60)?,
                poll_after: self.seconds("POLL_AFTER_SECONDS", 180)?,
                unknown_grace: self.seconds("UNKNOWN_GRACE_SECONDS", 300)?,
                pending_timeout: self.seconds("PENDING_TIMEOUT_SECONDS", 3600)?,
                retention_days: self.number("RETENTION_DAYS", 30, 1..=3650)?,
            },
            log_rocket_app_url: self
                .page_url("LOGROCKET_APP_URL", Some("https://app.logrocket.com"))?
                .ok_or_else(|| missing("LOGROCKET_APP_URL"))?,
            public_url: self.page_url("PUBLIC_URL", None)?,
            view_link_lives: self.days("VIEW_LINK_DAYS", 7, 1..=90)?,
            stack_name: self.get("STACK_NAME").unwrap_or_else(|| "local".to_owned()),
        })
    }

    fn secret_source(&self) -> Result<SecretSource, BadSetting> {
        if let Some(json) = self.get("SECRETS_JSON") {
            return Ok(SecretSource::Json(json.into()));
        }
        let ids: Vec<String> = self
            .get("SECRET_IDS")
            .ok_or_else(|| missing("SECRET_IDS"))?
            .split(',')
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
            .collect();
        if ids.is_empty() {
            return Err(bad("SECRET_IDS", "names no secret"));
        }
        Ok(SecretSource::Ids(ids))
    }

    fn allow_private(&self) -> Result<bool, BadSetting> {
        match self.get("ALLOW_PRIVATE_DESTINATIONS").as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(bad("ALLOW_PRIVATE_DESTINATIONS", "must be true or false")),
        }
    }

    /// A URL that people are shown links below. Who has such a link sees what it shows, so that it is `https` wherever it
    /// leaves the machine.
    fn page_url(&self, variable: &'static str, default: Option<&str>) -> Result<Option<Url>, BadSetting> {
        let Some(text) = self.get(variable).or_else(|| default.map(str::to_owned)) else { return Ok(None) };
        let allow_private = self.allow_private()?;
        Url::parse(&text)
            .ok()
            .filter(|url| {
                let may_be_plain = allow_private || is_on_this_machine(url);
                url.scheme() == "https" || (may_be_plain && url.scheme() == "http")
            })
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .map(Some)
            .ok_or_else(|| bad(variable, "must be an https URL without a query"))
    }

    fn request_rules(&self) -> Result<RequestRules, BadSetting> {
        let allow_private = self.allow_private()?;
        let known = KnownDestinations::parse(self.get("KNOWN_DESTINATIONS").as_deref());
        let destinations = DestinationRules { known, allow_private };
        let defaults = match self.get("DEFAULT_DESTINATIONS") {
            None => Vec::new(),
            Some(json) => destination::parse_defaults(&json, &destinations)
                .map_err(|problem| bad("DEFAULT_DESTINATIONS", &problem))?,
        };
        Ok(RequestRules { destinations, defaults })
    }

    fn required(&self, variable: &'static str) -> Result<String, BadSetting> {
        self.get(variable).ok_or_else(|| missing(variable))
    }

    fn url(&self, variable: &'static str) -> Result<Option<String>, BadSetting> {
        let Some(text) = self.get(variable) else { return Ok(None) };
        let usable = Url::parse(&text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
        });
        if usable {
            Ok(Some(text))
        } else {
            Err(bad(variable, "must be an http or https URL without a query"))
        }
    }

    fn base_url(&self, variable: &'static str, default: &str) -> Result<String, BadSetting> {
        Ok(without_slash(self.url(variable)?.unwrap_or_else(|| default.to_owned())))
    }

    fn zendesk_url(&self) -> Result<String, BadSetting> {
        const VARIABLE: &str = "ZENDESK_API_URL";
        const SUBDOMAIN: &str = "{subdomain}";
        let text = self.get(VARIABLE).unwrap_or_else(|| format!("https://{SUBDOMAIN}.zendesk.com"));
        // A URL only with somebody's subdomain in place.
        let usable = Environment(&|_| Some(text.replace(SUBDOMAIN, "acme"))).url(VARIABLE);
        usable.map(|_| without_slash(text))
    }

    fn optional_number<T: FromStr>(&self, variable: &'static str) -> Result<Option<T>, BadSetting> {
        let Some(text) = self.get(variable) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| bad(variable, "must be a whole number, 0 or more"))
    }

    fn number(
        &self,
        variable: &'static str,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, BadSetting> {
        let number = self.optional_number(variable)?.unwrap_or(default);
        if range.contains(&number) {
            return Ok(number);
        }
        Err(bad(variable, &format!("must be from {} to {}", range.start(), range.end())))
    }

    fn days(
        &self,
        variable: &'static str,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<Duration, BadSetting> {
        let days = self.number(variable, default, range)?;
        Ok(Duration::from_secs(u64::from(days) * 86_400))
    }

    fn seconds(&self, variable: &'static str, default: u32) -> Result<Duration, BadSetting> {
        let seconds = self.number(variable, default, 1..=31_536_000)?;
        Ok(Duration::from_secs(u64::from(seconds)))
    }
}

fn without_slash(url: String) -> String {
    url.trim_end_matches('/').to_owned()
}

fn missing(variable: &'static str) -> BadSetting {
    bad(variable, "is not set")
}

fn bad(variable: &'static str, problem: &str) -> BadSetting {
    BadSetting { variable, problem: problem.to_owned() }
}

/// Names below `localhost`, and loopback (RFC 6761, 6.3).
fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const COMPLETE: [(&str, &str); 4] = [
        ("TABLE_NAME", "highlights"),
        ("LOGROCKET_APP_ID", "org/app"),
        ("SECRET_IDS", "one, two"),
        ("WEBHOOK_URL", "https://example.com/webhook"),
    ];

    fn variables(changes: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let all: BTreeMap<String, String> = COMPLETE
            .iter()
            .chain(changes)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        move |name| all.get(name).cloned()
    }

    fn read(changes: &[(&str, &str)]) -> Result<RequestSettings, BadSetting> {
        RequestSettings::read(variables(changes))
    }

    #[test]
    fn defaults_are_those_of_the_readme() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.shared.rules, Rules::default());
        assert_eq!(settings.log_rocket_api_url, "https://api.logrocket.com");
        assert_eq!(settings.shared.log_rocket_app_url.as_str(), "https://app.logrocket.com/");
        assert_eq!(settings.shared.public_url, None);
        assert_eq!(settings.shared.view_link_lives, Duration::from_secs(7 * 86_400));
        assert_eq!(settings.api_auth, ApiAuth::Token);
        assert_eq!(settings.monthly_request_limit, None);
        assert!(matches!(&settings.shared.secrets, SecretSource::Ids(ids) if ids == &["one", "two"]));
    }

    #[test]
    fn a_bad_value_is_named_in_one_line() {
        for (variable, value) in [
            ("TABLE_NAME", ""),
            ("LOGROCKET_APP_ID", "org"),
            ("LOGROCKET_APP_ID", "../.."),
            ("LOGROCKET_APP_ID", "org/app/x"),
            ("LOGROCKET_API_URL", "api.logrocket.com"),
            ("LOGROCKET_APP_URL", "app.logrocket.com"),
            ("LOGROCKET_APP_URL", "http://app.logrocket.com"),
            ("LOGROCKET_APP_URL", "https://app.logrocket.com/?a=b"),
            ("LOGROCKET_APP_URL", "https://user@app.logrocket.com"),
            ("PUBLIC_URL", "http://highlights.example.com"),
            ("PUBLIC_URL", "http://localhost.example.com"),
            ("PUBLIC_URL", "http://10.0.0.1"),
            ("PUBLIC_URL", "https://highlights.example.com?a=b"),
            ("VIEW_LINK_DAYS", "0"),
            ("VIEW_LINK_DAYS", "91"),
            ("WEBHOOK_URL", "ftp://x"),
            ("WEBHOOK_URL", "https://x/webhook?a=b"),
            ("API_AUTH", "none"),
            ("SECRET_IDS", " , "),
            ("MAX_ATTEMPTS", "0"),
            ("MAX_ATTEMPTS", "three"),
            ("LEASE_SECONDS", "-1"),
            ("RETENTION_DAYS", "0"),
            ("MONTHLY_REQUEST_LIMIT", "many"),
            ("DEFAULT_DESTINATIONS", "slack"),
            ("DEFAULT_DESTINATIONS", r#"[{"type":"slack"}]"#),
            ("ALLOW_PRIVATE_DESTINATIONS", "yes"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.starts_with(variable) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_local_run_may_have_its_app_on_http() {
        let app_url = ("LOGROCKET_APP_URL", "http://127.0.0.1:8000");
        let settings = read(&[app_url, ("ALLOW_PRIVATE_DESTINATIONS", "true")]).unwrap();
        assert_eq!(settings.shared.log_rocket_app_url.as_str(), "http://127.0.0.1:8000/");
    }

    #[test]
    fn what_does_not_leave_the_machine_may_be_on_http() {
        for url in [
            "http://x1.execute-api.localhost:4566/",
            "http://localhost/",
            "http://127.0.0.1/",
            "http://[::1]/",
        ] {
            assert_eq!(read(&[("PUBLIC_URL", url)]).unwrap().shared.public_url.unwrap().as_str(), url);
        }
    }

    #[test]
    fn the_webhook_function_knows_where_the_vendors_are() {
        let settings =
            WebhookSettings::read(variables(&[("SLACK_API_URL", "http://127.0.0.1:8000/slack/")])).unwrap();
        assert_eq!(settings.slack_api_url, "http://127.0.0.1:8000/slack");
        assert_eq!(settings.zendesk_api_url, "https://{subdomain}.zendesk.com");
        assert_eq!(settings.intercom_api_url, None);
        assert_eq!(settings.hubspot_api_url, "https://api.hubapi.com");
        assert!(!settings.allow_private);
        for (variable, value) in [
            ("SLACK_API_URL", "slack.com"),
            ("ZENDESK_API_URL", "{subdomain}.zendesk.com"),
            ("INTERCOM_API_URL", "ftp://x"),
            ("HUBSPOT_API_URL", "https://x?y"),
        ] {
            let error = WebhookSettings::read(variables(&[(variable, value)])).unwrap_err();
            assert_eq!(error.variable, variable);
        }
    }
}
