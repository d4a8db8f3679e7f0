//! Against `examples/echo.rs`, which `cargo test` builds beside the tests.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::json;

use super::*;

pub(crate) fn echo_binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().and_then(Path::parent).unwrap();
    let binary = profile.join("examples").join("echo");
    assert!(binary.exists(), "`cargo test -p local` builds the example `echo`; `--lib` alone does not");
    binary
}

fn echo() -> Function {
    echo_with(Limits::default())
}

fn echo_with(limits: Limits) -> Function {
    Function::start_with(&echo_binary(), [("TABLE_NAME", "highlights")], limits)
}

fn is_running(pid: &Value) -> bool {
    let pid = i32::try_from(pid.as_i64().unwrap()).unwrap();
    rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).unwrap()).is_ok()
}

async fn pid(function: &Function) -> Value {
    function.invoke(json!({ "do": "pid" })).await.unwrap()["pid"].clone()
}

#[tokio::test]
async fn an_invocation_carries_its_event_request_id_arn_and_deadline() {
    let function = echo();
    let answer = function.invoke_with_request_id(json!({ "a": [1, "ü"] }), "request-1").await.unwrap();

    assert_eq!(answer["event"], json!({ "a": [1, "ü"] }));
    assert_eq!(answer["requestID"], "request-1");
    assert_eq!(answer["arn"], "arn:aws:lambda:us-east-1:000000000000:function:echo");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let left = u128::from(answer["deadline"].as_u64().unwrap()) - now;
    assert!((25_000..=30_000).contains(&left), "{left} ms to the deadline");
}

#[tokio::test]
async fn a_payload_may_be_handed_over_byte_for_byte() {
    let answer = echo().invoke_bytes(r#" {"a":1,"a":2}"#, "request-1").await.unwrap();
    assert_eq!(answer["event"], json!({ "a": 2 }));
}

#[tokio::test]
async fn the_memory_that_a_process_took_is_known_where_the_system_tells() {
    let function = echo();
    assert_eq!(function.peak_memory(), None);
    function.invoke(json!({})).await.unwrap();
    let small = function.peak_memory();
    assert_eq!(small.is_some(), cfg!(target_os = "linux"));
    function.invoke(json!({ "long": "x".repeat(20_000_000) })).await.unwrap_err();
    function.invoke(json!({})).await.unwrap();
    if let (Some(small), Some(large)) = (small, function.peak_memory()) {
        assert!(large > small + 20_000_000, "{small} {large}");
    }
}

#[tokio::test]
async fn the_environment_is_lambdas_and_the_given_and_nothing_else() {
    let variables = echo().invoke(json!({ "do": "env" })).await.unwrap();

    assert_eq!(variables["TABLE_NAME"], "highlights");
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_NAME"], "echo");
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "256");
    assert_eq!(variables["_HANDLER"], "bootstrap");
    assert_eq!(variables["AWS_REGION"], "us-east-1");
    assert!(variables.get("CARGO_MANIFEST_DIR").is_none());
    assert!(variables.get("HOME").is_none());
}

#[tokio::test]
async fn the_next_invocation_finds_the_same_process() {
    let function = echo();
    assert_eq!(pid(&function).await, pid(&function).await);
}

#[tokio::test]
async fn an_error_comes_back_with_its_name_and_the_process_lives_on() {
    let function = echo();
    let before = pid(&function).await;

    let error = function.invoke(json!({ "do": "fail" })).await.unwrap_err();
    assert_eq!(error.to_string(), "InvalidRequest: told to fail");
    let error = function.invoke(json!({ "do": "panic" })).await.unwrap_err();
    assert!(error.error_message.contains("told to panic"), "{error}");

    assert_eq!(pid(&function).await, before);
}

#[tokio::test]
async fn a_process_that_ends_fails_its_invocation_and_is_started_again() {
    let function = echo();
    let before = pid(&function).await;

    let error = function.invoke_with_request_id(json!({ "do": "exit" }), "r").await.unwrap_err();
    assert_eq!(error.error_type, "Runtime.ExitError");
    assert_eq!(error.error_message, "RequestId: r Error: Runtime exited with error: exit status 3");

    assert_ne!(pid(&function).await, before);
}

#[tokio::test]
async fn a_process_that_does_not_start_fails_the_invocation_and_says_why() {
    let function = Function::start(&echo_binary(), [("REFUSE_TO_START", "1")]);

    let error = function.invoke(json!({})).await.unwrap_err();

    assert_eq!(error.error_type, "Runtime.ExitError");
    assert!(error.error_message.ends_with("exit status 78"), "{error}");
    assert_eq!(function.output(), ["REFUSE_TO_START is set"]);
}

#[tokio::test]
async fn a_binary_that_is_missing_is_named() {
    let function = Function::start::<String, String>(Path::new("/nowhere/bootstrap"), []);
    let error = function.invoke(json!({})).await.unwrap_err();
    assert_eq!(error.error_type, "Runtime.InvalidEntrypoint");
    assert!(error.error_message.contains("/nowhere/bootstrap"), "{error}");
}

#[tokio::test]
async fn a_process_that_takes_too_long_is_killed() {
    let function = echo_with(Limits { timeout: Duration::from_secs(1), ..Limits::default() });
    let before = pid(&function).await;

    let error = function.invoke(json!({ "do": "sleep", "milliseconds": 60_000 })).await.unwrap_err();

    assert_eq!(error.error_type, "Sandbox.Timedout");
    assert!(error.error_message.ends_with("Task timed out after 1.00 seconds"), "{error}");
    assert!(!is_running(&before));
    assert_ne!(pid(&function).await, before);
}

#[tokio::test]
async fn twenty_invocations_at_once_run_in_twenty_processes() {
    let function = Arc::new(echo());
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let function = Arc::clone(&function);
            tokio::spawn(async move { function.invoke(json!({ "do": "sleep", "milliseconds": 300 })).await })
        })
        .collect();
    let mut pids = HashSet::new();
    for call in calls {
        pids.insert(call.await.unwrap().unwrap()["pid"].as_u64().unwrap());
    }
    assert_eq!(pids.len(), 20);
}

#[tokio::test]
async fn more_invocations_than_environments_wait_for_one() {
    let function = Arc::new(echo_with(Limits { environments: 1, ..Limits::default() }));
    let nap = json!({ "do": "sleep", "milliseconds": 50 });
    let (one, two) = tokio::join!(function.invoke(nap.clone()), function.invoke(nap));
    assert_eq!(one.unwrap(), two.unwrap());
}

#[tokio::test]
async fn a_kill_ends_what_is_in_flight_and_what_is_idle() {
    let function = Arc::new(echo());
    let nap = json!({ "do": "sleep", "milliseconds": 60_000 });
    let idle = pid(&function).await;
    let in_flight = tokio::spawn({
        let function = Arc::clone(&function);
        async move { function.invoke(nap).await }
    });
    // The sleeper takes the idle process; this one is another.
    sleep(Duration::from_millis(100)).await;
    let other = pid(&function).await;
    assert_ne!(idle, other);

    function.kill().await;

    assert!(!is_running(&idle));
    assert!(!is_running(&other));
    let error = in_flight.await.unwrap().unwrap_err();
    assert_eq!(error.error_type, "Runtime.ExitError");
    assert!(error.error_message.ends_with("signal: killed"), "{error}");
    let after = pid(&function).await;
    assert_ne!(after, idle);
    assert_ne!(after, other);
}

#[tokio::test]
async fn a_restart_leaves_another_process_waiting() {
    let function = echo();
    let before = pid(&function).await;
    function.restart().await.unwrap();
    assert!(!is_running(&before));
    assert_ne!(pid(&function).await, before);
}

#[tokio::test]
async fn the_last_handle_takes_the_processes_with_it() {
    let function = echo();
    let before = pid(&function).await;
    drop(function);
    for _ in 0..200 {
        if !is_running(&before) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("process {before} is still there");
}

#[tokio::test]
async fn output_holds_both_streams() {
    let function = echo();
    function.invoke(json!({ "do": "log" })).await.unwrap();
    for line in ["a line on standard output", "a line on standard error"] {
        let found = function.wait_for_output(line, Duration::from_secs(5)).await;
        assert_eq!(found.as_deref(), Some(line));
    }
}
