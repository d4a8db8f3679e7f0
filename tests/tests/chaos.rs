//! A little chaos of every kind; `make chaos` is the long run. A program of its own: its many processes would take other
//! stories' time.

use stories::chaos;

const REQUESTS: usize = 60;

async fn nothing_is_lost(seed: u64) {
    let report = chaos::run(seed, REQUESTS).await;
    assert!(report.is_good(), "\n{report}");
    // There was chaos: a run without it would show nothing.
    for whose in ["LogRocket", "SIGKILL", "destinations", "the stream", "the table"] {
        assert!(report.injected.keys().any(|kind| kind.starts_with(whose)), "{whose}\n{report}");
    }
}

#[tokio::test]
async fn nothing_is_lost_in_one_chaos() {
    nothing_is_lost(1).await;
}

#[tokio::test]
async fn nothing_is_lost_in_another() {
    nothing_is_lost(2).await;
}
