//! The examples for AWS: clients of Lambda's `Invoke`, sources of events, and what may stand before request λ. What AWS
//! would do with each is done here, and the two functions are the real ones.

use crate::examples::{ALICE, CHANNEL, example, messages, path, printed_by, transformed};
use crate::openapi::tool;
use local::destinations::Kind;
use local::gateway::HttpCall;
use local::lambda::InvokeApi;
use local::logrocket::Behaviour;
use local::proxy::{Fault, Match};
use local::stream::Filter;
use local::template::Template;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use stories::{API_TOKEN, Answer, BEARER, World, project};

// --- clients ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_aws_cli_prints_highlights() {
    // Looked for in the PATH, as on a reader's machine.
    let beside = PathBuf::from(tool("aws").get_program());
    let folders = [beside.parent().unwrap(), Path::new("/usr/bin"), Path::new("/bin")];
    let folders = std::env::join_paths(folders).unwrap();
    let client = || {
        let mut command = Command::new("sh");
        command.arg(path("clients/highlights.sh")).env("PATH", &folders);
        command
    };
    a_client_asks_waits_and_prints(&client, "").await;

    // A shell writes its JSON by hand.
    let mut forged = client();
    forged.envs([("API", "http://127.0.0.1:9"), ("TOKEN", "hush"), ("FUNCTION", "request")]);
    forged.args(["1", "a\",\"maxAge\":\"1"]);
    assert!(printed_by(forged, "").await.unwrap_err().contains("a quote or backslash"));
}

#[tokio::test]
async fn boto3_prints_highlights() {
    let client = || {
        let mut command = tool("python");
        command.arg(path("clients/highlights.py"));
        command
    };
    a_client_asks_waits_and_prints(&client, "").await;
}

/// It is read from standard input, for then Node looks for the SDK in the working directory.
#[tokio::test]
async fn the_node_sdk_prints_highlights() {
    let folder = project().join(".tools/node");
    if !folder.join("node_modules/@aws-sdk/client-lambda").exists() {
        let npm = Command::new("npm").arg("--version").stdout(Stdio::null()).status();
        assert!(npm.is_err(), "the SDK is not in {}: make tools", folder.display());
        eprintln!("NOT TESTED: there is no npm here");
        return;
    }
    let client = || {
        let mut command = Command::new("node");
        command.args(["--input-type=module", "-"]).current_dir(&folder);
        command
    };
    a_client_asks_waits_and_prints(&client, &example("clients/highlights.mjs")).await;
}

async fn a_client_asks_waits_and_prints(client: &(dyn Fn() -> Command + Sync), input: &str) {
    let world = World::with(&[("MAX_ATTEMPTS", "1"), ("MONTHLY_REQUEST_LIMIT", "3")]).await;
    let lambda = InvokeApi::start([world.request.clone(), world.webhook.clone()]).await.unwrap();
    let run = async |changes: &[(&str, &str)], args: &[&str]| {
        let mut command = client();
        for name in
            ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "AWS_PROFILE", "AWS_ENDPOINT_URL"]
        {
            command.env_remove(name);
        }
        command.envs([
            ("API", world.gateway.url().as_str()),
            ("TOKEN", API_TOKEN),
            ("FUNCTION", world.request.name()),
            ("EVERY", "1"),
            ("PATIENCE", "20"),
            ("AWS_ENDPOINT_URL_LAMBDA", &lambda.url()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_MAX_ATTEMPTS", "1"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            // The SDK tells which Node it will want next year.
            ("NODE_NO_WARNINGS", "1"),
            ("no_proxy", "127.0.0.1"),
        ]);
        command.envs(changes.iter().copied()).args(args);
        printed_by(command, input).await
    };

    // 1. It asks, looks until they are there, and prints them; once more, and LogRocket hears nothing of it.
    let printed = run(&[], &["35436", ALICE]).await.unwrap();
    let posts = world.log_rocket.posts();
    let id = posts[0].webhook_url().unwrap().split("request=").nth(1).unwrap()[..36].to_owned();
    let markdown = [("authorization", BEARER), ("accept", "text/markdown")];
    let markdown = world.call(Method::GET, &format!("/highlights/{id}"), &markdown, Value::Null).await;
    assert_eq!((markdown.status, printed.trim_end()), (StatusCode::OK, markdown.text.trim_end()));
    let request = world.read(&id).await;
    assert_eq!((&request["userEmail"], &request["status"]), (&json!(ALICE), &json!("READY")));
    assert_eq!(request["question"], "What went wrong for this user?");
    assert_eq!(run(&[], &["35436", ALICE]).await.unwrap(), printed);
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 2. What the function refuses, and how a request may end, is told by its name.
    let longest = format!("{}@example.com", "a".repeat(1100));
    let refused = run(&[], &["35437", &longest]).await.unwrap_err();
    assert!(refused.starts_with("InvalidRequest: ") && refused.contains("userEmail"), "{refused}");
    world.log_rocket.next(Behaviour::status(401));
    let refused = run(&[], &["35438", ALICE]).await.unwrap_err();
    assert!(refused.starts_with("LogRocketRefused: "), "{refused}");
    world.log_rocket.next(Behaviour::failed());
    let failed = run(&[], &["35439", ALICE]).await.unwrap_err();
    assert!(failed.starts_with("FAILED: "), "{failed}");

    // 3. It waits no longer than it may: for what is under way, and for a table that is down.
    world.log_rocket.next(Behaviour::manual());
    let waited = run(&[("PATIENCE", "1")], &["35440", ALICE]).await.unwrap_err();
    assert!(waited.starts_with("still PENDING: "), "{waited}");
    let over = run(&[], &["35441", ALICE]).await.unwrap_err();
    assert!(over.starts_with("OverBudget: "), "{over}");
    world.table_calls.on(Match::any(), Fault::throttled());
    let waited = run(&[("PATIENCE", "0")], &["35436", ALICE]).await.unwrap_err();
    assert!(waited.starts_with("still Unavailable: "), "{waited}");
    world.table_calls.clear();
    assert_eq!(run(&[], &["35436", ALICE]).await.unwrap(), printed);

    // 4. What is missing is named.
    for name in ["API", "TOKEN", "FUNCTION"] {
        let missing = run(&[(name, "")], &["35436", ALICE]).await.unwrap_err();
        assert!(missing.contains(name) && missing.contains("is not set"), "{missing}");
    }
    assert!(run(&[], &["35436"]).await.unwrap_err().contains("EMAIL"));
    let unknown = run(&[("FUNCTION", "another")], &["35436", ALICE]).await.unwrap_err();
    assert!(unknown.contains("ResourceNotFoundException"), "{unknown}");
    let refused = run(&[("TOKEN", "wrong")], &["35436", ALICE]).await.unwrap_err();
    assert!(refused.contains("401"), "{refused}");
    let nobody = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let nobody = run(&nobody, &["35436", ALICE]).await.unwrap_err();
    assert!(nobody.to_lowercase().contains("credentials"), "{nobody}");
    let silent = run(&[("API", "http://127.0.0.1:9")], &["35436", ALICE]).await.unwrap_err();
    for told in [refused, nobody, unknown, silent] {
        assert!(!told.contains("Traceback") && !told.contains("    at "), "{told}");
    }
}

// --- sources ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_rule_asks_for_each_low_score_once() {
    let world = World::delivering(&[]).await;
    let template = Template::read(&path("sources/rule.yaml")).unwrap();
    let rule = template.resources("AWS::Events::Rule").next().unwrap();
    let pattern = Filter::parse(&rule.properties["EventPattern"].to_string()).unwrap();
    let target = &rule.properties["Targets"][0];
    assert_eq!(target["Arn"], json!({ "Ref": "RequestFunctionArn" }));
    may_invoke(&template, "events.amazonaws.com");
    let event = |id: &str, score: u32, email: &str| {
        json!({
            "id": id, "source": "com.example.survey", "detail-type": "NPS Response Received",
            "detail": { "score": score, "email": email },
        })
    };

    // 1. It takes low scores that somebody gave, and nothing else.
    let low = event("6a7e8feb", 3, ALICE);
    assert!(pattern.matches(&low));
    let nobody =
        json!({ "source": low["source"], "detail-type": low["detail-type"], "detail": { "score": 3 } });
    let other = json!({ "source": "other", "detail-type": low["detail-type"], "detail": low["detail"] });
    for other in [event("1", 7, ALICE), event("1", 9, ALICE), nobody, other] {
        assert!(!pattern.matches(&other), "{other}");
    }

    // 2. EventBridge sends the event twice, and LogRocket is asked once.
    let body: Value = serde_json::from_str(&transformed(&target["InputTransformer"], &low)).unwrap();
    let ids = [(); 2].map(|()| world.invoke(body.clone()));
    let mut told = BTreeSet::new();
    for id in ids {
        told.insert(id.await.unwrap()["requestID"].as_str().unwrap().to_owned());
    }
    assert_eq!((told.len(), world.log_rocket.posts().len()), (1, 1));
    let id = told.pop_first().unwrap();
    world.wait_for_deliveries(&id).await;
    let message = &messages(&world, Kind::Slack, 1).await[0];
    assert!(message.place.contains(CHANNEL) && message.text.contains("gave us 3 of 10"), "{message:?}");
    let request = world.read(&id).await;
    assert_eq!((&request["userEmail"], &request["metadata"]), (&json!(ALICE), &json!({ "nps": "3" })));

    // 3. What a stranger wrote is an address or none, and nothing of the body's.
    let forged = event("2", 1, "a\",\"maxAge\":1,\"userID\":\"b");
    let body: Value = serde_json::from_str(&transformed(&target["InputTransformer"], &forged)).unwrap();
    assert_eq!(body["userEmail"], forged["detail"]["email"]);
    assert!(body.get("maxAge").is_none() && body.get("userID").is_none());
}

#[tokio::test]
async fn a_schedule_asks_once_each_time() {
    let world = World::start().await;
    let template = Template::read(&path("sources/schedules.yaml")).unwrap();
    let role = template.resources("AWS::IAM::Role").next().unwrap().properties;
    assert_eq!(
        role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"],
        "scheduler.amazonaws.com"
    );
    let statement = &role["Policies"][0]["PolicyDocument"]["Statement"][0];
    let invoking = [&statement["Action"], &statement["Resource"]];
    assert_eq!(invoking, [&json!("lambda:InvokeFunction"), &json!({ "Ref": "RequestFunctionArn" })]);

    let schedules: Vec<_> = template.resources("AWS::Scheduler::Schedule").collect();
    let kinds = schedules.iter().map(|each| each.properties["ScheduleExpression"].as_str().unwrap());
    let kinds: BTreeSet<_> = kinds.map(|kind| kind.split('(').next().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["at", "cron"]));
    let mut ids = BTreeSet::new();
    for schedule in &schedules {
        let target = &schedule.properties["Target"];
        assert_eq!(target["Arn"], json!({ "Ref": "RequestFunctionArn" }), "{}", schedule.id);
        assert_eq!(target["RoleArn"], json!({ "Fn::GetAtt": "ScheduleRole.Arn" }), "{}", schedule.id);
        // The same time comes twice, then another.
        for time in ["2026-11-30T06:00:00Z", "2026-11-30T06:00:00Z", "2026-12-07T06:00:00Z"] {
            let input = target["Input"].as_str().unwrap().replace("<aws.scheduler.scheduled-time>", time);
            assert!(!input.contains('<'), "{input}");
            let answer = world.invoke(serde_json::from_str(&input).unwrap()).await.unwrap();
            ids.insert(answer["requestID"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!((ids.len(), world.log_rocket.posts().len()), (4, 4));
    for id in ids {
        let deliveries = world.wait_for(&id, "READY").await["deliveries"].take();
        assert_eq!(deliveries.as_array().map(Vec::len), Some(1), "{deliveries}");
    }
}

#[tokio::test]
async fn a_topic_asks_by_the_messages_that_want_it() {
    let world = World::start().await;
    let template = Template::read(&path("sources/sns.yaml")).unwrap();
    let subscription = template.resources("AWS::SNS::Subscription").next().unwrap().properties;
    let told = ["Protocol", "Endpoint", "FilterPolicyScope"].map(|name| &subscription[name]);
    let expected = [json!("lambda"), json!({ "Ref": "RequestFunctionArn" }), json!("MessageAttributes")];
    assert_eq!(told, expected.each_ref());
    may_invoke(&template, "sns.amazonaws.com");
    // What SNS cannot hand over goes to a queue that it may write to.
    let queue = json!({ "Fn::GetAtt": "Undelivered.Arn" });
    assert_eq!(subscription["RedrivePolicy"]["deadLetterTargetArn"], queue);
    let policy = template.resources("AWS::SQS::QueuePolicy").next().unwrap().properties;
    let statement = &policy["PolicyDocument"]["Statement"][0];
    assert_eq!((&statement["Action"], &statement["Resource"]), (&json!("sqs:SendMessage"), &queue));
    let filter = Filter::parse(&subscription["FilterPolicy"].to_string()).unwrap();

    let body = json!({ "userEmail": ALICE, "question": "What went wrong?" }).to_string();
    for (wants, message, error) in [
        ("highlights", body.as_str(), None),
        ("mail", "Dear all", None),
        ("highlights", "Dear all", Some("InvalidRequest")),
    ] {
        if !filter.matches(&json!({ "wants": wants })) {
            assert_eq!(wants, "mail");
            continue;
        }
        let mut event = sample("request-sns.json");
        event["Records"][0]["Sns"]["Message"] = json!(message);
        event["Records"][0]["Sns"]["MessageAttributes"] =
            json!({ "wants": { "Type": "String", "Value": wants } });
        match (world.invoke(event).await, error) {
            (Ok(answer), None) => {
                let request = world.wait_for(answer[0]["requestID"].as_str().unwrap(), "READY").await;
                assert_eq!(request["userEmail"], ALICE);
            }
            (Err(refused), Some(error)) => assert_eq!(refused.error_type, error),
            (answer, _) => panic!("{message}: {answer:?}"),
        }
    }
    assert_eq!(world.log_rocket.posts().len(), 1);
}

#[tokio::test]
async fn a_queue_outlasts_an_outage_and_puts_aside_what_is_no_request() {
    let world = World::start().await;
    let template = Template::read(&path("sources/sqs.yaml")).unwrap();
    let queues: Vec<_> = template.resources("AWS::SQS::Queue").collect();
    let queue = queues.iter().find(|queue| queue.id == "Requests").unwrap().properties;
    assert_eq!(
        template.root()["Outputs"]["SourceQueueArn"]["Value"],
        json!({ "Fn::GetAtt": "Requests.Arn" })
    );
    // The stack that maps it asks that of it.
    let stack = Template::read(&project().join("template.yaml")).unwrap();
    let mapping =
        stack.resources("AWS::Lambda::EventSourceMapping").find(|each| each.id == "SourceQueueMapping");
    assert_eq!(mapping.unwrap().properties["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
    let functions: Vec<_> = stack.resources("AWS::Serverless::Function").collect();
    let request = functions.iter().find(|function| function.id == "RequestFunction").unwrap();
    let timeout = request.properties["Timeout"].as_u64().unwrap();
    assert!(queue["VisibilityTimeout"].as_u64().unwrap() >= 6 * timeout);
    let most = queue["RedrivePolicy"]["maxReceiveCount"].as_u64().unwrap();
    assert_eq!(queue["RedrivePolicy"]["deadLetterTargetArn"], json!({ "Fn::GetAtt": "Refused.Arn" }));

    // Two messages, one of them no request. The table is down when they are received first.
    let mut event = sample("request-sqs.json");
    let messages = event["Records"].as_array_mut().unwrap();
    messages[0]["body"] = json!({ "userID": "user-4713" }).to_string().into();
    messages[1]["body"] = "Dear all".into();
    let bad = messages[1]["messageId"].clone();
    let mut lefts = Vec::new();
    world.table_calls.on(Match::any(), Fault::throttled());
    for _ in 0..most {
        let answer = world.invoke(event.clone()).await.unwrap();
        let failures: Vec<Value> = answer["batchItemFailures"].as_array().unwrap().clone();
        let failed = |message: &Value| failures.contains(&json!({ "itemIdentifier": message["messageId"] }));
        event["Records"].as_array_mut().unwrap().retain(failed);
        lefts.push(event["Records"].as_array().unwrap().len());
        world.table_calls.clear();
    }
    assert_eq!(lefts, [2, 1, 1, 1, 1]);
    assert_eq!(event["Records"][0]["messageId"], bad);
    let list = world.get("/highlights?userID=user-4713").await.json();
    assert_eq!(list["requests"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.log_rocket.posts().len(), 1);
}

/// That the template lets this service invoke request λ, for one source.
fn may_invoke(template: &Template, principal: &str) {
    let permissions: Vec<_> = template.resources("AWS::Lambda::Permission").collect();
    let permission =
        permissions.iter().find(|each| each.properties["Principal"] == principal).unwrap().properties;
    assert_eq!(permission["FunctionName"], json!({ "Ref": "RequestFunctionArn" }));
    assert_eq!(permission["Action"], "lambda:InvokeFunction");
    assert!(permission["SourceArn"].is_object(), "any account's {principal} may invoke it");
}

fn sample(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(project().join("events").join(name)).unwrap()).unwrap()
}

// --- fronts -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_rest_api_passes_everything_on() {
    let template = Template::read(&path("fronts/rest-api.yaml")).unwrap();
    may_invoke(&template, "apigateway.amazonaws.com");
    let resource = template.resources("AWS::ApiGateway::Resource").next().unwrap().properties;
    let method = template.resources("AWS::ApiGateway::Method").next().unwrap().properties;
    let integration = &method["Integration"];
    assert_eq!((&resource["PathPart"], &method["HttpMethod"]), (&json!("{proxy+}"), &json!("ANY")));
    assert_eq!(
        (&integration["Type"], &integration["IntegrationHttpMethod"]),
        (&json!("AWS_PROXY"), &json!("POST"))
    );
    the_api_is_whole_behind(&HttpCall::rest_api_event, "multiValueHeaders").await;

    // With AWS_IAM, the gateway names the principal.
    let world = World::with(&[("API_AUTH", "iam")]).await;
    let mut event =
        HttpCall::new(Method::POST, "/highlights").json(&json!({ "userEmail": ALICE })).rest_api_event();
    Answer::of_event(&world.invoke(event.clone()).await.unwrap()).problem(401);
    event["requestContext"]["identity"]["userArn"] = json!("arn:aws:iam::123456789012:user/support-tool");
    assert_eq!(Answer::of_event(&world.invoke(event).await.unwrap()).status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_function_url_passes_everything_on() {
    let template = Template::read(&path("fronts/function-url.yaml")).unwrap();
    let permissions: Vec<_> =
        template.resources("AWS::Lambda::Permission").map(|each| each.properties).collect();
    // Anybody, but by the URL alone.
    let of = |action: &str| permissions.iter().find(|each| each["Action"] == action).unwrap();
    assert_eq!(of("lambda:InvokeFunctionUrl")["FunctionUrlAuthType"], "NONE");
    assert_eq!(of("lambda:InvokeFunction")["InvokedViaFunctionUrl"], true);
    assert!(permissions.iter().all(|each| each["FunctionName"] == json!({ "Ref": "RequestFunctionArn" })));
    the_api_is_whole_behind(&HttpCall::function_url_event, "headers").await;

    let world = World::with(&[("API_AUTH", "iam")]).await;
    let body = json!({ "userEmail": ALICE });
    let mut event = HttpCall::new(Method::POST, "/highlights").json(&body).function_url_event();
    Answer::of_event(&world.invoke(event.clone()).await.unwrap()).problem(401);
    let principal = json!({ "iam": { "userArn": "arn:aws:iam::123456789012:user/support-tool" } });
    event["requestContext"]["authorizer"] = principal;
    assert_eq!(Answer::of_event(&world.invoke(event).await.unwrap()).status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_load_balancer_passes_everything_on() {
    let template = Template::read(&path("fronts/alb.yaml")).unwrap();
    may_invoke(&template, "elasticloadbalancing.amazonaws.com");
    let group = template.resources("AWS::ElasticLoadBalancingV2::TargetGroup").next().unwrap().properties;
    assert_eq!(
        (&group["TargetType"], &group["Targets"][0]["Id"]),
        (&json!("lambda"), &json!({ "Ref": "RequestFunctionArn" }))
    );
    // Its permission knows it by its name.
    let permission = template.resources("AWS::Lambda::Permission").next().unwrap().properties;
    let name = group["Name"].as_str().unwrap();
    assert!(
        permission["SourceArn"]["Fn::Sub"].as_str().unwrap().ends_with(&format!(":targetgroup/{name}/*"))
    );
    let multi = json!({ "Key": "lambda.multi_value_headers.enabled", "Value": "true" });
    assert!(group["TargetGroupAttributes"].as_array().unwrap().contains(&multi));
    let event = |call: &HttpCall| call.load_balancer_event(true);
    the_api_is_whole_behind(&event, "multiValueHeaders").await;
    // The function reads the other form, too.
    the_api_is_whole_behind(&|call| call.load_balancer_event(false), "headers").await;

    // 1. Its health check is answered as it expects, with secrets and table out of reach.
    let world = World::with(&[
        ("SECRETS_JSON", ""),
        ("SECRET_IDS", "own"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9"),
    ])
    .await;
    let agent = HeaderValue::from_static("ELB-HealthChecker/2.0");
    let check = HttpCall::new(Method::GET, group["HealthCheckPath"].as_str().unwrap());
    let check = event(&check.header(HeaderName::from_static("user-agent"), agent));
    let answer = Answer::of_event(&world.invoke(check).await.unwrap());
    assert_eq!(Some(answer.status.as_str()), group["Matcher"]["HttpCode"].as_str());
    assert!(world.table_calls.calls().is_empty());

    // 2. What comes twice is seen, and refused.
    let world = World::start().await;
    let token = HeaderValue::from_static(BEARER);
    let twice =
        HttpCall::new(Method::GET, "/highlights?userID=1&userID=2").header(AUTHORIZATION, token.clone());
    let answer = Answer::of_event(&world.invoke(event(&twice)).await.unwrap());
    assert_eq!(answer.pointers(), ["#/userID"]);
    let key = HeaderName::from_static("idempotency-key");
    let twice = HttpCall::new(Method::POST, "/highlights")
        .header(AUTHORIZATION, token)
        .header(key.clone(), HeaderValue::from_static("a"))
        .header(key, HeaderValue::from_static("b"))
        .json(&json!({ "userID": "1" }));
    Answer::of_event(&world.invoke(event(&twice)).await.unwrap()).problem(400);

    // 3. It shows no principal, so with IAM there is no way through it.
    let world = World::with(&[("API_AUTH", "iam")]).await;
    let post = HttpCall::new(Method::POST, "/highlights").json(&json!({ "userID": "1" }));
    Answer::of_event(&world.invoke(event(&post)).await.unwrap()).problem(401);
}

/// The API's whole way, each call in the form that `event` gives it. `headers` is where such a front looks for an answer's.
async fn the_api_is_whole_behind(event: &(dyn Fn(&HttpCall) -> Value + Sync), headers: &str) {
    let world = World::start().await;
    let call = async |call: HttpCall| {
        let answer = world.invoke(event(&call)).await.unwrap();
        assert_eq!(answer["isBase64Encoded"], false, "{answer}");
        // The other form is not looked at.
        let passed_on =
            json!({ "statusCode": answer["statusCode"], headers: answer[headers], "body": answer["body"] });
        Answer::of_event(&passed_on)
    };
    let with_token = |method: Method, path: &str| {
        HttpCall::new(method, path).header(AUTHORIZATION, HeaderValue::from_static(BEARER))
    };

    // 1. It is asked, twice by one key.
    let body = json!({ "userEmail": "alice+shop@example.com", "question": "Why did “Pay” fail?" });
    let key = (HeaderName::from_static("idempotency-key"), HeaderValue::from_static("ticket-35436"));
    let post = with_token(Method::POST, "/highlights").header(key.0, key.1).json(&body);
    let answer = call(post.clone()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let id = answer.json()["requestID"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/highlights/{id}"));
    assert_eq!(call(post).await.header("idempotent-replayed"), "true");
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 2. It is read, listed by an address that has to be encoded, and deleted.
    let request = world.wait_for(&id, "READY").await;
    assert_eq!(request["question"], body["question"]);
    let path = format!("/highlights/{id}");
    assert_eq!(call(with_token(Method::GET, &path)).await.json(), request);
    let accept = (HeaderName::from_static("accept"), HeaderValue::from_static("text/markdown"));
    let markdown = call(with_token(Method::GET, &path).header(accept.0, accept.1)).await;
    assert_eq!(markdown.header("content-type"), "text/markdown; charset=utf-8");
    assert!(markdown.text.contains("“Pay”"), "{}", markdown.text);
    let list =
        call(with_token(Method::GET, "/highlights?userEmail=alice%2Bshop%40example.com&limit=5")).await;
    assert_eq!(list.json()["requests"][0]["requestID"], json!(id), "{}", list.text);
    assert_eq!(call(with_token(Method::DELETE, &path)).await.status, StatusCode::NO_CONTENT);
    call(with_token(Method::GET, &path)).await.problem(404);

    // 3. What is none of the API's is refused as anywhere.
    call(HttpCall::new(Method::GET, &path)).await.problem(401);
    call(with_token(Method::GET, "/nothing")).await.problem(404);
    assert_eq!(call(with_token(Method::PUT, "/highlights")).await.header("allow"), "POST, GET");
}
