//! The embedded DynamoDB, with the table that `template.yaml` declares.
//!
//! It runs in this process and listens on a local port; the functions reach it by `AWS_ENDPOINT_URL_DYNAMODB`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dynoxide::actions::create_table::{CreateTableRequest, StreamSpecification};
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::actions::update_table::UpdateTableRequest;
use dynoxide::actions::update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest};
use dynoxide::{AttributeValue, Database, DynoxideError, ImportOptions, Item};
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::template::{self, Resource, Template};

/// The properties of `AWS::DynamoDB::Table` that `CreateTable` takes under the same name and in the same shape.
/// Those left out (backups, encryption, tags) change nothing locally.
const SHARED_PROPERTIES: [&str; 6] = [
    "AttributeDefinitions",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "ProvisionedThroughput",
];

/// A running DynamoDB that holds the template's tables. Dropping it ends it, and its data with it.
pub struct Table {
    database: Database,
    endpoint: String,
    name: String,
    key: String,
    /// Each table's name by its logical id.
    names: BTreeMap<String, String>,
    _stop: oneshot::Sender<()>,
}

/// Why there is no table, or no answer from it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The template could not be read.
    #[error("the table cannot be made from the template")]
    Template(#[from] template::Error),
    /// The template declares no `AWS::DynamoDB::Table`.
    #[error("the template declares no AWS::DynamoDB::Table")]
    NoTable,
    /// A property is none that `CreateTable` understands, or an intrinsic where a literal must stand.
    #[error("the table {id} of the template is not understood")]
    Properties {
        /// The table's logical id.
        id: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// What was to be put into it is no item in DynamoDB's JSON.
    #[error("an item is not understood")]
    Item(#[source] serde_json::Error),
    /// DynamoDB refused a call.
    #[error("DynamoDB refused {operation}")]
    Refused {
        /// The call.
        operation: &'static str,
        /// Its answer.
        source: DynoxideError,
    },
    /// No local port could be had.
    #[error("the table found no local port")]
    Listen(#[source] io::Error),
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("endpoint", &self.endpoint)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Makes every table of the template at `template_path` and serves them on a free port of 127.0.0.1.
    ///
    /// A table is named by its `TableName` where that is a literal, else by its logical id.
    pub async fn start(template_path: &Path) -> Result<Self, Error> {
        Self::from_template(&Template::read(template_path)?).await
    }

    /// The same, from a template already read.
    pub async fn from_template(template: &Template) -> Result<Self, Error> {
        let database = Database::memory().map_err(refused("to start"))?;
        let mut first = None;
        let mut names = BTreeMap::new();
        for resource in template.resources("AWS::DynamoDB::Table") {
            let created = create(&database, resource)?;
            names.insert(resource.id.to_owned(), created.0.clone());
            first.get_or_insert(created);
        }
        let (name, key) = first.ok_or(Error::NoTable)?;

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Listen)?;
        let endpoint = format!("http://{}", listener.local_addr().map_err(Error::Listen)?);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = database.clone();
        tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            // It ends when it is told to; a listener that breaks shows in every call from then on.
            let _ = dynoxide::server::serve_with_shutdown(listener, served, stopped).await;
        });
        Ok(Self { database, endpoint, name, key, names, _stop: stop })
    }

    /// `http://127.0.0.1:PORT`: what `AWS_ENDPOINT_URL_DYNAMODB` (and `…_DYNAMODB_STREAMS`) is set to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The name of the template's first table: what `TABLE_NAME` is set to.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the template's table of that logical id.
    pub fn name_of(&self, id: &str) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// The database itself, for what the methods here do not do (`put_item`, `query`, `sweep_ttl`, …).
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Every item of the first table as plain JSON, in the order of the keys.
    ///
    /// Numbers are JSON numbers, sets sorted arrays, and binary values base64 strings.
    pub fn items(&self) -> Result<Vec<Value>, Error> {
        Ok(self.scan()?.into_iter().map(plain_item).collect())
    }

    /// Every item of the first table by its key, in DynamoDB's own JSON: `{"requestID":{"S":"…"},…}`.
    pub fn items_as_sent(&self) -> Result<BTreeMap<String, Value>, Error> {
        let keyed = |item: Item| match item.get(&self.key) {
            Some(AttributeValue::S(key)) => Some((key.clone(), json!(item))),
            _ => None,
        };
        Ok(self.scan()?.into_iter().filter_map(keyed).collect())
    }

    /// Puts items of DynamoDB's own JSON into the first table, whatever stands there by their keys, a thousand at a time:
    /// a hundredth of what the calls would take. The stream does not hear of it.
    pub fn fill(&self, items: impl IntoIterator<Item = Value>) -> Result<(), Error> {
        const AT_ONCE: usize = 1_000;
        let mut items = items.into_iter();
        loop {
            let batch = items.by_ref().take(AT_ONCE).map(Item::deserialize).collect::<Result<Vec<_>, _>>();
            let batch = batch.map_err(Error::Item)?;
            if batch.is_empty() {
                return Ok(());
            }
            let imported = self.database.import_items(&self.name, batch, ImportOptions::default());
            imported.map_err(refused("an import"))?;
        }
    }

    /// Ends the first table's stream, for whoever makes many writes and reads none of it: the embedded DynamoDB looks at all
    /// of a stream's records at each write.
    pub fn end_stream(&self) -> Result<(), Error> {
        let none = StreamSpecification { stream_enabled: false, stream_view_type: None };
        let request = UpdateTableRequest {
            table_name: self.name.clone(),
            stream_specification: Some(none),
            ..UpdateTableRequest::default()
        };
        self.database.update_table(request).map_err(refused("UpdateTable"))?;
        Ok(())
    }

    /// Shows every item of the first table as plain JSON, one after the other: more of them than memory holds.
    pub fn each(&self, mut show: impl FnMut(Value)) -> Result<(), Error> {
        self.pages(|page| page.into_iter().map(plain_item).for_each(&mut show))
    }

    fn scan(&self) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        self.pages(|page| items.extend(page))?;
        Ok(items)
    }

    fn pages(&self, mut show: impl FnMut(Vec<Item>)) -> Result<(), Error> {
        let mut from = None;
        loop {
            let page = self
                .database
                .scan(ScanRequest {
                    table_name: self.name.clone(),
                    exclusive_start_key: from,
                    ..ScanRequest::default()
                })
                .map_err(refused("Scan"))?;
            show(page.items.unwrap_or_default());
            match page.last_evaluated_key {
                Some(key) => from = Some(key),
                None => return Ok(()),
            }
        }
    }

    /// The first table's item of that partition key, as [`Table::items`] shows it.
    pub fn item(&self, request_id: &str) -> Result<Option<Value>, Error> {
        let key = Item::from([(self.key.clone(), AttributeValue::S(request_id.to_owned()))]);
        let found = self
            .database
            .get_item(GetItemRequest {
                table_name: self.name.clone(),
                key,
                consistent_read: Some(true),
                ..GetItemRequest::default()
            })
            .map_err(refused("GetItem"))?;
        Ok(found.item.map(plain_item))
    }
}

/// Creates one table; gives its name and the name of its partition key.
fn create(database: &Database, resource: Resource<'_>) -> Result<(String, String), Error> {
    let not_understood = |source| Error::Properties { id: resource.id.to_owned(), source };
    let properties = resource.properties;
    let name = properties["TableName"].as_str().unwrap_or(resource.id).to_owned();

    let mut request = Map::from_iter([("TableName".to_owned(), Value::from(name.as_str()))]);
    for property in SHARED_PROPERTIES {
        if let Some(value) = properties.get(property) {
            request.insert(property.to_owned(), value.clone());
        }
    }
    // CloudFormation says by the presence of the specification what the API says by `StreamEnabled`.
    if let Some(stream) = properties.get("StreamSpecification") {
        let view = &stream["StreamViewType"];
        let stream = json!({ "StreamEnabled": true, "StreamViewType": view });
        request.insert("StreamSpecification".to_owned(), stream);
    }
    let request = CreateTableRequest::deserialize(Value::Object(request)).map_err(not_understood)?;
    let key = request.key_schema.first().map(|key| key.attribute_name.clone());
    database.create_table(request).map_err(refused("CreateTable"))?;

    if let Some(time_to_live) = properties.get("TimeToLiveSpecification") {
        let specification = TimeToLiveSpecification::deserialize(time_to_live).map_err(not_understood)?;
        database
            .update_time_to_live(UpdateTimeToLiveRequest {
                table_name: name.clone(),
                time_to_live_specification: specification,
            })
            .map_err(refused("UpdateTimeToLive"))?;
    }
    Ok((name, key.unwrap_or_default()))
}

fn refused(operation: &'static str) -> impl FnOnce(DynoxideError) -> Error {
    move |source| Error::Refused { operation, source }
}

fn plain_item(item: Item) -> Value {
    item.into_iter().map(|(name, value)| (name, plain(value))).collect()
}

fn plain(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => Value::from(text),
        AttributeValue::N(digits) => plain_number(digits),
        AttributeValue::B(bytes) => Value::from(BASE64.encode(bytes)),
        AttributeValue::BOOL(flag) => Value::from(flag),
        AttributeValue::NULL(_) => Value::Null,
        AttributeValue::SS(mut texts) => {
            texts.sort_unstable();
            Value::from(texts)
        }
        AttributeValue::NS(digits) => {
            let mut numbers: Vec<_> = digits.into_iter().map(plain_number).collect();
            numbers.sort_by(|a, b| a.as_f64().unwrap_or(f64::NAN).total_cmp(&b.as_f64().unwrap_or(f64::NAN)));
            Value::from(numbers)
        }
        AttributeValue::BS(mut blobs) => {
            blobs.sort_unstable();
            blobs.into_iter().map(|bytes| BASE64.encode(bytes)).collect()
        }
        AttributeValue::L(values) => values.into_iter().map(plain).collect(),
        AttributeValue::M(values) => plain_item(values),
    }
}

/// DynamoDB's numbers have 38 digits; what JSON numbers here cannot hold stays text.
fn plain_number(digits: String) -> Value {
    match digits.parse::<i64>() {
        Ok(integer) => Value::from(integer),
        Err(_) => match digits.parse().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => Value::from(digits),
        },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    pub(crate) fn template() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml")
    }

    async fn table() -> Table {
        Table::start(&template()).await.unwrap()
    }

    /// One call of DynamoDB's HTTP API, as the SDK makes it.
    pub(crate) async fn call(table: &Table, operation: &str, body: Value) -> (u16, Value) {
        let client = crate::client().build().unwrap();
        let scope = "Credential=local/20260101/eu-central-1/dynamodb/aws4_request";
        let response = client
            .post(table.endpoint())
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"))
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    #[tokio::test]
    async fn the_templates_table_is_there_with_its_indexes_stream_and_expiry() {
        let table = table().await;
        assert_eq!(table.name(), "Table");
        assert_eq!(table.name_of("Table"), Some("Table"));

        let (status, described) = call(&table, "DescribeTable", json!({"TableName": "Table"})).await;
        assert_eq!(status, 200, "{described}");
        let described = &described["Table"];
        assert_eq!(described["KeySchema"], json!([{"AttributeName": "requestID", "KeyType": "HASH"}]));
        assert_eq!(described["StreamSpecification"]["StreamViewType"], "NEW_IMAGE");
        assert_eq!(described["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
        let mut indexes: Vec<_> = described["GlobalSecondaryIndexes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|index| {
                let (name, kind) = (&index["IndexName"], &index["Projection"]["ProjectionType"]);
                (name.as_str().unwrap(), kind.as_str().unwrap())
            })
            .collect();
        indexes.sort_unstable();
        assert_eq!(
            indexes,
            [
                ("byLogRocketRequestID", "KEYS_ONLY"),
                ("bySubject", "INCLUDE"),
                ("requestWork", "INCLUDE"),
                ("webhookWork", "INCLUDE"),
            ]
        );

        let (_, expiry) = call(&table, "DescribeTimeToLive", json!({"TableName": "Table"})).await;
        assert_eq!(
            expiry["TimeToLiveDescription"],
            json!({"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAt"})
        );
    }

    #[tokio::test]
    async fn what_is_put_over_http_is_read_in_process_as_plain_json() {
        let table = table().await;
        for id in ["r-2", "r-1"] {
            let item = json!({
                "requestID": {"S": id}, "version": {"N": "1"}, "result": {"B": "AAEC"}, "known": {"SS": ["b", "a"]},
                "attempts": {"L": [{"M": {"startedAt": {"N": "1795000000123"}}}]}, "failure": {"NULL": true},
            });
            let (status, answer) = call(&table, "PutItem", json!({"TableName": "Table", "Item": item})).await;
            assert_eq!(status, 200, "{answer}");
        }

        let item = table.item("r-1").unwrap().unwrap();
        assert_eq!(
            item,
            json!({
                "requestID": "r-1", "version": 1, "result": "AAEC", "known": ["a", "b"],
                "attempts": [{"startedAt": 1795000000123_i64}], "failure": null,
            })
        );
        let items = table.items().unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items[0], item);
        let as_sent = table.items_as_sent().unwrap();
        assert_eq!(as_sent["r-2"]["known"], json!({"SS": ["a", "b"]}));
        assert_eq!(
            (&as_sent["r-1"]["version"], &as_sent["r-1"]["result"]),
            (&json!({"N": "1"}), &json!({"B": "AAEC"}))
        );
        assert_eq!(table.item("r-3").unwrap(), None);
    }

    #[tokio::test]
    async fn what_it_is_filled_with_is_found_by_the_indexes_and_takes_the_place_of_what_was_there() {
        let table = table().await;
        let due = |at: usize| {
            json!({ "requestID": {"S": format!("r-{at:04}")}, "requestShard": {"S": "0"}, "requestDueAt": {"N": "5"},
                    "requestDueSince": {"N": "5"} })
        };
        table.fill((0..1_500).map(due)).unwrap();
        table.fill([json!({ "requestID": {"S": "r-0007"} })]).unwrap();

        let mut ids = Vec::new();
        table.each(|item| ids.push(item["requestID"].as_str().unwrap().to_owned())).unwrap();
        ids.sort_unstable();
        assert_eq!((ids.len(), ids[7].as_str()), (1_500, "r-0007"));

        let query = json!({
            "TableName": "Table", "IndexName": "requestWork", "Select": "COUNT",
            "KeyConditionExpression": "requestShard = :shard",
            "ExpressionAttributeValues": {":shard": {"S": "0"}},
        });
        let (_, found) = call(&table, "Query", query).await;
        assert_eq!(found["Count"], 1_499);

        assert!(matches!(table.fill([json!({ "requestID": "r" })]), Err(Error::Item(_))));
    }

    #[tokio::test]
    async fn a_stream_that_has_ended_hears_of_no_write() {
        let table = table().await;
        table.end_stream().unwrap();
        call(&table, "PutItem", json!({"TableName": "Table", "Item": {"requestID": {"S": "r"}}})).await;
        assert_eq!(table.items().unwrap().len(), 1);
        let (_, described) = call(&table, "DescribeTable", json!({"TableName": "Table"})).await;
        assert_ne!(described["Table"]["StreamSpecification"]["StreamEnabled"], true, "{described}");
    }

    #[tokio::test]
    async fn an_index_holds_only_what_has_its_keys() {
        let table = table().await;
        let due = json!({"requestID": {"S": "due"}, "requestShard": {"S": "0"}, "requestDueAt": {"N": "5"},
                         "requestDueSince": {"N": "5"}, "status": {"S": "PENDING"}});
        let idle = json!({"requestID": {"S": "idle"}, "status": {"S": "READY"}});
        for item in [due, idle] {
            call(&table, "PutItem", json!({"TableName": "Table", "Item": item})).await;
        }

        let query = json!({
            "TableName": "Table", "IndexName": "requestWork",
            "KeyConditionExpression": "requestShard = :shard AND requestDueAt <= :now",
            "ExpressionAttributeValues": {":shard": {"S": "0"}, ":now": {"N": "10"}},
        });
        let (_, found) = call(&table, "Query", query.clone()).await;
        assert_eq!(
            found["Items"],
            json!([{"requestID": {"S": "due"}, "requestShard": {"S": "0"}, "requestDueAt": {"N": "5"},
                    "requestDueSince": {"N": "5"}}])
        );

        let done = json!({
            "TableName": "Table", "Key": {"requestID": {"S": "due"}},
            "UpdateExpression": "REMOVE requestShard, requestDueAt, requestDueSince",
        });
        call(&table, "UpdateItem", done).await;
        let (_, found) = call(&table, "Query", query).await;
        assert_eq!(found["Count"], 0);
    }

    #[tokio::test]
    async fn a_failed_condition_shows_the_item_that_failed_it() {
        let table = table().await;
        let item = json!({"requestID": {"S": "r"}, "status": {"S": "READY"}});
        call(&table, "PutItem", json!({"TableName": "Table", "Item": item})).await;

        let (status, answer) = call(
            &table,
            "UpdateItem",
            json!({
                "TableName": "Table", "Key": {"requestID": {"S": "r"}},
                "UpdateExpression": "SET #status = :failed", "ConditionExpression": "#status <> :ready",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {":failed": {"S": "FAILED"}, ":ready": {"S": "READY"}},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }),
        )
        .await;

        assert_eq!(status, 400);
        assert!(answer["__type"].as_str().unwrap().ends_with("ConditionalCheckFailedException"));
        assert_eq!(answer["Item"], item);
    }

    #[tokio::test]
    async fn a_template_without_a_readable_table_is_refused() {
        let none = Template::parse("Resources: { A: { Type: 'AWS::SQS::Queue' } }").unwrap();
        assert!(matches!(Table::from_template(&none).await, Err(Error::NoTable)));

        let text = std::fs::read_to_string(template()).unwrap();
        let intrinsic = text.replace("AttributeName: requestID", "AttributeName: !Ref KeyName");
        let intrinsic = Template::parse(&intrinsic).unwrap();
        assert!(Table::from_template(&intrinsic).await.is_err());
    }

    #[tokio::test]
    async fn dropping_it_frees_its_port() {
        let table = table().await;
        call(&table, "ListTables", json!({})).await;
        let address = table.endpoint().trim_start_matches("http://").to_owned();
        drop(table);

        let freed = async {
            while tokio::net::TcpStream::connect(&address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), freed).await.unwrap();
    }
}
