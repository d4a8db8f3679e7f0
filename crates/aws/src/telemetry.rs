//! Logs: one JSON object a line on standard output, as CloudWatch takes them.
//!
//! What goes in: the message for people, and fields for queries. `requestID` is ours, `lambdaRequestID` the
//! invocation's. What never goes in: a body, a secret, a token, an e-mail address, a highlights text.

use lambda_runtime::Context;
use std::process::ExitCode;
use tracing::{Level, Span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sets up the logs of this process; a second call changes nothing.
pub fn init() {
    let ours = ["aws", "request", "webhook", "panic"];
    // Of other crates only what an operator should act on: their lower levels print requests and answers.
    let targets = Targets::new()
        .with_default(Level::WARN)
        .with_targets(ours.map(|target| (target, Level::INFO)))
        // It would print the error that a handler returns, which the handler has already logged.
        .with_target("lambda_runtime::layers::panic", tracing::level_filters::LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_ansi(false);
    if tracing_subscriber::registry().with(targets).with(lines).try_init().is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // The message of a panic may quote what was being parsed; the place does not.
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(target: "panic", place, "panicked");
        }));
    }
}

/// How the process ends; why it could not go on is one line of the log.
pub fn exit_code(ran: Result<(), lambda_runtime::Error>) -> ExitCode {
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(&*error), "the function stops");
            ExitCode::FAILURE
        }
    }
}

/// The span of one invocation.
pub fn invocation_span(context: &Context) -> Span {
    tracing::info_span!("invocation", lambdaRequestID = context.request_id)
}

/// An error and what caused it, in one line. To be called where the error is handled, once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
