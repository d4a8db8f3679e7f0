//! AWS Step Functions: the answer that a task waits for.
//!
//! - `SendTaskSuccess`, whose output takes 262,144 bytes:
//!   <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html>
//! - `SendTaskFailure`, whose cause takes 32,768 characters:
//!   <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskFailure.html>
//!
//! A token answers once. Afterwards it is `TaskTimedOut`: "The task token has either expired or the task associated
//! with the token has already been closed" (`TaskDoesNotExist` is of activities, and means no more than that). Which of
//! both it was is not said. So on a repeat that is taken for our own answer, the one whose answer was lost; where it
//! was the workflow that gave up meanwhile, there is nobody left to tell. On the first call it is a refusal.
//! `InvalidToken` is a token that never was one, on every call.

use super::{AwsError, Decision, Failure, Handover, Vendors};
use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::Builder;
use aws_sdk_sfn::config::retry::RetryConfig;
use model::payload;
use model::record::{Record, Status};
use model::result::HighlightsResult;
use model::settings::App;
use std::time::Duration;
use tokio::time::sleep;

const OUTPUT_BYTES: usize = 262_144;
/// No text has more characters than bytes.
const CAUSE_BYTES: usize = 32_768;
/// Before the calls that repeat the first. They are made here because the SDK, which would repeat it unasked, does not
/// tell whether a `TaskTimedOut` answers the first.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
const ACCESS: &str = "the function may not answer this task: check that its state machine is in this account and \
                      region, and the role";

/// What a task is answered with.
#[derive(PartialEq, Eq, Debug)]
enum TaskAnswer {
    Success {
        output: String,
    },
    Failure {
        /// What a workflow's `Catch` matches.
        error: &'static str,
        cause: String,
    },
}

impl Vendors {
    pub(super) async fn step_functions(
        &self,
        handover: &Handover<'_>,
        task_token: &str,
    ) -> Result<Option<String>, Failure> {
        let client = self.step_functions.get_or_init(|| client(&self.config));
        let answer = TaskAnswer::of(handover.record, handover.result, &self.settings.shared.app);
        let mut is_repeat = handover.is_repeat;
        let mut waits = WAITS.into_iter();
        loop {
            let outcome = read(answer.send(client, handover, task_token).await, is_repeat, task_token);
            match (outcome, waits.next()) {
                (Err(Failure { decision: Decision::Again { .. }, .. }), Some(wait))
                    if wait < handover.time_left() =>
                {
                    is_repeat = true;
                    sleep(wait).await;
                }
                (outcome, _) => return outcome.map(|()| None),
            }
        }
    }
}

/// A client that makes each call once.
pub(super) fn client(config: &SdkConfig) -> Client {
    Client::from_conf(Builder::from(config).retry_config(RetryConfig::disabled()).build())
}

impl TaskAnswer {
    fn of(record: &Record, result: Option<&HighlightsResult>, app: &App) -> Self {
        match record.status {
            Status::Ready => Self::Success { output: payload::within(record, result, app, OUTPUT_BYTES) },
            status => Self::Failure {
                error: status.as_str(),
                cause: payload::within(record, result, app, CAUSE_BYTES),
            },
        }
    }

    async fn send(&self, client: &Client, handover: &Handover<'_>, task_token: &str) -> Result<(), AwsError> {
        match self {
            Self::Success { output } => {
                let call = client.send_task_success().task_token(task_token).output(output);
                handover.call(call.send()).await.map(drop)
            }
            Self::Failure { error, cause } => {
                let call = client.send_task_failure().task_token(task_token).error(*error).cause(cause);
                handover.call(call.send()).await.map(drop)
            }
        }
    }
}

/// `is_repeat` if an earlier call may have been taken.
fn read(answered: Result<(), AwsError>, is_repeat: bool, task_token: &str) -> Result<(), Failure> {
    let Err(error) = answered else { return Ok(()) };
    match error.code() {
        Some("TaskTimedOut" | "TaskDoesNotExist") if is_repeat => Ok(()),
        Some("TaskTimedOut" | "TaskDoesNotExist") => {
            Err(Failure::refused("the task token is no longer waited for: its task has ended or timed out"))
        }
        Some("InvalidToken") => Err(Failure::refused("the task token is not one of Step Functions here")),
        // It quotes what it finds wrong, perhaps in part.
        Some(code @ "ValidationException") => {
            Err(Failure::refused(format!("Step Functions answered {code}: the task token may be malformed")))
        }
        _ => Err(error.failure("Step Functions", ACCESS, &[task_token])),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{AGAIN, ID, failed, ready, why};
    use super::super::stand_in::StandIn;
    use super::*;
    use local::destinations::{Behaviour, Kind, Place};
    use model::destination::Target;
    use serde_json::Value;

    fn answer_of(handover: &Handover<'_>) -> TaskAnswer {
        TaskAnswer::of(handover.record, handover.result, &App::parse("org/app").unwrap())
    }

    #[test]
    fn a_result_is_a_success_that_fits() {
        let TaskAnswer::Success { output } = ready("She pays.", answer_of) else { panic!() };
        let output: Value = serde_json::from_str(&output).unwrap();
        assert_eq!((&output["status"], &output["requestID"]), (&"READY".into(), &ID.into()));
        assert_eq!(output["result"]["highlights"], "She pays.");
        let TaskAnswer::Success { output } = ready(&"é".repeat(200_000), answer_of) else { panic!() };
        assert!(output.len() <= OUTPUT_BYTES);
        assert_eq!(serde_json::from_str::<Value>(&output).unwrap()["truncated"], true);
    }

    #[test]
    fn a_failure_is_caught_by_its_status() {
        let TaskAnswer::Failure { error, cause } = failed(answer_of) else { panic!() };
        let cause: Value = serde_json::from_str(&cause).unwrap();
        assert_eq!((error, &cause["status"], &cause["result"]), ("FAILED", &"FAILED".into(), &Value::Null));
        assert!(cause["failure"].is_object());
    }

    #[test]
    fn a_token_that_is_spent_was_spent_by_us_if_we_may_have() {
        let answered =
            |code: &str| AwsError::Answered { status: 400, code: code.into(), message: "of hush".into() };
        for code in ["TaskTimedOut", "TaskDoesNotExist"] {
            assert_eq!(read(Err(answered(code)), true, "hush"), Ok(()));
            let (decision, words) = why(read(Err(answered(code)), false, "hush"));
            assert_eq!(decision, Decision::Refuse);
            assert!(words.starts_with("the task token is no longer waited for"), "{words}");
        }
        for (code, decision) in [
            ("InvalidToken", Decision::Refuse),
            ("InvalidOutput", Decision::Refuse),
            ("ValidationException", Decision::Refuse),
            ("AccessDeniedException", Decision::Refuse),
            ("KmsAccessDeniedException", Decision::Refuse),
            ("ThrottlingException", AGAIN),
            ("KmsThrottlingException", AGAIN),
        ] {
            for is_repeat in [false, true] {
                let (decided, words) = why(read(Err(answered(code)), is_repeat, "hush"));
                assert_eq!(decided, decision, "{code}");
                assert!(!words.contains("hush"), "{words}");
            }
        }
        assert_eq!(why(read(Err(AwsError::NoAnswer), true, "hush")).0, AGAIN);
    }

    #[test]
    fn a_task_hears_of_the_outcome_once() {
        let stand_in = StandIn::start();
        let target = || Target::StepFunctions { task_token: stand_in.there.issue_token() };
        ready("She pays.", |handover| assert_eq!(stand_in.deliver(handover, &target()), Ok(None)));
        // We do not hear that it did.
        failed(|handover| {
            stand_in.there.next(Kind::StepFunctions, Behaviour::CutAfter);
            assert_eq!(stand_in.deliver(handover, &target()), Ok(None));
        });
        let told: Vec<String> = stand_in.there.messages().into_iter().map(|message| message.text).collect();
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("succeeded\n") && told[1].starts_with("failed\nFAILED\n"), "{told:?}");
    }

    #[test]
    fn a_task_that_is_over_is_told_in_vain_unless_we_may_have_told_it_before() {
        let stand_in = StandIn::start();
        let task_token = stand_in.there.issue_token();
        stand_in.there.place(Kind::StepFunctions, &task_token, Place::Closed);
        let target = Target::StepFunctions { task_token };
        ready("She pays.", |handover| {
            let (decision, words) = why(stand_in.deliver(handover, &target));
            assert_eq!(decision, Decision::Refuse);
            assert!(words.starts_with("the task token is no longer waited for"), "{words}");
            let repeat = Handover { is_repeat: true, delivery_id: String::new(), ..*handover };
            assert_eq!(stand_in.deliver(&repeat, &target), Ok(None));
        });
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_not() {
        let stand_in = StandIn::start();
        let target = Target::StepFunctions { task_token: stand_in.there.issue_token() };
        ready("She pays.", |handover| {
            stand_in.there.usually(Kind::StepFunctions, Behaviour::refused_as("ThrottlingException"));
            let told = why(stand_in.deliver(handover, &target));
            assert_eq!(told, (AGAIN, "Step Functions answered ThrottlingException: Rate exceeded".into()));
            assert_eq!(stand_in.calls(Kind::StepFunctions), 1 + WAITS.len());
            stand_in.there.usually(Kind::StepFunctions, Behaviour::Ok);
            let unknown = Target::StepFunctions { task_token: "AQCEAAAAKgAAhush".into() };
            let (decision, words) = why(stand_in.deliver(handover, &unknown));
            assert_eq!((decision, words.contains("hush")), (Decision::Refuse, false));
            assert_eq!(stand_in.calls(Kind::StepFunctions), 2 + WAITS.len());
        });
    }
}
