//! The links that may be shown: into LogRocket's app, and to pages of ours that we link ourselves. Of what is found in a
//! text, only the first stay.

use crate::request::Subject;
use crate::result::{Session, SessionId};
use crate::settings::App;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;
use url::{Position, Url, form_urlencoded};

/// What stands in a shown URL behind its host. None of the rest means anything to Markdown, HTML or Slack; without
/// semicolons, no `&` can begin an entity.
const NOT_IN_URL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'?')
    .remove(b'#')
    .remove(b'%')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b':')
    .remove(b',')
    .remove(b'@');

/// A URL into LogRocket's app or to a page of ours, of letters, digits and `-._~/?#%&=+:,@` only. (A configured host that
/// is an IPv6 address has its brackets too.)
#[derive(Clone, PartialEq, Eq)]
pub struct SafeUrl(String);

impl SafeUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of a URL whose host is known to be LogRocket's or ours.
    pub(crate) fn of(url: &Url) -> Self {
        let behind = utf8_percent_encode(&url[Position::BeforePath..], NOT_IN_URL);
        Self(format!("{}{behind}", &url[..Position::BeforePath]))
    }

    /// A path of ours, as seen from the page that it stands on.
    pub(crate) fn relative(path: &str) -> Self {
        Self(utf8_percent_encode(path, NOT_IN_URL).to_string())
    }
}

/// A link to a page of ours opens it for whoever has it: it is not for logs.
impl fmt::Debug for SafeUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SafeUrl(…)")
    }
}

/// Where LogRocket's app is, and which of its apps this is about; and where the page of ours is.
#[derive(Clone, Debug)]
pub struct Links<'a> {
    app_url: &'a Url,
    app: &'a App,
    page: Option<SafeUrl>,
}

impl<'a> Links<'a> {
    /// `app_url` is LogRocket's, such as `https://app.logrocket.com`.
    pub fn new(app_url: &'a Url, app: &'a App) -> Self {
        Self { app_url, app, page: None }
    }

    /// The same, with the link by which a browser opens the page of the request that this is about. It is shown where
    /// we put it: [`Links::allow`] does not know it.
    pub fn with_page(self, page: Option<SafeUrl>) -> Self {
        Self { page, ..self }
    }

    pub fn page(&self) -> Option<&SafeUrl> {
        self.page.as_ref()
    }

    /// The target, if it is on the app's own scheme, host and port, and says so in the plainest way: what a browser
    /// would have to mend first (other spellings of the host, backslashes, a name before it) is no such link.
    pub fn allow(&self, target: &str) -> Option<SafeUrl> {
        let (scheme, behind) = target.split_once("://")?;
        if target.contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace()) {
            return None;
        }
        let authority = behind.split(['/', '?', '#']).next()?;
        let (host, port) = split_port(authority);
        let same = scheme.eq_ignore_ascii_case(self.app_url.scheme())
            && host.eq_ignore_ascii_case(self.app_url.host_str()?)
            && (port.is_none()
                || port.and_then(|port| port.parse().ok()) == self.app_url.port_or_known_default());
        // The last word is the parser's.
        let url = Url::parse(target).ok().filter(|_| same)?;
        let plain = url.username().is_empty() && url.password().is_none();
        (plain && url.origin() == self.app_url.origin()).then(|| SafeUrl::of(&url))
    }

    /// The recording of a session; none if its ids cannot stand in a path.
    pub fn session(&self, session: &Session) -> Option<SafeUrl> {
        let number = match &session.session_id {
            SessionId::Number(number) => number.to_string(),
            SessionId::Text(text) => text.clone(),
        };
        let recording = session.recording_id.as_str();
        // A URL has no way to say "a directory named dot".
        let nameable = |part: &str| !["", ".", ".."].contains(&part);
        (nameable(recording) && nameable(&number))
            .then(|| SafeUrl::of(&self.in_app(&["s", recording, &number])))
    }

    /// All of the subject's sessions.
    pub fn sessions(&self, subject: &Subject) -> SafeUrl {
        let (name, value) = match subject {
            Subject::Email(email) => ("e", email),
            Subject::Id(id) => ("u", id),
        };
        let mut url = self.in_app(&["sessions"]);
        url.set_query(Some(&format!("{name}={}", in_query(value))));
        SafeUrl::of(&url)
    }

    fn in_app(&self, path: &[&str]) -> Url {
        let (org, app) = self.app.org_and_app();
        let mut url = self.app_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(org).push(app).extend(path);
        }
        url
    }
}

/// A value of a query.
pub(crate) fn in_query(value: &str) -> String {
    // A form writes spaces as +, and + as %2B.
    let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    value.replace('+', "%20")
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // Inside the brackets of an IPv6 address.
        Some((_, behind)) if behind.contains(']') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(app_url: &str, target: &str) -> Option<String> {
        let (app_url, app) = (Url::parse(app_url).unwrap(), App::parse("org/app").unwrap());
        Links::new(&app_url, &app).allow(target).map(|url| url.as_str().to_owned())
    }

    #[test]
    fn only_https_on_the_very_host_is_allowed() {
        let app_url = "https://app.logrocket.com";
        for (target, shown) in [
            ("https://app.logrocket.com", "https://app.logrocket.com/"),
            (
                "https://app.logrocket.com/org/app/s/5-a/0?t=1&x=2#y",
                "https://app.logrocket.com/org/app/s/5-a/0?t=1&x=2#y",
            ),
            ("HTTPS://APP.LogRocket.COM:443/a", "https://app.logrocket.com/a"),
            (
                "https://app.logrocket.com/é(*)[`]|;'\"<>&copy;",
                "https://app.logrocket.com/%C3%A9%28%2A%29%5B%60%5D%7C%3B%27%22%3C%3E&copy%3B",
            ),
            ("https://app.logrocket.com?a", "https://app.logrocket.com/?a"),
        ] {
            assert_eq!(allowed(app_url, target).as_deref(), Some(shown), "{target}");
            assert_eq!(allowed(app_url, shown).as_deref(), Some(shown), "{target}");
        }
        for target in [
            "",
            "/org/app",
            "//app.logrocket.com/a",
            "app.logrocket.com",
            "http://app.logrocket.com/",
            "https:app.logrocket.com/",
            "https:/app.logrocket.com/",
            "https:///app.logrocket.com/",
            "https:\\\\app.logrocket.com/",
            "https://app.logrocket.com\\@evil.com/",
            "https://evil.com\\@app.logrocket.com/",
            "https://app.logrocket.com@evil.com/",
            "https://app.logrocket.com:443@evil.com/",
            "https://evil.com@app.logrocket.com/",
            "https://@app.logrocket.com/",
            "https://:@app.logrocket.com/",
            "https://app.logrocket.com./",
            "https://app.logrocket.com.evil.com/",
            "https://evilapp.logrocket.com/",
            "https://evil.app.logrocket.com/",
            "https://logrocket.com/",
            "https://evil.com/app.logrocket.com",
            "https://evil.com/?https://app.logrocket.com/",
            "https://evil.com#@app.logrocket.com/",
            "https://app.logrocket.com:8443/",
            "https://app.logrocket.com:/",
            "https://app.logrocket.com:0443x/",
            "https://app。logrocket。com/",
            "https://ａｐｐ.logrocket.com/",
            "https://app.logrocket.cοm/",
            "https://app.l%6Fgrocket.com/",
            "https://app.log\u{ad}rocket.com/",
            "https://app.log\trocket.com/",
            " https://app.logrocket.com/",
            "https://app.logrocket.com/ a",
            "javascript:alert(1)",
            "javascript://app.logrocket.com/%0aalert(1)",
            "data:text/html,https://app.logrocket.com/",
            "vbscript:x",
        ] {
            assert_eq!(allowed(app_url, target), None, "{target}");
        }
    }

    #[test]
    fn a_configured_host_takes_the_place_of_logrockets() {
        let app_url = "https://logrocket.example.com:8443/ui";
        assert!(allowed(app_url, "https://logrocket.example.com:8443/s/1").is_some());
        assert!(allowed(app_url, "https://logrocket.example.com/s/1").is_none());
        assert!(allowed(app_url, "https://app.logrocket.com/s/1").is_none());
        assert!(allowed("http://[::1]:80/", "http://[::1]/a").is_some());
        assert!(allowed("http://127.0.0.1:8000", "https://127.0.0.1:8000/a").is_none());
    }

    #[test]
    fn ids_and_subjects_are_percent_encoded() {
        let (app_url, app) =
            (Url::parse("https://lr.example.com/ui/").unwrap(), App::parse("org/app").unwrap());
        let links = Links::new(&app_url, &app);
        let session = |recording: &str, session: &str| {
            let session_id = SessionId::Text(session.into());
            let session = Session { recording_id: recording.into(), session_id, highlights: String::new() };
            links.session(&session).map(|url| url.as_str().to_owned())
        };
        assert_eq!(session("5-a", "0").unwrap(), "https://lr.example.com/ui/org/app/s/5-a/0");
        assert_eq!(
            session("a/../b", "?#%)").unwrap(),
            "https://lr.example.com/ui/org/app/s/a%2F..%2Fb/%3F%23%25%29"
        );
        assert_eq!(session("..", "0"), None);
        assert_eq!(session("5-a", ""), None);
        let sessions = |subject| links.sessions(&subject).as_str().to_owned();
        let all = "https://lr.example.com/ui/org/app/sessions";
        assert_eq!(sessions(Subject::Email("a+b@é.com".into())), format!("{all}?e=a%2Bb%40%C3%A9.com"));
        assert_eq!(sessions(Subject::Id("1 &u=2".into())), format!("{all}?u=1%20%26u%3D2"));
    }
}
