//! Scopes: small worlds, each about one kind of trouble, which are explored to their end.

use crate::world::Left;
use model::rules::Rules;
use std::time::Duration;

/// How a destination behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// It takes what it is handed.
    Takes,
    /// As long as there are [`Left::moods`]: it takes it, takes it without a word, or does not take it now.
    Moody,
    /// It refuses for good.
    Refuses,
    /// It is down and stays so.
    Down,
}

/// What is explored: who is there, and how often what may happen.
#[derive(Clone, Debug)]
pub struct Scope {
    pub name: &'static str,
    /// The destinations, as the caller writes them …
    pub destinations: &'static str,
    /// … and those that join later.
    pub joining: &'static str,
    /// How each of them behaves, in that order.
    pub manners: &'static [Manner],
    pub rules: Rules,
    /// How long an invocation lives; the template gives both functions less than the lease.
    pub life: Duration,
    /// Workers of each function that are there at once.
    pub at_once: usize,
    pub left: Left,
    pub limit: Option<u64>,
    /// Strangers call the webhook, too.
    pub forged: bool,
    /// Time goes on until the retention is over.
    pub retention: bool,
    /// What must have been seen, so that the rest says something.
    pub seen: &'static [&'static str],
}

const NONE: Left = Left {
    asks: 1,
    crashes: 0,
    unanswered: 0,
    not_taken: 0,
    refused: 0,
    failed: 0,
    too_large: 0,
    lost_polls: 0,
    moods: 0,
    joins: 0,
    redeliveries: 0,
    deletions: 0,
};

const WEBHOOK: &str = r#"[{"type":"webhook","url":"https://example.com"}]"#;
const TWO: &str = r#"[{"type":"webhook","url":"https://example.com"},{"type":"slack","channel":"C1"}]"#;
const TWO_MACHINES: &str = r#"[{"type":"webhook","url":"https://example.com"},{"type":"eventBridge"}]"#;
const TOKEN: &str = r#"[{"type":"stepFunctions","taskToken":"t"}]"#;

/// The waits are the defaults, but that a request waits for ten minutes: after each kind of wait there is time for
/// another.
fn rules() -> Rules {
    Rules { max_attempts: 2, pending_timeout: Duration::from_secs(600), ..Rules::default() }
}

fn base(name: &'static str) -> Scope {
    Scope {
        name,
        destinations: WEBHOOK,
        joining: "[]",
        manners: &[Manner::Takes],
        rules: rules(),
        life: Duration::from_secs(30),
        at_once: 2,
        left: NONE,
        limit: None,
        forged: false,
        retention: false,
        seen: &[],
    }
}

impl Scope {
    /// Those that end within seconds.
    pub fn short() -> Vec<Self> {
        vec![
            Self {
                left: Left { asks: 2, crashes: 1, unanswered: 1, failed: 1, lost_polls: 1, ..NONE },
                seen: &[
                    "READY at rest",
                    "FAILED at rest",
                    "EXPIRED at rest",
                    "a callback before LogRocket's answer",
                    "READY of an attempt that was given up",
                    "two attempts at work at LogRocket",
                    "two workers of request λ",
                ],
                ..base("attempts")
            },
            Self {
                left: Left { asks: 3, crashes: 1, not_taken: 1, refused: 2, failed: 1, ..NONE },
                seen: &["READY at rest", "FAILED at rest", "asked again after a refusal, and READY"],
                ..base("refusals")
            },
            Self {
                left: Left { crashes: 1, unanswered: 1, too_large: 1, lost_polls: 1, ..NONE },
                seen: &["READY at rest", "FAILED at rest", "a result after a failure was told"],
                ..base("too large")
            },
            Self {
                left: Left { asks: 3, crashes: 1, unanswered: 1, not_taken: 1, failed: 1, ..NONE },
                limit: Some(2),
                rules: Rules { max_attempts: 3, ..rules() },
                seen: &["READY at rest", "EXPIRED at rest", "over budget"],
                ..base("budget")
            },
            Self {
                destinations: TWO,
                manners: &[Manner::Moody, Manner::Refuses],
                left: Left { crashes: 1, failed: 2, moods: 2, ..NONE },
                rules: Rules { max_attempts: 1, ..rules() },
                seen: &["READY at rest", "a result after a failure was told", "two workers of webhook λ"],
                ..base("deliveries")
            },
            Self {
                destinations: TWO_MACHINES,
                joining: TOKEN,
                manners: &[Manner::Takes, Manner::Moody, Manner::Takes],
                left: Left { crashes: 1, failed: 1, moods: 1, joins: 1, redeliveries: 1, ..NONE },
                rules: Rules { max_attempts: 1, ..rules() },
                seen: &["a destination that joined is told", "two workers of webhook λ"],
                ..base("joining")
            },
            Self {
                manners: &[Manner::Down],
                left: Left { crashes: 1, ..NONE },
                rules: Rules { max_attempts: 1, ..rules() },
                seen: &["READY at rest", "a delivery given up after its last try"],
                ..base("down")
            },
            Self {
                manners: &[Manner::Moody],
                left: Left { moods: 2, failed: 1, ..NONE },
                rules: Rules { max_attempts: 1, ..rules() },
                life: Duration::from_secs(100),
                seen: &["a result after a failure was told", "two workers of webhook λ"],
                ..base("late marks")
            },
            Self {
                destinations: "[]",
                manners: &[],
                left: Left { unanswered: 1, failed: 1, ..NONE },
                life: Duration::from_secs(400),
                seen: &["two workers of request λ", "READY of an attempt that was given up"],
                ..base("late answers")
            },
            Self {
                left: Left { asks: 2, failed: 1, deletions: 1, ..NONE },
                forged: true,
                seen: &["READY at rest", "the key of a request that is gone is used again"],
                ..base("strangers")
            },
            Self {
                left: Left { asks: 2, failed: 1, ..NONE },
                rules: Rules { retention_days: 1, ..rules() },
                retention: true,
                forged: true,
                seen: &["READY at rest", "the key of a request that is gone is used again"],
                ..base("retention")
            },
        ]
    }

    /// Both.
    pub fn all() -> Vec<Self> {
        Self::short().into_iter().chain(Self::long()).collect()
    }

    /// Those that only the long run takes: more of everything, and everything together.
    pub fn long() -> Vec<Self> {
        vec![
            Self {
                left: Left {
                    asks: 2,
                    crashes: 3,
                    unanswered: 2,
                    not_taken: 1,
                    failed: 1,
                    lost_polls: 1,
                    ..NONE
                },
                at_once: 3,
                seen: &["READY of an attempt that was given up", "two workers of request λ"],
                ..base("more attempts")
            },
            Self {
                left: Left { asks: 2, crashes: 2, unanswered: 1, failed: 2, ..NONE },
                rules: Rules { max_attempts: 3, pending_timeout: Duration::from_secs(900), ..rules() },
                seen: &["READY of an attempt that was given up", "FAILED at rest"],
                ..base("three attempts")
            },
            Self {
                left: Left {
                    asks: 3,
                    crashes: 2,
                    unanswered: 1,
                    not_taken: 1,
                    refused: 2,
                    failed: 1,
                    ..NONE
                },
                seen: &["asked again after a refusal, and READY"],
                ..base("more refusals")
            },
            Self {
                destinations: TWO_MACHINES,
                manners: &[Manner::Moody, Manner::Moody],
                left: Left { crashes: 2, failed: 1, moods: 3, redeliveries: 1, ..NONE },
                rules: Rules { max_attempts: 1, ..rules() },
                seen: &["a result after a failure was told", "two workers of webhook λ"],
                ..base("more deliveries")
            },
            Self {
                manners: &[Manner::Moody],
                left: Left { moods: 1, unanswered: 1, failed: 1, ..NONE },
                life: Duration::from_secs(100),
                seen: &["two workers of webhook λ"],
                ..base("later marks")
            },
            Self {
                left: Left { asks: 3, crashes: 1, unanswered: 1, failed: 1, deletions: 1, ..NONE },
                forged: true,
                seen: &["the key of a request that is gone is used again"],
                ..base("more strangers")
            },
            Self {
                destinations: TWO,
                joining: TOKEN,
                manners: &[Manner::Moody, Manner::Refuses, Manner::Takes],
                left: Left {
                    crashes: 1,
                    unanswered: 1,
                    not_taken: 1,
                    failed: 1,
                    lost_polls: 1,
                    moods: 1,
                    joins: 1,
                    ..NONE
                },
                seen: &["READY of an attempt that was given up", "a destination that joined is told"],
                ..base("everything")
            },
        ]
    }
}
