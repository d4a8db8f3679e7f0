//! The project on this machine: the real binaries under `cargo lambda watch`, an embedded DynamoDB, a LogRocket
//! simulator, and stand-ins for the destinations.

mod demo;
mod dev;
mod page;
mod stack;
mod terminal;
mod watch;

use std::error::Error as _;
use std::process::ExitCode;

use local::destinations::Destinations;
use tokio::signal::unix::{Signal, SignalKind, signal};

use stack::{Mode, Stack, StackError};

const USAGE: &str = "usage: local demo | local dev

  demo  asks for one user's highlights, waits for them, prints them and what Slack and Zendesk show, stops everything
  dev   keeps everything running until Ctrl-C, for curl

Runs inside the project, with `cargo-lambda` on the PATH.";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the local stack did not start")]
    Start(#[source] StackError),
    #[error("the demo did not come to its end")]
    Demo(#[source] demo::DemoError),
    #[error("`cargo lambda watch` ended by itself ({0})")]
    WatchEnded(String),
    #[error("interrupted")]
    Interrupted,
    #[error("cannot listen to signals")]
    Signals(#[source] std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    let mode = match std::env::args().nth(1).as_deref() {
        Some("demo") => Mode::Demo,
        Some("dev") => Mode::Dev,
        Some("help" | "--help" | "-h") => {
            terminal::say(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(mode).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(mode: Mode) -> Result<(), Error> {
    let mut interruption = Interruption::new().map_err(Error::Signals)?;
    // A start that is given up takes what it has started with it.
    let mut stack = tokio::select! {
        started = Stack::start(mode) => started.map_err(Error::Start)?,
        () = interruption.wait() => return Err(Error::Interrupted),
    };
    let outcome = tokio::select! {
        outcome = use_stack(mode, &stack.access, &stack.destinations) => outcome,
        status = stack.watch.ended() => Err(Error::WatchEnded(status)),
        () = interruption.wait() => match mode {
            Mode::Demo => Err(Error::Interrupted),
            Mode::Dev => Ok(()),
        },
    };
    if outcome.is_err() {
        stack.watch.show_log_tail();
    }
    stack.stop().await;
    outcome
}

async fn use_stack(mode: Mode, access: &stack::Access, destinations: &Destinations) -> Result<(), Error> {
    match mode {
        Mode::Demo => demo::run(access, destinations).await.map_err(Error::Demo),
        Mode::Dev => {
            dev::explain(access);
            std::future::pending().await
        }
    }
}

/// The error and its causes, one a line.
fn report(error: &Error) {
    eprintln!("\nerror: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}

/// Ctrl-C, or whatever else asks this process to end.
struct Interruption([Signal; 3]);

impl Interruption {
    fn new() -> std::io::Result<Interruption> {
        Ok(Interruption([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
