//! `sam deploy` of what `make template` built, to an AWS on this machine that runs it: the template's own resources, the
//! built functions, and nothing between them that the template does not say.
//!
//! A program of its own: it mostly waits, for the deployed schedule, which comes once a minute.

// A deployment that does something else is a failed test, and says why.
#![allow(clippy::expect_used, clippy::panic)]

mod emulator;

use emulator::{Emulator, Invocation};
use futures::FutureExt;
use local::destinations::{self, Destinations, Kind};
use local::logrocket::{Behaviour, LogRocket, Options, Outcome};
use local::template::Template;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;
use stories::project;
use tokio::time::{Instant, sleep};

const BUILT: &str = ".aws-sam/check/template.yaml";
/// As `samconfig.toml` has it.
const STACK: &str = "galileo-highlights";
/// The version of its API, as calls name it.
const IAM: &str = "2010-05-08";
/// For what happens at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what a schedule does: its first minute, and one more for a machine that has much else to do.
const SCHEDULE: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deployed_carries_highlights_by_its_stream_and_its_schedule() {
    let stack = Stack::deploy().await;
    if let Err(failed) = AssertUnwindSafe(story(&stack)).catch_unwind().await {
        stack.tell().await;
        resume_unwind(failed);
    }
}

async fn story(stack: &Stack) {
    // 1. All that the template has is there, and whatever refers to something refers to something that is.
    stack.assert_complete().await;
    stack.assert_outputs();
    for function in ["RequestFunction", "WebhookFunction"] {
        stack.assert_environment(function).await;
    }

    // 2. The API lets in who has the generated token. What has no route is request λ's to refuse.
    assert_eq!(stack.call(Method::GET, "/highlights?userID=1", None).await.0, 200);
    assert_eq!(stack.call_as_nobody("/highlights?userID=1").await, 401);
    for (method, path, status) in [
        (Method::GET, "/nothing", 404),
        (Method::GET, "/webhooks", 404),
        (Method::PUT, "/highlights", 405),
        (Method::GET, "/webhook", 405),
    ] {
        let (answered, problem) = stack.call(method, path, None).await;
        assert_eq!(answered, status, "{path}: {problem}");
        assert_eq!(problem["status"], status, "in the API's own form: {problem}");
    }
    let forged = stack.call(Method::POST, "/webhook?request=1&attempt=1&token=x", Some(json!({}))).await;
    assert_eq!(forged.0, 401, "{}", forged.1);

    // 3. The schedule is stopped: what is delivered now is delivered by the stream. It is read from its end, which is
    //    where the emulator finds it at its first reading: what was written just before is the sweep's.
    stack.set_schedule("DISABLED").await;
    stack.until_the_stream_is_read().await;

    // 4. Asked by HTTP, by Step Functions and by a queue; LogRocket calls the deployed webhook; the stream delivers.
    let bus = stack.listen_to_events().await;
    stack.log_rocket.next(Behaviour::manual());
    let destinations = json!([
        { "type": "eventBridge" }, { "type": "slack", "webhook": "nps" }, { "type": "teams", "webhook": "support" },
    ]);
    let by_http = stack.ask(destinations).await;
    let post = stack.log_rocket.posts().pop().expect("a POST");
    let told =
        stack.log_rocket.send_callback(&post.logrocket_request_id.expect("taken"), Outcome::Ready).await;
    assert_eq!(told.expect("the callback is answered"), 200);
    let execution = stack.start_workflow().await;
    stack.send("source", json!({ "userID": "7", "idempotencyKey": "by-queue" })).await;
    stack.until_delivered(&by_http, PATIENCE).await;
    let event = stack.receive(&bus).await;
    assert_eq!(event["detail-type"], "Highlights Status Change", "{event}");
    assert_eq!(event["detail"]["requestID"], by_http.as_str(), "{event}");
    assert_eq!(event["detail"]["status"], "READY", "{event}");
    for kind in [Kind::SlackWebhook, Kind::Teams] {
        let told = stack.destinations.wait_for_messages(kind, 1).await.expect("a message");
        assert_eq!(told.len(), 1, "{kind:?}: once");
    }
    let workflow = stack.until_workflow_ends(&execution).await;
    assert_eq!(workflow["status"], "SUCCEEDED", "{workflow:#}");
    assert!(workflow["output"].as_str().is_some_and(|output| output.contains("sessions")), "{workflow:#}");
    let look = async || stack.call(Method::GET, "/highlights?userID=7", None).await.1;
    let by_queue = stack.until(PATIENCE, look, |user| user["requests"][0]["status"] == "READY").await;
    assert_eq!(by_queue["requests"].as_array().map(Vec::len), Some(1), "{by_queue}");
    assert_eq!(by_queue["requests"][0]["status"], "READY", "{by_queue}");

    // 5. Webhook λ was handed the outcomes and no other write.
    stack.assert_filtered(&by_http).await;

    // 6. Without the stream, the schedule delivers.
    stack.disconnect_stream().await;
    stack.set_schedule("ENABLED").await;
    let by_schedule = stack.ask(json!([{ "type": "slack", "webhook": "nps" }])).await;
    stack.until_ready(&by_schedule, PATIENCE).await;
    stack.log_rocket.next(Behaviour::lost());
    let lost = stack.ask(json!([])).await;
    stack.bring_poll_forward(&lost).await;
    stack.until_delivered(&by_schedule, SCHEDULE).await;
    let deliveries = stack.webhook_invocations().await;
    let by = deliveries.iter().find(|invocation| invocation.says_of(&by_schedule, "delivered"));
    assert!(by.is_some_and(Invocation::is_sweep), "a sweep delivered it: {by:#?}");

    // 7. And finds out what a lost callback would have told.
    stack.until_ready(&lost, SCHEDULE).await;
    assert_eq!(stack.log_rocket.polls().len(), 1, "no other request was polled");
    let callbacks = stack.log_rocket.callbacks();
    assert!(callbacks.iter().all(|callback| callback.status == Some(200)), "{callbacks:#?}");
    assert_eq!(stack.count("FailedEvents").await, 0, "nothing failed to the end");

    // 8. Deployed again, for callers whom IAM knows, it keeps what people wrote into the secrets. The gateway turns away
    //    everybody else, but for LogRocket.
    stack.update("ApiAuth=iam").await;
    let secret = stack.secret(&stack.names["DestinationSecret"]).await;
    assert_eq!(secret["destinations"], stack.destinations.secrets());
    let token = stack.secret(&stack.names["ApiTokenSecret"]).await;
    assert_eq!(token["apiToken"], stack.token.as_str());
    let path = format!("/highlights/{by_http}");
    for path in [path.as_str(), "/highlights?userID=1", "/highlights/", "/nothing"] {
        assert_eq!(stack.call_as_nobody(path).await, 403, "{path}");
    }
    // The emulator's gateway asks for no signature where there is a token; request λ does.
    assert_eq!(stack.call(Method::GET, &path, None).await.0, 401);
    let signed = stack.emulator.http.get(format!("{}{path}", stack.outputs["ApiURL"]));
    let answer = stack.emulator.signed("execute-api", signed).send().await.expect("the gateway answers");
    assert_eq!(answer.status(), 200);
    let forged = stack.call(Method::POST, "/webhook?request=1&attempt=1&token=x", Some(json!({}))).await;
    assert_eq!(forged.1["title"], "Unauthorized", "webhook λ's own: {}", forged.1);

    // 9. Deleted, the stack leaves the table and what it knows, and nothing else.
    stack.delete().await;
}

struct Stack {
    emulator: Emulator,
    log_rocket: LogRocket,
    destinations: Destinations,
    template: Template,
    parameters: Vec<String>,
    /// The outputs, by name.
    outputs: BTreeMap<String, String>,
    /// What the resources are called, by logical id.
    names: BTreeMap<String, String>,
    token: String,
}

impl Stack {
    /// Everything that a parameter makes optional is in it.
    async fn deploy() -> Self {
        let built = project().join(BUILT);
        assert!(built.is_file(), "{BUILT} is what is deployed; `make template` builds it");
        let emulator = Emulator::start().await;
        // Its id of a request is written down by then.
        let options = Options { callback_after: Duration::from_secs(2), ..Options::default() };
        let log_rocket = LogRocket::start(options).await.expect("LogRocket");
        let destinations = Destinations::start(destinations::Options::default()).await.expect("the vendors");
        let attributes = json!({ "QueueName": "source", "Attributes": { "VisibilityTimeout": "180" } });
        emulator.aws("sqs", "AmazonSQS.CreateQueue", attributes).await;
        let parameters = vec![
            format!("LogRocketAppID={}", log_rocket.app_id()),
            format!("LogRocketAPIKey={}", log_rocket.api_key()),
            format!("LogRocketAPIURL={}", log_rocket.url()),
            "MonthlyRequestLimit=1000".to_owned(),
            format!("SourceQueueArn={}", queue_arn("source")),
            "AlarmEmail=ops@example.com".to_owned(),
            format!("Architecture={}", if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }),
        ];
        deploy(&emulator, &parameters).await;

        let described = emulator.query("cloudformation", &about_the_stack("DescribeStacks")).await;
        let outputs: BTreeMap<String, String> = members(&described, "OutputKey", "OutputValue");
        let described = emulator.query("cloudformation", &about_the_stack("DescribeStackResources")).await;
        let names = members(&described, "LogicalResourceId", "PhysicalResourceId");
        let template = Template::read(&project().join("template.yaml")).expect("a readable template");
        let mut stack = Self {
            emulator,
            log_rocket,
            destinations,
            template,
            parameters,
            outputs,
            names,
            token: String::new(),
        };
        stack.token = stack.first_token().await;
        stack.write_destinations().await;
        stack.mend_roles().await;
        stack
    }

    /// Deploys it once more, with one more parameter.
    async fn update(&self, parameter: &str) {
        deploy(&self.emulator, &[self.parameters.as_slice(), &[parameter.to_owned()]].concat()).await;
        let described = self.emulator.query("cloudformation", &about_the_stack("DescribeStacks")).await;
        assert!(described.contains("<StackStatus>UPDATE_COMPLETE</StackStatus>"), "{described}");
    }

    /// By the id that the output's command asks for.
    async fn first_token(&self) -> String {
        let command = &self.outputs["ApiTokenCommand"];
        let id = command.split_whitespace().skip_while(|word| *word != "--secret-id").nth(1);
        let secret = self.secret(id.expect("a command with --secret-id")).await;
        secret["apiToken"].as_str().expect("an API token").to_owned()
    }

    async fn secret(&self, id: &str) -> Value {
        let query = json!({ "SecretId": id });
        let secret = self.emulator.aws("secretsmanager", "secretsmanager.GetSecretValue", query).await;
        serde_json::from_str(secret["SecretString"].as_str().expect("a secret")).expect("a JSON secret")
    }

    /// As an operator does at the console: the vendors' credentials go into the generated secret, beside what is there.
    async fn write_destinations(&self) {
        let id = &self.outputs["DestinationSecretARN"];
        let mut secret = self.secret(id).await;
        secret["destinations"] = self.destinations.secrets();
        let put = json!({ "SecretId": id, "SecretString": secret.to_string() });
        self.emulator.aws("secretsmanager", "secretsmanager.PutSecretValue", put).await;
    }

    /// What the functions do, they do by the template's own statements, but for two that the emulator cannot match: to
    /// it, `Ref` of a secret is its name and not its ARN, and an answer to a task is of no state machine.
    async fn mend_roles(&self) {
        for (function, role) in [("RequestFunction", "RequestRole"), ("WebhookFunction", "WebhookRole")] {
            let mut arns = Vec::new();
            for id in self.variables(function).await["SECRET_IDS"].as_str().expect("ids").split(',') {
                let query = json!({ "SecretId": id });
                let mut secret =
                    self.emulator.aws("secretsmanager", "secretsmanager.DescribeSecret", query).await;
                arns.push(secret["ARN"].take());
            }
            self.allow(&self.names[role], "secretsmanager:GetSecretValue", Value::Array(arns)).await;
        }
        self.allow(&self.names["WebhookRole"], "states:SendTaskSuccess", json!("*")).await;
    }

    /// Adds a policy of our own to a role.
    async fn allow(&self, role: &str, action: &str, resource: Value) {
        let statement = json!({ "Effect": "Allow", "Action": action, "Resource": resource });
        let policy = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
        let put = [
            ("Action", "PutRolePolicy"),
            ("Version", IAM),
            ("RoleName", role),
            ("PolicyName", &action.replace(':', "-")),
            ("PolicyDocument", &policy),
        ];
        self.emulator.query("iam", &put).await;
    }

    /// What a deployed function is given.
    async fn variables(&self, function: &str) -> Map<String, Value> {
        let path = format!("/2015-03-31/functions/{}/configuration", self.names[function]);
        let mut deployed = self.emulator.rest("lambda", Method::GET, &path, None).await;
        let Value::Object(variables) = deployed["Environment"]["Variables"].take() else {
            panic!("{function} has no environment")
        };
        variables
    }

    /// What the functions logged.
    async fn tell(&self) {
        for group in ["RequestLogGroup", "WebhookLogGroup"] {
            for invocation in self.emulator.invocations(&self.names[group]).await {
                eprintln!("{group}:\n{invocation}");
            }
        }
    }

    async fn assert_complete(&self) {
        let described = self.emulator.query("cloudformation", &about_the_stack("DescribeStacks")).await;
        assert!(described.contains("<StackStatus>CREATE_COMPLETE</StackStatus>"), "{described}");
        let described =
            self.emulator.query("cloudformation", &about_the_stack("DescribeStackResources")).await;
        let states = members(&described, "LogicalResourceId", "ResourceStatus");
        assert!(states.values().all(|status| status == "CREATE_COMPLETE"), "{states:#?}");
        let resources = self.template.root()["Resources"].as_object().expect("resources");
        let missing: Vec<_> = resources.keys().filter(|id| !states.contains_key(*id)).collect();
        assert!(missing.is_empty(), "{missing:?} is not created");
        // SAM makes the schedules of the functions' events.
        assert_eq!(states.keys().filter(|id| id.ends_with("FunctionSweep")).count(), 2, "{states:#?}");
        assert!(self.names.values().all(|name| !name.is_empty()), "{:#?}", self.names);
    }

    fn assert_outputs(&self) {
        let outputs = self.template.root()["Outputs"].as_object().expect("outputs");
        assert_eq!(self.outputs.keys().collect::<BTreeSet<_>>(), outputs.keys().collect());
        for (name, value) in &self.outputs {
            let unresolved = ["${", "AWS::", "None", "null"].iter().any(|sign| value.contains(sign));
            assert!(!value.is_empty() && !unresolved, "{name}: {value}");
        }
    }

    /// The running function is given what the template says, and by name nothing else. That this is what the code
    /// reads, the template's own tests tell.
    async fn assert_environment(&self, function: &str) {
        let variables = self.variables(function).await;
        let root = self.template.root();
        let set = |at: &Value| at["Environment"]["Variables"].as_object().cloned().unwrap_or_default();
        let mut expected: Map<String, Value> = set(&root["Globals"]["Function"]);
        expected.extend(set(&root["Resources"][function]["Properties"]));
        assert_eq!(variables.keys().collect::<BTreeSet<_>>(), expected.keys().collect::<BTreeSet<_>>());
        assert_eq!(variables["TABLE_NAME"], self.outputs["TableName"].as_str());
        for id in variables["SECRET_IDS"].as_str().expect("ids").split(',') {
            self.secret(id).await;
        }
        if let Some(webhook) = variables.get("WEBHOOK_URL") {
            assert_eq!(webhook, self.outputs["WebhookURL"].as_str());
        }
    }

    /// One call of the deployed API with its first token; the status and what was answered.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.emulator.http.request(method, format!("{}{path}", self.outputs["ApiURL"]));
        request = request.header("authorization", format!("Bearer {}", self.token));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("the gateway answers");
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("it is read"));
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The status of a call that says nothing of who makes it.
    async fn call_as_nobody(&self, path: &str) -> u16 {
        let answer = self.emulator.http.get(format!("{}{path}", self.outputs["ApiURL"])).send().await;
        answer.expect("the gateway answers").status().as_u16()
    }

    /// Asks by HTTP, and answers the `requestID` of the 202.
    async fn ask(&self, destinations: Value) -> String {
        let body = json!({ "userID": "1", "destinations": destinations });
        let (status, answer) = self.call(Method::POST, "/highlights", Some(body)).await;
        assert_eq!(status, 202, "{answer}");
        answer["requestID"].as_str().expect("a requestID").to_owned()
    }

    async fn read(&self, id: &str) -> Value {
        let (status, answer) = self.call(Method::GET, &format!("/highlights/{id}"), None).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn until_ready(&self, id: &str, patience: Duration) {
        let told = self.until(patience, async || self.read(id).await, |request| request["status"] == "READY");
        assert_eq!(told.await["status"], "READY", "of {id}");
    }

    async fn until_delivered(&self, id: &str, patience: Duration) {
        assert!(
            self.is_delivered(id, patience).await,
            "{:#}\n{}",
            self.read(id).await,
            self.emulator.output()
        );
    }

    async fn is_delivered(&self, id: &str, patience: Duration) -> bool {
        let delivered = |request: &Value| {
            let all = request["deliveries"].as_array();
            all.is_some_and(|all| {
                !all.is_empty() && all.iter().all(|delivery| delivery["status"] == "DELIVERED")
            })
        };
        delivered(&self.until(patience, async || self.read(id).await, delivered).await)
    }

    /// Looks until it is so, or there is no patience left; answers what was seen last.
    async fn until(
        &self,
        patience: Duration,
        look: impl AsyncFn() -> Value,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let give_up = Instant::now() + patience;
        loop {
            let seen = look().await;
            if is_so(&seen) || Instant::now() >= give_up {
                return seen;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn until_the_stream_is_read(&self) {
        for _ in 0..5 {
            let id = self.ask(json!([{ "type": "eventBridge" }])).await;
            self.until_ready(&id, PATIENCE).await;
            if self.is_delivered(&id, Duration::from_secs(5)).await {
                return;
            }
        }
        panic!("the stream delivers nothing");
    }

    async fn webhook_invocations(&self) -> Vec<Invocation> {
        self.emulator.invocations(&self.names["WebhookLogGroup"]).await
    }

    /// A rule on the default bus that copies our events to a queue; answers the queue's name.
    async fn listen_to_events(&self) -> String {
        let queue = "told".to_owned();
        self.emulator.aws("sqs", "AmazonSQS.CreateQueue", json!({ "QueueName": queue })).await;
        let pattern = json!({ "source": ["galileo-highlights"] }).to_string();
        let rule = json!({ "Name": "told", "EventPattern": pattern });
        self.emulator.aws("events", "AWSEvents.PutRule", rule).await;
        let targets = json!({ "Rule": "told", "Targets": [{ "Id": "told", "Arn": queue_arn(&queue) }] });
        self.emulator.aws("events", "AWSEvents.PutTargets", targets).await;
        queue
    }

    async fn queue_url(&self, queue: &str) -> Value {
        let found = self.emulator.aws("sqs", "AmazonSQS.GetQueueUrl", json!({ "QueueName": queue })).await;
        found["QueueUrl"].clone()
    }

    async fn send(&self, queue: &str, body: Value) {
        let message = json!({ "QueueUrl": self.queue_url(queue).await, "MessageBody": body.to_string() });
        self.emulator.aws("sqs", "AmazonSQS.SendMessage", message).await;
    }

    /// The one message that is in the queue, or comes soon.
    async fn receive(&self, queue: &str) -> Value {
        let query = json!({ "QueueUrl": self.queue_url(queue).await, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1 });
        let look = async || self.emulator.aws("sqs", "AmazonSQS.ReceiveMessage", query.clone()).await;
        let received = self.until(PATIENCE, look, |received| received["Messages"][0].is_object()).await;
        assert_eq!(received["Messages"].as_array().map(Vec::len), Some(1), "{received:#}");
        let body = received["Messages"][0]["Body"].as_str().expect("a body");
        serde_json::from_str(body).expect("an event in JSON")
    }

    /// The messages in a queue of the stack.
    async fn count(&self, id: &str) -> u64 {
        let query = json!({ "QueueUrl": self.names[id], "AttributeNames": ["All"] });
        let attributes = self.emulator.aws("sqs", "AmazonSQS.GetQueueAttributes", query).await;
        let number = attributes["Attributes"]["ApproximateNumberOfMessages"].as_str();
        number.and_then(|number| number.parse().ok()).expect("a number of messages")
    }

    /// The example's workflow, which asks the deployed function and waits for its task token; answers its execution.
    async fn start_workflow(&self) -> Value {
        let workflow = fs::read_to_string(project().join("examples/step-functions/highlights.asl.json"));
        let workflow = workflow
            .expect("the example")
            .replace("${RequestFunctionArn}", &self.outputs["RequestFunctionArn"]);
        let trust = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Principal": { "Service": "states.amazonaws.com" }, "Action": "sts:AssumeRole" },
        ] });
        let create = [
            ("Action", "CreateRole"),
            ("Version", IAM),
            ("RoleName", "workflow"),
            ("AssumeRolePolicyDocument", &trust.to_string()),
        ];
        self.emulator.query("iam", &create).await;
        self.allow("workflow", "lambda:InvokeFunction", json!(self.outputs["RequestFunctionArn"])).await;
        let create = json!({ "name": "highlights", "definition": workflow,
            "roleArn": "arn:aws:iam::000000000000:role/workflow" });
        let machine = self.emulator.aws("states", "AWSStepFunctions.CreateStateMachine", create).await;
        let start = json!({ "stateMachineArn": machine["stateMachineArn"],
            "input": json!({ "userEmail": "alice@example.com" }).to_string() });
        self.emulator.aws("states", "AWSStepFunctions.StartExecution", start).await["executionArn"].take()
    }

    async fn until_workflow_ends(&self, execution: &Value) -> Value {
        let query = json!({ "executionArn": execution });
        let look =
            async || self.emulator.aws("states", "AWSStepFunctions.DescribeExecution", query.clone()).await;
        self.until(PATIENCE, look, |seen| seen["status"] != "RUNNING").await
    }

    /// The filter let through one record of the request, whose writes by then are all looked at: a later request's
    /// outcome was handed over, and the stream is read in its order.
    async fn assert_filtered(&self, id: &str) {
        let later = self.ask(json!([{ "type": "eventBridge" }])).await;
        self.until_delivered(&later, PATIENCE).await;

        let query = json!({ "TableName": self.outputs["TableName"] });
        let table = self.emulator.aws("dynamodb", "DynamoDB_20120810.DescribeTable", query).await;
        let arn = table["Table"]["LatestStreamArn"].as_str().expect("a stream");
        let records = self.emulator.stream_records(arn).await;
        let of_it: Vec<&Value> =
            records.iter().filter(|record| record["dynamodb"]["Keys"]["requestID"]["S"] == id).collect();
        let statuses: Vec<&Value> =
            of_it.iter().map(|record| &record["dynamodb"]["NewImage"]["status"]["S"]).collect();
        // It is put, LogRocket's id is written down, the outcome is, the deliveries are claimed, and each is marked.
        assert_eq!(
            statuses,
            ["PENDING", "PENDING", "READY", "READY", "READY", "READY", "READY"],
            "{of_it:#?}"
        );
        let passing = |record: &&&Value| {
            let image = &record["dynamodb"]["NewImage"];
            image["streamHint"]["S"] == "webhook" && image["webhookShard"].is_object()
        };
        let passed: Vec<_> = of_it.iter().filter(passing).collect();
        assert_eq!(passed.len(), 1, "{passed:#?}");

        // Whatever else invoked webhook λ was a callback or a sweep; and it was handed no record besides.
        let invocations = self.webhook_invocations().await;
        let by_stream: Vec<&Invocation> = invocations
            .iter()
            .filter(|each| {
                !each.is_sweep() && !each.says("callback") && !each.says("callback without a valid token")
            })
            .collect();
        let idle: Vec<_> = by_stream.iter().filter(|each| !each.says("deliveries claimed")).collect();
        assert!(idle.is_empty(), "invoked for nothing: {idle:#?}");
        let delivering = by_stream.iter().filter(|each| each.says_of(id, "delivered")).count();
        assert_eq!(delivering, 1, "the stream delivered it: {by_stream:#?}");
        let claims: usize = by_stream.iter().map(|each| each.count("deliveries claimed")).sum();
        assert_eq!(self.emulator.handed_over(), claims, "{}", self.emulator.output());
    }

    /// Stops webhook λ's schedule, or has it go on.
    async fn set_schedule(&self, state: &str) {
        let path = format!("/schedules/{}", self.names["WebhookFunctionSweep"]);
        let mut schedule = self.emulator.rest("scheduler", Method::GET, &path, None).await;
        schedule["State"] = json!(state);
        self.emulator.rest("scheduler", Method::PUT, &path, Some(schedule)).await;
        let schedule = self.emulator.rest("scheduler", Method::GET, &path, None).await;
        assert_eq!(schedule["State"], state, "{schedule}");
    }

    async fn disconnect_stream(&self) {
        let path = format!("/2015-03-31/event-source-mappings/{}", self.names["DeliveryMapping"]);
        self.emulator.rest("lambda", Method::PUT, &path, Some(json!({ "Enabled": false }))).await;
        let look = async || self.emulator.rest("lambda", Method::GET, &path, None).await;
        let mapping = self.until(PATIENCE, look, |mapping| mapping["State"] == "Disabled").await;
        assert_eq!(mapping["State"], "Disabled", "{mapping}");
    }

    /// As though the three minutes were over for which a callback is waited: the deployed functions keep the
    /// environment that the template gives them, and that has no variable for this.
    async fn bring_poll_forward(&self, id: &str) {
        let update = json!({
            "TableName": self.outputs["TableName"], "Key": { "requestID": { "S": id } },
            "UpdateExpression": "SET requestDueAt = :now, attempts.#first.nextAt = :now",
            "ConditionExpression": "attribute_exists(requestDueAt) AND attribute_exists(attempts.#first.nextAt)",
            "ExpressionAttributeNames": { "#first": "1" },
            "ExpressionAttributeValues": { ":now": { "N": "1" } },
        });
        self.emulator.aws("dynamodb", "DynamoDB_20120810.UpdateItem", update).await;
    }

    async fn delete(&self) {
        self.emulator.sam(&["delete", "--stack-name", STACK, "--no-prompts"]).await;
        let table = json!({ "TableName": self.outputs["TableName"], "Select": "COUNT" });
        let kept = self.emulator.aws("dynamodb", "DynamoDB_20120810.Scan", table).await;
        assert!(kept["Count"].as_u64().is_some_and(|count| count > 0), "the table's items are kept: {kept}");
        let functions = self.emulator.rest("lambda", Method::GET, "/2015-03-31/functions", None).await;
        assert_eq!(functions["Functions"], json!([]), "no function is left");
    }
}

/// As people do who have what `make deploy` asks for.
async fn deploy(emulator: &Emulator, parameters: &[String]) {
    let config = project().join("samconfig.toml");
    let config = config.to_str().expect("a readable path");
    let mut arguments = vec!["deploy", "--config-file", config, "--template-file", BUILT];
    arguments.extend(["--no-confirm-changeset", "--parameter-overrides"]);
    arguments.extend(parameters.iter().map(String::as_str));
    emulator.sam(&arguments).await;
}

fn about_the_stack(action: &str) -> [(&str, &str); 3] {
    [("Action", action), ("StackName", STACK), ("Version", "2010-05-15")]
}

fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
}

/// What stands in one element of XML, by what stands in another beside it, for each member of a list.
fn members(xml: &str, key: &str, value: &str) -> BTreeMap<String, String> {
    let text = |part: &str, name: &str| {
        let (_, rest) = part.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(text.to_owned())
    };
    let parts = xml.split("<member>").filter_map(|part| Some((text(part, key)?, text(part, value)?)));
    parts.collect()
}
