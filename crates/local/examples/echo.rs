//! A function for the emulator's own tests: it does what its event tells it to do.
//!
//! An HTTP event says it in the header `x-do`.
//!
//! `{"do": "echo" | "fail" | "panic" | "exit" | "sleep" | "pid" | "env" | "log", …}`

use std::time::Duration;

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var_os("REFUSE_TO_START").is_some() {
        eprintln!("REFUSE_TO_START is set");
        std::process::exit(78);
    }
    lambda_runtime::run(service_fn(handle)).await
}

#[allow(clippy::panic, reason = "the emulator's tests want to see a panic")]
#[allow(clippy::print_stdout, reason = "the emulator's tests read standard output")]
async fn handle(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let (payload, context) = event.into_parts();
    let what = payload["do"].as_str().or(payload["headers"]["x-do"].as_str());
    match what {
        Some("fail") => Err(Diagnostic {
            error_type: "InvalidRequest".to_owned(),
            error_message: "told to fail".to_owned(),
        }),
        Some("panic") => panic!("told to panic"),
        Some("exit") => std::process::exit(3),
        Some("sleep") => {
            let wait = payload["milliseconds"].as_u64().unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(wait)).await;
            Ok(json!({ "pid": std::process::id() }))
        }
        Some("pid") => Ok(json!({ "pid": std::process::id() })),
        Some("env") => Ok(std::env::vars().map(|(name, value)| (name, Value::String(value))).collect()),
        Some("log") => {
            println!("a line on standard output");
            eprintln!("a line on standard error");
            Ok(Value::Null)
        }
        _ => Ok(json!({
            "event": payload,
            "requestID": context.request_id,
            "deadline": context.deadline,
            "arn": context.invoked_function_arn,
            "role": std::env::var("ROLE").ok(),
        })),
    }
}
