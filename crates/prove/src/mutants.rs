//! Faults that are put in on purpose. Each must be found: else the properties would say nothing.

use crate::properties::{
    ATTEMPTS, MARK_STAYS, NOT_FORGED, ONE_TRY, ONE_WORKER, ONLY_WAITING, POLLED, REACHED, READY_STAYS,
    REFUSAL_HEARD, SETTLED,
};

/// One rule, or one step, done wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mutant {
    /// LogRocket is asked first, and the record written then.
    RecordAfterPost,
    /// News is taken in whatever the status is.
    NoRankGuard,
    /// Neither function sweeps.
    NoSweep,
    /// webhook λ has the stream only.
    StreamOnly,
    /// Work of request λ is begun without its claim.
    NoWorkClaim,
    /// Deliveries are begun without their claim.
    NoDeliveryClaim,
    /// A callback is believed whatever its token is.
    TokenNotChecked,
    /// The token's opening is not compared with the record's.
    OpeningNotCompared,
    /// The end of a try is written down whatever the mark says.
    MarkOverwritten,
    /// The next attempt is begun without asking the record again that another writer changed.
    AttemptNotRechecked,
    /// A request expires without asking the record again that another writer changed.
    ExpiryNotRechecked,
    /// A number is used up by a POST that was not taken, and `MAX_ATTEMPTS` is not looked at.
    NumberNotReused,
    /// A result of an attempt that was given up is not taken.
    LatestAttemptOnly,
    /// A request expires without a last poll.
    NoLastPoll,
    /// Who is just being told of the failure is told of the result beside it.
    OutcomesSideBySide,
    /// The due date is not computed from what is still open when a mark is written.
    DueDateDropped,
    /// A repeat is told that the request is taken, and the record does not say so.
    PromiseNotWritten,
}

impl Mutant {
    pub const ALL: [Self; 17] = [
        Self::RecordAfterPost,
        Self::NoRankGuard,
        Self::NoSweep,
        Self::StreamOnly,
        Self::NoWorkClaim,
        Self::NoDeliveryClaim,
        Self::TokenNotChecked,
        Self::OpeningNotCompared,
        Self::MarkOverwritten,
        Self::AttemptNotRechecked,
        Self::ExpiryNotRechecked,
        Self::NumberNotReused,
        Self::LatestAttemptOnly,
        Self::NoLastPoll,
        Self::OutcomesSideBySide,
        Self::DueDateDropped,
        Self::PromiseNotWritten,
    ];

    /// The short scope in which it is found, and the property that it breaks.
    pub fn is_caught_by(self) -> (&'static str, &'static str) {
        match self {
            Self::RecordAfterPost => ("deliveries", REACHED),
            Self::NoRankGuard => ("attempts", READY_STAYS),
            Self::NoSweep => ("attempts", SETTLED),
            Self::StreamOnly => ("deliveries", SETTLED),
            Self::NoWorkClaim => ("attempts", ONE_WORKER),
            Self::NoDeliveryClaim => ("deliveries", ONE_TRY),
            Self::TokenNotChecked | Self::OpeningNotCompared => ("strangers", NOT_FORGED),
            Self::MarkOverwritten => ("late marks", MARK_STAYS),
            Self::AttemptNotRechecked => ("attempts", ONLY_WAITING),
            Self::ExpiryNotRechecked => ("late answers", POLLED),
            Self::NumberNotReused => ("refusals", ATTEMPTS),
            Self::LatestAttemptOnly => ("attempts", REACHED),
            Self::NoLastPoll => ("attempts", POLLED),
            Self::OutcomesSideBySide => ("deliveries", ONE_TRY),
            Self::DueDateDropped => ("deliveries", SETTLED),
            Self::PromiseNotWritten => ("refusals", REFUSAL_HEARD),
        }
    }
}
