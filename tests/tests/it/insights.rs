//! The queries for CloudWatch Logs Insights, run over what the real functions print.
//!
//! The interpreter knows what the queries use and stops at all else: `fields`, `filter` (`=`, `in`, `and`), `stats`
//! (`count(*)`, `max`, `pct`, `by`), `sort` by one field, `limit`. Fields are found as Logs Insights finds them in JSON: by
//! their path, with dots, arrays by number.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html>

use local::destinations::{Behaviour as Reaction, Kind};
use local::logrocket::{Behaviour, Outcome};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use stories::{World, project};

/// As `queries/one-request.txt` has it, to be replaced by the one that is looked for.
const ID: &str = "116d4673-8cbf-502f-9bce-5a6d15858b5c";

#[tokio::test]
async fn one_requests_life_is_told_in_its_order() {
    let world = World::start().await;
    // 1. Not taken at once; taken by a sweep, told by a callback, delivered at the second try. Another one beside it.
    world.log_rocket.next(Behaviour::status(429));
    let id = world.ask(json!({ "userID": "1", "webhookURL": world.hook("crm") })).await;
    world.log_rocket.next(Behaviour::manual());
    world.ask(json!({ "userID": "2" })).await;
    world.log_rocket.next(Behaviour::manual());
    while world.attempts_posted(&id).len() < 2 {
        world.sweep().await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    world.destinations.next(Kind::Webhook, Reaction::status(503));
    world.sweep_deliveries().await;
    world.redeliver(&id).await;
    world.sweep_until_delivered(&id).await;

    // 2. Each decision once, in its order, with its invocation.
    let query = query("one-request");
    assert!(query.contains(ID));
    let rows = told(&world, &query.replace(ID, &id), 11).await;
    let messages: Vec<&str> = rows.iter().map(|row| row["message"].as_str().unwrap()).collect();
    assert_eq!(
        messages,
        [
            "asked",
            "LogRocket did not take it; it is tried again later",
            "claimed",
            "the next attempt",
            "LogRocket took it",
            "callback",
            "deliveries claimed",
            "postponed",
            "redeliver",
            "deliveries claimed",
            "delivered",
        ]
    );
    for row in &rows {
        assert_eq!(row["spans.0.lambdaRequestID"].as_str().map(str::len), Some(36), "{row:?}");
    }
    assert_eq!((&rows[5]["receipt"], &rows[5]["status"]), (&json!("stored"), &json!("READY")));
    assert_eq!((&rows[7]["destination"], &rows[7]["delivery"]), (&json!("webhook"), &json!("0-result")));
    assert!(rows[7]["error"].as_str().unwrap().contains("503"), "{:?}", rows[7]);
}

#[tokio::test]
async fn what_was_given_up_is_told_by_destination_and_reason() {
    let world = World::start().await;
    // 1. Two are gone, one has another reason, one is delivered.
    for status in [410, 410, 403] {
        world.destinations.next(Kind::Webhook, Reaction::status(status));
    }
    for _ in 0..4 {
        world.log_rocket.next(Behaviour::manual());
        let id = world.ask(json!({ "userID": "1", "webhookURL": world.hook("crm") })).await;
        assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
        world.sweep_until_delivered(&id).await;
    }

    // 2. The most frequent comes first.
    let rows = told(&world, &query("given-up"), 2).await;
    let told: Vec<(&Value, &Value)> =
        rows.iter().map(|row| (&row["destination"], &row["deliveries"])).collect();
    assert_eq!(told, [(&json!("webhook"), &json!(2.0)), (&json!("webhook"), &json!(1.0))]);
    assert!(rows[0]["error"].as_str().unwrap().contains("410"), "{rows:?}");
    assert!(rows[1]["error"].as_str().unwrap().contains("403"), "{rows:?}");
    assert!(rows[0]["latest"].is_string(), "{rows:?}");
}

#[tokio::test]
async fn the_time_to_ready_is_told_by_what_brought_the_result() {
    let world = World::start().await;
    let mut took = Vec::new();
    for _ in 0..3 {
        let id = world.ask(json!({ "userID": "1" })).await;
        world.wait_for(&id, "READY").await;
        let item = world.item(&id);
        took.push(item["completedAt"].as_f64().unwrap() - item["createdAt"].as_f64().unwrap());
    }
    world.log_rocket.next(Behaviour::lost());
    let id = world.ask(json!({ "userID": "1" })).await;
    world.sweep_until(&id, "READY").await;

    let rows = told(&world, &query("time-to-ready"), 2).await;
    let by = |message: &str| rows.iter().find(|row| row["message"] == message).unwrap();
    assert_eq!(
        (rows.len(), &by("callback")["requests"], &by("polled")["requests"]),
        (2, &json!(3.0), &json!(1.0))
    );
    // A poll begins a second after the POST.
    assert!(by("polled")["p50"].as_f64().unwrap() >= 1_000.0, "{rows:?}");
    let number = |name: &str| by("callback")[name].as_f64().unwrap();
    assert!(number("p50") <= number("p95") && number("p95") <= number("slowest"), "{rows:?}");
    let slowest = took.into_iter().fold(0.0, f64::max);
    assert!(number("slowest") >= slowest, "{rows:?}, not {slowest}");
}

fn query(name: &str) -> String {
    std::fs::read_to_string(project().join("queries").join(format!("{name}.txt"))).unwrap()
}

/// Runs a query until it finds so much: what a function prints is read a moment later.
async fn told(world: &World, query: &str, rows: usize) -> Vec<Row> {
    for _ in 0..100 {
        if run(query, &world.lines()).len() >= rows {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    run(query, &world.lines())
}

type Row = BTreeMap<String, Value>;

/// Runs a query of the subset over the lines of a log.
fn run(query: &str, lines: &[Value]) -> Vec<Row> {
    let mut rows: Vec<Row> = lines.iter().map(discovered).collect();
    let mut shown: Option<Vec<String>> = None;
    for command in query.split('|').map(str::trim) {
        let (verb, rest) = command.split_once(char::is_whitespace).unwrap();
        match verb {
            "fields" => shown = Some(split(rest).iter().map(|name| field(name)).collect()),
            "filter" => {
                let terms: Vec<&str> = rest.split(" and ").collect();
                rows.retain(|row| terms.iter().all(|term| holds(term, row)));
            }
            "stats" => rows = stats(rest, &rows),
            "sort" => {
                let (name, order) = rest.split_once(' ').unwrap();
                let name = field(name);
                rows.sort_by(|a, b| match order {
                    "asc" => compare(a.get(&name), b.get(&name)),
                    "desc" => compare(b.get(&name), a.get(&name)),
                    other => panic!("{other} is not in the subset"),
                });
            }
            "limit" => rows.truncate(rest.parse().unwrap()),
            other => panic!("{other} is not in the subset"),
        }
    }
    let Some(shown) = shown else { return rows };
    // A field that an event does not have is blank.
    let show = |row: &Row| {
        shown.iter().map(|name| (name.clone(), row.get(name).cloned().unwrap_or_default())).collect()
    };
    rows.iter().map(show).collect()
}

/// The fields of an event: of JSON at most 200, by their path.
fn discovered(line: &Value) -> Row {
    fn flatten(value: &Value, path: &str, row: &mut Row) {
        let within = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| flatten(value, &within(name), row))
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(index, value)| flatten(value, &within(&index.to_string()), row));
            }
            scalar => {
                row.insert(path.to_owned(), scalar.clone());
            }
        }
    }
    let mut row = Row::new();
    flatten(line, "", &mut row);
    assert!(row.len() <= 200, "{line}");
    if let Some(timestamp) = line.get("timestamp") {
        row.insert("@timestamp".to_owned(), timestamp.clone());
    }
    row.insert("@message".to_owned(), json!(line.to_string()));
    row
}

/// A field's name as it may stand without backticks.
fn field(text: &str) -> String {
    let text = text.trim();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "@._".contains(letter);
    assert!(!text.is_empty() && text.chars().all(plain), "{text} is not in the subset");
    text.to_owned()
}

/// At the commas outside of brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn holds(term: &str, row: &Row) -> bool {
    let literal = |text: &str| {
        serde_json::from_str::<Value>(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    if let Some((name, list)) = term.split_once(" in ") {
        let list = literal(list);
        return row.get(&field(name)).is_some_and(|value| list.as_array().unwrap().contains(value));
    }
    let (name, value) = term.split_once(" = ").unwrap_or_else(|| panic!("{term} is not in the subset"));
    row.get(&field(name)) == Some(&literal(value))
}

fn stats(text: &str, rows: &[Row]) -> Vec<Row> {
    let (aggregates, by) = text.split_once(" by ").unwrap();
    let by: Vec<String> = split(by).iter().map(|name| field(name)).collect();
    let mut groups: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let key = by.iter().map(|name| row.get(name).map(Value::to_string).unwrap_or_default()).collect();
        groups.entry(key).or_default().push(row);
    }
    let aggregated = |group: Vec<&Row>| {
        let of = |name: &String| (name.clone(), group[0].get(name).cloned().unwrap_or_default());
        let mut answer: Row = by.iter().map(of).collect();
        for aggregate in split(aggregates) {
            let (call, alias) = aggregate.split_once(" as ").unwrap();
            let (function, arguments) = call.trim_end_matches(')').split_once('(').unwrap();
            answer.insert(field(alias), aggregate_of(function, &split(arguments), &group));
        }
        answer
    };
    groups.into_values().map(aggregated).collect()
}

fn aggregate_of(function: &str, arguments: &[&str], group: &[&Row]) -> Value {
    let mut values: Vec<&Value> = group.iter().filter_map(|row| row.get(arguments[0])).collect();
    values.sort_by(|a, b| compare(Some(a), Some(b)));
    match function {
        "count" => {
            assert_eq!(arguments, ["*"], "not in the subset");
            json!(f64::from(u32::try_from(group.len()).unwrap()))
        }
        "max" => values.last().map_or(Value::Null, |value| (*value).clone()),
        "pct" => {
            let percent: usize = arguments[1].parse().unwrap();
            let rank = (values.len() * percent).div_ceil(100);
            values[rank.max(1) - 1].clone()
        }
        other => panic!("{other} is not in the subset"),
    }
}

/// Numbers by size, texts by letter, what is missing first.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().unwrap().total_cmp(&b.as_f64().unwrap())
        }
        (a, b) => a.and_then(Value::as_str).cmp(&b.and_then(Value::as_str)),
    }
}
