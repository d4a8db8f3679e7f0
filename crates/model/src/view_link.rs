//! Links that open a request's page in a browser, which has no token to show. Each is signed for one purpose, with one
//! request, until one moment; whoever has it may do that and nothing else.

use crate::id::RequestId;
use crate::render::SafeUrl;
use crate::time::Time;
use crate::token::CallbackKeys;
use std::time::Duration;
use url::Url;

/// A page's button works this long, if its link does: whoever comes later loads the page again.
pub const BUTTON_LIVES: Duration = Duration::from_secs(3_600);

/// What a link lets its holder do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// `GET /view/{requestID}`
    View,
    /// `POST /view/{requestID}/redeliver`
    Redeliver,
}

/// A link that we made, or one whose signature was found right: only [`ViewLink::verify`] makes one of what was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViewLink {
    purpose: Purpose,
    request_id: RequestId,
    /// When the request was opened. A key of a deleted request may be used again: the link must not open the other one.
    opened: Time,
    /// Epoch seconds; from then on it opens nothing.
    expires: i64,
}

/// Why a link opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoEntry {
    #[error("the link is not one of ours, or not for this")]
    Forged,
    #[error("the link's time is over")]
    Expired,
}

impl ViewLink {
    /// To the page of a request that was opened then and is kept until `kept_until`, in epoch seconds.
    pub fn view(request_id: &RequestId, opened: Time, kept_until: i64, lives: Duration, now: Time) -> Self {
        let expires = now.plus(lives).ceil_seconds().min(kept_until);
        Self { purpose: Purpose::View, request_id: request_id.clone(), opened, expires }
    }

    /// Of the button on the page that this link opens.
    pub fn button(&self, now: Time) -> Self {
        let expires = now.plus(BUTTON_LIVES).ceil_seconds().min(self.expires);
        Self { purpose: Purpose::Redeliver, expires, ..self.clone() }
    }

    /// Back to the page, for whoever used the button: it opens the page no longer than the button works.
    pub fn back(&self) -> Self {
        Self { purpose: Purpose::View, ..self.clone() }
    }

    /// A link as it was given, if it is for this. The signature is looked at before the time: of a link that nobody was
    /// given there is nothing to learn but that it does not fit.
    pub fn verify(
        purpose: Purpose,
        request_id: &RequestId,
        expires: &str,
        signature: &str,
        keys: &CallbackKeys,
        now: Time,
    ) -> Result<Self, NoEntry> {
        // One spelling: `+1` or `01` would be second URLs of one MAC.
        let seconds = expires.parse().ok().filter(|seconds: &i64| seconds.to_string() == expires);
        let expires = seconds.ok_or(NoEntry::Forged)?;
        let opened = keys.unseal(signature, |opened| message(purpose, request_id, opened, expires));
        let opened = opened.ok_or(NoEntry::Forged)?;
        if expires <= now.0.div_euclid(1000) {
            return Err(NoEntry::Expired);
        }
        Ok(Self { purpose, request_id: request_id.clone(), opened, expires })
    }

    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// The link is to a request that was opened then and to no other of the same id.
    pub fn opened(&self) -> Time {
        self.opened
    }

    pub fn expires_at(&self) -> Time {
        Time(self.expires.saturating_mul(1000))
    }

    /// The whole link, below the API's own URL.
    pub fn url(&self, public_url: &Url, keys: &CallbackKeys) -> SafeUrl {
        let mut url = public_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("view");
        }
        let path = format!("{}/{}", url.path(), self.step());
        url.set_path(&path);
        url.set_query(Some(&self.query(keys)));
        SafeUrl::of(&url)
    }

    /// The link as it stands on another page of ours: `way` leads from there to `/view/`, for the API may stand below a
    /// path, or be called by another name than its own.
    pub fn relative(&self, way: &'static str, keys: &CallbackKeys) -> SafeUrl {
        SafeUrl::relative(&format!("{way}{}?{}", self.step(), self.query(keys)))
    }

    /// Behind `/view/`.
    fn step(&self) -> String {
        match self.purpose {
            Purpose::View => self.request_id.to_string(),
            Purpose::Redeliver => format!("{}/redeliver", self.request_id),
        }
    }

    fn query(&self, keys: &CallbackKeys) -> String {
        let message = message(self.purpose, &self.request_id, self.opened, self.expires);
        format!("expires={}&signature={}", self.expires, keys.seal(self.opened, &message))
    }
}

/// Its first line differs from those of all other messages that these keys sign; no part can hold a line feed.
fn message(purpose: Purpose, request_id: &RequestId, opened: Time, expires: i64) -> String {
    let purpose = match purpose {
        Purpose::View => "view",
        Purpose::Redeliver => "redeliver",
    };
    format!("galileo-highlights {purpose}\n{request_id}\n{}\n{expires}", opened.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretSlice;

    const OPENED: Time = Time(1_715_481_030_123);
    const NOW: Time = Time(OPENED.0 + 60_000);
    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn keys(bytes: &[u8]) -> CallbackKeys {
        let keys = bytes.iter().map(|byte| SecretSlice::from(vec![*byte; 32])).collect();
        CallbackKeys::new(keys).unwrap()
    }

    fn id() -> RequestId {
        RequestId::for_key("a", "b")
    }

    fn link() -> ViewLink {
        ViewLink::view(&id(), OPENED, i64::MAX, WEEK, NOW)
    }

    fn given(link: &ViewLink, keys: &CallbackKeys) -> (String, String) {
        let query = link.query(keys);
        let (expires, signature) = query.split_once('&').unwrap();
        let of = |text: &str, name: &str| text.strip_prefix(name).unwrap().to_owned();
        (of(expires, "expires="), of(signature, "signature="))
    }

    #[test]
    fn a_link_opens_what_it_is_for_and_nothing_else() {
        let keys = keys(&[1]);
        let (expires, signature) = given(&link(), &keys);
        let open = |purpose, id: &RequestId, expires: &str, signature: &str| {
            ViewLink::verify(purpose, id, expires, signature, &keys, NOW)
        };
        assert_eq!(open(Purpose::View, &id(), &expires, &signature), Ok(link()));
        let other = RequestId::for_key("a", "c");
        assert_eq!(open(Purpose::View, &other, &expires, &signature), Err(NoEntry::Forged));
        assert_eq!(open(Purpose::Redeliver, &id(), &expires, &signature), Err(NoEntry::Forged));
        let later = (link().expires + 1).to_string();
        for expires in [later, format!("+{expires}"), format!("0{expires}"), String::new(), "soon".into()] {
            assert_eq!(open(Purpose::View, &id(), &expires, &signature), Err(NoEntry::Forged), "{expires}");
        }
        let (opened, mac) = signature.split_once('.').unwrap();
        let another_opening = format!("{}.{mac}", OPENED.0 + 1);
        for forged in
            ["", ".", opened, mac, &another_opening, &format!("{signature}="), &signature.to_lowercase()]
        {
            assert_eq!(open(Purpose::View, &id(), &expires, forged), Err(NoEntry::Forged), "{forged}");
        }
    }

    #[test]
    fn a_callbacks_token_opens_no_page_and_a_pages_link_is_no_callback() {
        let keys = keys(&[1]);
        let token = keys.sign("org/app", &id(), 1, OPENED);
        let (expires, signature) = given(&link(), &keys);
        for purpose in [Purpose::View, Purpose::Redeliver] {
            assert_eq!(ViewLink::verify(purpose, &id(), &expires, &token, &keys, NOW), Err(NoEntry::Forged));
            // Whose parts are numbers, as the attempt is.
            assert_eq!(ViewLink::verify(purpose, &id(), "1", &token, &keys, NOW), Err(NoEntry::Forged));
        }
        for attempt in [1, u32::try_from(link().expires).unwrap()] {
            assert_eq!(keys.verify("org/app", id().as_str(), attempt, &signature), None);
        }
    }

    #[test]
    fn a_link_expires_to_the_second_and_only_for_him_who_has_it() {
        let keys = keys(&[1]);
        let (expires, signature) = given(&link(), &keys);
        let at = |seconds: i64| Time(seconds * 1000);
        let open =
            |signature: &str, now| ViewLink::verify(Purpose::View, &id(), &expires, signature, &keys, now);
        assert!(open(&signature, at(link().expires - 1)).is_ok());
        assert_eq!(open(&signature, at(link().expires)), Err(NoEntry::Expired));
        assert_eq!(open("1.AAAA", at(link().expires)), Err(NoEntry::Forged));
    }

    #[test]
    fn no_link_outlives_the_request_or_the_link_that_it_came_from() {
        let week = link().expires;
        assert_eq!(week, NOW.plus(WEEK).ceil_seconds());
        let kept_until = NOW.ceil_seconds() + 5;
        assert_eq!(ViewLink::view(&id(), OPENED, kept_until, WEEK, NOW).expires, kept_until);
        let button = link().button(NOW);
        assert_eq!(
            (button.purpose, button.expires),
            (Purpose::Redeliver, NOW.plus(BUTTON_LIVES).ceil_seconds())
        );
        assert_eq!(link().button(Time((week - 9) * 1000)).expires, week);
        assert_eq!((button.back().purpose, button.back().expires), (Purpose::View, button.expires));
    }

    #[test]
    fn the_previous_key_still_opens_and_a_dropped_one_does_not() {
        let (expires, signature) = given(&link(), &keys(&[1]));
        let open = |keys| ViewLink::verify(Purpose::View, &id(), &expires, &signature, &keys, NOW);
        assert!(open(keys(&[2, 1])).is_ok());
        assert_eq!(open(keys(&[2])), Err(NoEntry::Forged));
    }

    #[test]
    fn a_link_stands_below_the_apis_url_or_beside_its_page() {
        let keys = keys(&[1]);
        let query = link().query(&keys);
        for (public_url, start) in [
            ("https://x.test", "https://x.test/view/"),
            ("https://x.test/", "https://x.test/view/"),
            ("https://x.test/prod", "https://x.test/prod/view/"),
            ("https://x.test/a%20b/", "https://x.test/a%20b/view/"),
        ] {
            let url = link().url(&Url::parse(public_url).unwrap(), &keys);
            assert_eq!(url.as_str(), format!("{start}{}?{query}", id()));
        }
        let button = link().button(NOW);
        let expected = format!("../view/{}/redeliver?{}", id(), button.query(&keys));
        assert_eq!(button.relative("../view/", &keys).as_str(), expected);
    }
}
