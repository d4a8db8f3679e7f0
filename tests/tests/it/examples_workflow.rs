//! The example of a workflow without a task token. What Step Functions would do with it is done here, and the two functions
//! are the real ones.

use crate::examples::{ALICE, at, catcher, example, filled, path};
use local::logrocket::{Behaviour, Outcome};
use local::proxy::{Fault, Match};
use local::template::Template;
use serde_json::{Value, json};
use stories::{API_TOKEN, World};

#[tokio::test]
async fn a_workflow_without_a_token_looks_until_its_highlights_are_there() {
    let world = World::with(&[("MAX_ATTEMPTS", "1"), ("MONTHLY_REQUEST_LIMIT", "2")]).await;
    world.log_rocket.usually(Behaviour::manual());
    let workflow = Workflow::read(&world);
    let execute = async |name: &str, email: &str, outcome: Option<Outcome>| {
        workflow.execute(&world, name, json!({ "userEmail": email }), outcome).await
    };

    // 1. The highlights come while it waits, and it goes on with them.
    let ended = execute("one", ALICE, Some(Outcome::Ready)).await;
    assert_eq!(ended.states, ["Ask", "IsThere", "Wait", "Ask", "IsThere", "Read", "WithHighlights"]);
    let posts = world.log_rocket.posts();
    let id = posts[0].webhook_url().unwrap().split("request=").nth(1).unwrap()[..36].to_owned();
    let result = &world.read(&id).await["result"];
    let expected =
        json!({ "userEmail": ALICE, "highlights": result["highlights"], "sessions": result["sessions"] });
    assert_eq!(ended.output, Ok(expected));
    assert!(result["highlights"].is_string() && posts.len() == 1);

    // 2. The same execution, begun again by hand, is the same request, and at once at its end.
    let again = execute("one", ALICE, None).await;
    assert_eq!(again.states, ["Ask", "IsThere", "Read", "WithHighlights"]);
    assert_eq!((again.output, world.log_rocket.posts().len()), (ended.output, 1));

    // 3. The table is down, and it tries again.
    world.table_calls.on(Match::any(), Fault::throttled());
    let retried = execute("one", ALICE, None).await;
    assert_eq!((retried.retries, retried.states.last().copied()), (1, Some("WithHighlights")));

    // 4. What the function refuses ends it by that name, and so does a month's limit.
    assert_eq!(execute("two", "", None).await.mended(), "InvalidRequest");
    world.log_rocket.next(Behaviour::status(401));
    assert_eq!(execute("three", ALICE, None).await.mended(), "LogRocketRefused");

    // 5. LogRocket fails, and it goes on without.
    let failed = execute("four", ALICE, Some(Outcome::Failed)).await;
    assert_eq!(failed.output, Ok(json!({ "userEmail": ALICE, "why": "FAILED" })));
    assert_eq!(execute("five", ALICE, None).await.mended(), "OverBudget");
}

/// The state machine as `sam deploy` makes it, for a world's API.
struct Workflow {
    states: Value,
    start: String,
    /// What the connection adds to an HTTP task.
    header: (String, String),
}

/// How an execution went.
struct Ended {
    states: Vec<&'static str>,
    retries: usize,
    /// Or its error and cause.
    output: Result<Value, (String, String)>,
}

impl Ended {
    /// The error that was caught, and is to be mended.
    fn mended(&self) -> &str {
        assert_eq!(self.states.last(), Some(&"Mend"), "{:?}", self.output);
        self.output.as_ref().map_or_else(|(name, _)| name, |output| panic!("{output}"))
    }
}

impl Workflow {
    fn read(world: &World) -> Self {
        let template = Template::read(&path("step-functions/polling.yaml")).unwrap();
        let machine = template.resources("AWS::Serverless::StateMachine").next().unwrap().properties;
        assert_eq!(machine["DefinitionUri"], "polling.asl.json");
        let mut definition = example("step-functions/polling.asl.json");
        for name in machine["DefinitionSubstitutions"].as_object().unwrap().keys() {
            let value = if name == "ApiURL" { world.gateway.url() } else { name.to_lowercase() };
            assert!(definition.contains(&format!("${{{name}}}")), "{name}");
            definition = definition.replace(&format!("${{{name}}}"), &value);
        }
        assert!(!definition.contains("${"), "{definition}");
        let definition: Value = serde_json::from_str(&definition).unwrap();

        // It may do what it does, and its connection has the token.
        let policy = machine["Policies"][0]["Statement"].to_string();
        for needed in [
            "lambda:InvokeFunction",
            "states:InvokeHTTPEndpoint",
            "events:RetrieveConnectionCredentials",
            "${ApiURL}/highlights/*",
        ] {
            assert!(policy.contains(needed), "{needed}");
        }
        let connection = template.resources("AWS::Events::Connection").next().unwrap().properties;
        let key = &connection["AuthParameters"]["ApiKeyAuthParameters"];
        let secret = "{{resolve:secretsmanager:${ApiTokenSecretArn}:SecretString:apiToken}}";
        let value = key["ApiKeyValue"]["Fn::Sub"].as_str().unwrap();
        assert!(value.contains(secret), "{value}");
        Self {
            start: definition["StartAt"].as_str().unwrap().to_owned(),
            states: definition["States"].clone(),
            header: (key["ApiKeyName"].as_str().unwrap().to_owned(), value.replace(secret, API_TOKEN)),
        }
    }

    /// Runs an execution of that name. While it waits, LogRocket tells the outcome; at a retry, the table is well again.
    async fn execute(&self, world: &World, name: &str, input: Value, outcome: Option<Outcome>) -> Ended {
        const NAMES: [&str; 7] =
            ["Ask", "IsThere", "Wait", "Read", "WithHighlights", "WithoutHighlights", "Mend"];
        let context = json!({ "Execution": { "Id": format!("arn:aws:states:us-east-1:123456789012:execution:polling:{name}") } });
        let mut ended = Ended { states: Vec::new(), retries: 0, output: Ok(Value::Null) };
        let (mut at_state, mut data) = (self.start.as_str(), input);
        // Bounded: a workflow that goes round and round is a failure.
        for _ in 0..20 {
            ended.states.push(NAMES.iter().find(|known| **known == at_state).unwrap());
            let state = &self.states[at_state];
            let next = match state["Type"].as_str().unwrap() {
                "Task" => {
                    let parameters = filled(&state["Parameters"], &data, &context);
                    let mut answer = self.task(world, state["Resource"].as_str().unwrap(), &parameters).await;
                    if let Err((error, _)) = &answer
                        && is_retried(state, error)
                    {
                        ended.retries += 1;
                        world.table_calls.clear();
                        answer = self.task(world, state["Resource"].as_str().unwrap(), &parameters).await;
                    }
                    let (place, value, next) = match answer {
                        Ok(answer) => (
                            &state["ResultPath"],
                            filled(&state["ResultSelector"], &answer, &context),
                            state["Next"].as_str().unwrap(),
                        ),
                        Err((error, cause)) => {
                            let Some(next) = catcher(state, &error) else {
                                ended.output = Err((error, cause));
                                return ended;
                            };
                            (&json!("$.error"), json!({ "Error": error, "Cause": cause }), next)
                        }
                    };
                    data[place.as_str().unwrap().strip_prefix("$.").unwrap()] = value;
                    next
                }
                "Choice" => {
                    let choices = state["Choices"].as_array().unwrap();
                    let is_taken = |choice: &&Value| {
                        *at(&data, choice["Variable"].as_str().unwrap()) == choice["StringEquals"]
                    };
                    choices
                        .iter()
                        .find(is_taken)
                        .map_or(&state["Default"], |choice| &choice["Next"])
                        .as_str()
                        .unwrap()
                }
                "Wait" => {
                    let id = at(&data, "$.asked.requestID").as_str().unwrap();
                    assert_eq!(world.tell(id, 1, outcome.unwrap()).await, 200);
                    state["Next"].as_str().unwrap()
                }
                "Pass" => {
                    assert_eq!(state["End"], true);
                    ended.output = Ok(filled(&state["Parameters"], &data, &context));
                    return ended;
                }
                "Fail" => {
                    let told =
                        ["ErrorPath", "CausePath"].map(|name| at(&data, state[name].as_str().unwrap()));
                    let [error, cause] = told.map(|value| value.as_str().unwrap().to_owned());
                    ended.output = Err((error, cause));
                    return ended;
                }
                other => panic!("{other} is not emulated"),
            };
            at_state = next;
        }
        panic!("no end: {:?}", ended.states)
    }

    async fn task(
        &self,
        world: &World,
        resource: &str,
        parameters: &Value,
    ) -> Result<Value, (String, String)> {
        match resource {
            "arn:aws:states:::lambda:invoke" => {
                assert_eq!(parameters["FunctionName"], "requestfunctionarn");
                let answer = world.invoke(parameters["Payload"].clone()).await;
                answer.map(|payload| json!({ "StatusCode": 200, "Payload": payload })).map_err(|error| {
                    let cause = json!({ "errorType": error.error_type, "errorMessage": error.error_message });
                    (error.error_type, cause.to_string())
                })
            }
            "arn:aws:states:::http:invoke" => {
                assert_eq!(parameters["Authentication"]["ConnectionArn"], "connectionarn");
                let path =
                    parameters["ApiEndpoint"].as_str().unwrap().strip_prefix(&world.gateway.url()).unwrap();
                assert!(path.starts_with("/highlights/"), "its policy allows no {path}");
                let method = parameters["Method"].as_str().unwrap().parse().unwrap();
                let answer = world.call(method, path, &[(&self.header.0, &self.header.1)], Value::Null).await;
                if answer.status.is_success() {
                    return Ok(
                        json!({ "StatusCode": answer.status.as_u16(), "ResponseBody": answer.json() }),
                    );
                }
                Err((format!("States.Http.StatusCode.{}", answer.status.as_u16()), answer.text))
            }
            other => panic!("{other} is not emulated"),
        }
    }
}

fn is_retried(task: &Value, error: &str) -> bool {
    let retriers = task["Retry"].as_array().unwrap();
    let of_it = |retrier: &Value| {
        let names = retrier["ErrorEquals"].as_array().unwrap();
        assert!(retrier["MaxAttempts"].as_u64().unwrap() > 0);
        names.contains(&json!(error)) || names.contains(&json!("States.TaskFailed"))
    };
    retriers.iter().any(of_it)
}
