//! Stopping a call in the middle: the test waits until it is there, does its harm, and lets it go.

use std::time::Duration;

use tokio::sync::watch;

/// How long [`Hold::arrived`] waits: long enough for a slow machine, and no test hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The test's end of a call that is to be stopped. Dropping it releases the call.
#[derive(Debug)]
pub struct Hold {
    arrived: watch::Receiver<bool>,
    decision: watch::Sender<Decision>,
}

/// Nothing came to be held within 30 seconds, or what would have held it was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no call arrived to be held")]
pub struct NeverArrived;

impl Hold {
    /// Waits until a call is held here.
    pub async fn arrived(&self) -> Result<(), NeverArrived> {
        let mut arrived = self.arrived.clone();
        match tokio::time::timeout(PATIENCE, arrived.wait_for(|arrived| *arrived)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NeverArrived),
        }
    }

    /// Lets the call go on, even if the one who made it is gone by now: its bytes were sent.
    pub fn release(self) {
        self.decision.send_replace(Decision::Go);
    }

    /// The call goes no further and its connection is cut: held before its effect, it never has one.
    pub fn discard(self) {
        self.decision.send_replace(Decision::Discard);
    }
}

/// What became of a held call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Waiting,
    Go,
    Discard,
}

/// The server's end of a [`Hold`].
#[derive(Debug)]
pub(crate) struct Gate {
    arrived: watch::Sender<bool>,
    decision: watch::Receiver<Decision>,
}

impl Gate {
    pub(crate) fn new() -> (Hold, Gate) {
        let (arrived_here, arrived) = watch::channel(false);
        let (decision, decided) = watch::channel(Decision::Waiting);
        let hold = Hold { arrived, decision };
        let gate = Gate { arrived: arrived_here, decision: decided };
        (hold, gate)
    }

    /// Says that the call is here, and waits for what becomes of it.
    pub(crate) async fn pass(mut self) -> Decision {
        self.arrived.send_replace(true);
        let decided = self.decision.wait_for(|decision| *decision != Decision::Waiting).await;
        decided.map_or(Decision::Go, |decision| *decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_waits_until_it_is_released() {
        let (hold, gate) = Gate::new();
        let call = tokio::spawn(gate.pass());

        hold.arrived().await.unwrap();
        assert!(!call.is_finished());
        hold.release();

        assert_eq!(call.await.unwrap(), Decision::Go);
    }

    #[tokio::test]
    async fn a_call_can_be_discarded_and_a_dropped_hold_releases() {
        let (hold, gate) = Gate::new();
        hold.discard();
        assert_eq!(gate.pass().await, Decision::Discard);

        let (hold, gate) = Gate::new();
        drop(hold);
        assert_eq!(gate.pass().await, Decision::Go);
    }

    #[tokio::test]
    async fn a_hold_whose_server_is_gone_says_so() {
        let (hold, gate) = Gate::new();
        drop(gate);
        assert_eq!(hold.arrived().await, Err(NeverArrived));
    }
}
