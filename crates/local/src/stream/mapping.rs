//! The template's `AWS::Lambda::EventSourceMapping` of a table's stream.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-lambda-eventsourcemapping.html>

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::filter::{self, Filter};
use crate::template::{self, Resource, Template, get_att};

/// Most filters of one mapping, unless AWS raises the quota.
const MOST_FILTERS: usize = 5;
/// Properties that change nothing locally, and the one by which the mapping was found.
const IGNORED: [&str; 4] = ["EventSourceArn", "KmsKeyArn", "MetricsConfig", "Tags"];

/// How a function is fed from a table's stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// Its logical id.
    pub id: String,
    /// The table's logical id.
    pub table: String,
    /// The function's logical id, or what the template names it by.
    pub function: String,
    /// Whether it starts switched on.
    pub enabled: bool,
    /// A record reaches the function when one of them matches, or when there is none.
    pub filters: Vec<Filter>,
    /// Most records of one invocation.
    pub batch_size: usize,
    /// How long records are gathered for a batch that is not full. At none, what was read at once is a batch.
    pub batching_window: Duration,
    /// Tries after the first; without a limit, until the records are too old.
    pub retries: Option<u32>,
    /// Records older than that are not delivered.
    pub record_age: Option<Duration>,
    /// Whether a batch whose invocation failed is split in two.
    pub bisect: bool,
    /// Batches at once. An item's records stay in order.
    pub parallelization: usize,
    /// Whether the function's answer tells which records failed (`ReportBatchItemFailures`).
    pub reports_failures: bool,
    /// Where it starts to read.
    pub position: Position,
    /// The logical id of the queue or topic that is told of what was given up.
    pub on_failure: Option<String>,
}

/// Where a mapping starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Position {
    /// At the records that are written from now on.
    #[serde(rename = "LATEST")]
    Latest,
    /// At the stream's first.
    #[serde(rename = "TRIM_HORIZON")]
    TrimHorizon,
}

/// Why there is no mapping.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The template could not be read.
    #[error("the template of the event source mapping cannot be read")]
    Template(#[from] template::Error),
    /// More than one mapping reads a table's stream.
    #[error("the template has several event source mappings of a table's stream: {0}")]
    Several(String),
    /// A property is not known, missing, or no literal.
    #[error("the event source mapping {id} is not understood")]
    Properties {
        /// The mapping's logical id.
        id: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A property has a value that AWS refuses.
    #[error("{property} of the event source mapping {id} must be {allowed}")]
    Value {
        /// The mapping's logical id.
        id: String,
        /// The property.
        property: &'static str,
        /// What AWS takes.
        allowed: &'static str,
    },
    /// A filter's pattern is none.
    #[error("a filter of the event source mapping {id} is not understood")]
    Filter {
        /// The mapping's logical id.
        id: String,
        /// What is wrong.
        source: filter::Error,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Properties {
    function_name: Value,
    starting_position: Position,
    enabled: Option<bool>,
    filter_criteria: Option<FilterCriteria>,
    batch_size: Option<i64>,
    maximum_batching_window_in_seconds: Option<i64>,
    maximum_retry_attempts: Option<i64>,
    maximum_record_age_in_seconds: Option<i64>,
    bisect_batch_on_function_error: Option<bool>,
    parallelization_factor: Option<i64>,
    function_response_types: Option<Vec<ResponseType>>,
    destination_config: Option<DestinationConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FilterCriteria {
    #[serde(default)]
    filters: Vec<FilterText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FilterText {
    pattern: String,
}

#[derive(Deserialize)]
enum ResponseType {
    ReportBatchItemFailures,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DestinationConfig {
    on_failure: Option<OnFailure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OnFailure {
    destination: Value,
}

impl Mapping {
    /// The template's mapping whose source is a table's stream (`!GetAtt Table.StreamArn`); the mappings of other
    /// sources are passed over. A `Condition` is not looked at.
    ///
    /// # Errors
    /// When there are several, or it is one that AWS would refuse or that is not emulated.
    pub fn from_template(template: &Template) -> Result<Option<Self>, Error> {
        let mut found = template.resources("AWS::Lambda::EventSourceMapping").filter_map(|resource| {
            let (table, attribute) = get_att(&resource.properties["EventSourceArn"])?;
            (attribute == "StreamArn").then_some((resource, table))
        });
        let Some((resource, table)) = found.next() else { return Ok(None) };
        if let Some((other, _)) = found.next() {
            return Err(Error::Several(format!("{}, {}", resource.id, other.id)));
        }
        Self::parse(resource, table).map(Some)
    }

    /// The same, from a file.
    ///
    /// # Errors
    /// As [`Mapping::from_template`], and when the file is no template.
    pub fn read(template_path: &Path) -> Result<Option<Self>, Error> {
        Self::from_template(&Template::read(template_path)?)
    }

    /// Whether the function is to see the record.
    pub fn takes(&self, record: &Value) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter.matches(record))
    }

    fn parse(resource: Resource<'_>, table: &str) -> Result<Self, Error> {
        let id = resource.id.to_owned();
        let properties: Map<_, _> = resource
            .properties
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !IGNORED.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let properties = Properties::deserialize(Value::Object(properties))
            .map_err(|source| Error::Properties { id: id.clone(), source })?;
        let range = |property, value: Option<i64>, default, range: RangeInclusive<i64>, allowed| {
            let value = value.unwrap_or(default);
            match u32::try_from(value) {
                Ok(number) if range.contains(&value) => Ok(number),
                _ => Err(Error::Value { id: id.clone(), property, allowed }),
            }
        };
        // -1 is AWS's word for no limit.
        let limit = |property, value: Option<i64>, limits: RangeInclusive<i64>, allowed| match value {
            None | Some(-1) => Ok(None),
            some => range(property, some, 0, limits, allowed).map(Some),
        };

        let patterns = properties.filter_criteria.map(|criteria| criteria.filters).unwrap_or_default();
        if patterns.len() > MOST_FILTERS {
            return Err(Error::Value { id, property: "FilterCriteria", allowed: "five filters at most" });
        }
        let filters = patterns
            .iter()
            .map(|filter| Filter::parse(&filter.pattern))
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Filter { id: id.clone(), source })?;
        let batch_size = range("BatchSize", properties.batch_size, 100, 1..=10_000, "1 to 10000")?;
        let window = range(
            "MaximumBatchingWindowInSeconds",
            properties.maximum_batching_window_in_seconds,
            0,
            0..=300,
            "0 to 300",
        )?;
        let retries =
            limit("MaximumRetryAttempts", properties.maximum_retry_attempts, 0..=10_000, "-1 or 0 to 10000")?;
        let age = limit(
            "MaximumRecordAgeInSeconds",
            properties.maximum_record_age_in_seconds,
            60..=604_800,
            "-1 or 60 to 604800",
        )?;
        let parallelization =
            range("ParallelizationFactor", properties.parallelization_factor, 1, 1..=10, "1 to 10")?;

        Ok(Self {
            table: table.to_owned(),
            function: name(&properties.function_name),
            enabled: properties.enabled.unwrap_or(true),
            filters,
            batch_size: batch_size as usize,
            batching_window: Duration::from_secs(window.into()),
            retries,
            record_age: age.map(|seconds| Duration::from_secs(seconds.into())),
            bisect: properties.bisect_batch_on_function_error.unwrap_or(false),
            parallelization: parallelization as usize,
            reports_failures: properties.function_response_types.is_some_and(|types| {
                types.iter().any(|kind| matches!(kind, ResponseType::ReportBatchItemFailures))
            }),
            position: properties.starting_position,
            on_failure: properties
                .destination_config
                .and_then(|config| config.on_failure)
                .map(|on_failure| name(&on_failure.destination)),
            id,
        })
    }
}

/// The logical id behind `!Ref` and `!GetAtt`, else the text itself.
fn name(value: &Value) -> String {
    let reference = get_att(value).map(|(id, _)| id).or(value["Ref"].as_str()).or(value.as_str());
    reference.map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MAPPINGS: &str = "
Resources:
  SourceQueueMapping:
    Type: AWS::Lambda::EventSourceMapping
    Condition: HasSourceQueue
    Properties:
      FunctionName: !Ref RequestFunction
      EventSourceArn: !Ref SourceQueueArn
      FunctionResponseTypes: [ReportBatchItemFailures]
  OtherQueueMapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !Ref RequestFunction
      EventSourceArn: !GetAtt Queue.Arn
  StreamMapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !GetAtt WebhookFunction.Arn
      EventSourceArn: !GetAtt Table.StreamArn
      StartingPosition: LATEST
";

    fn parse(properties: &str) -> Result<Option<Mapping>, Error> {
        let lines: String = properties.lines().map(|line| format!("      {}\n", line.trim_start())).collect();
        Mapping::from_template(&Template::parse(&format!("{MAPPINGS}{lines}")).unwrap())
    }

    #[test]
    fn the_mapping_of_the_stream_is_told_apart_and_has_awss_defaults() {
        let mapping = parse("").unwrap().unwrap();
        assert_eq!(
            mapping,
            Mapping {
                id: "StreamMapping".to_owned(),
                table: "Table".to_owned(),
                function: "WebhookFunction".to_owned(),
                enabled: true,
                filters: Vec::new(),
                batch_size: 100,
                batching_window: Duration::ZERO,
                retries: None,
                record_age: None,
                bisect: false,
                parallelization: 1,
                reports_failures: false,
                position: Position::Latest,
                on_failure: None,
            }
        );
        assert!(mapping.takes(&json!({"eventName": "INSERT"})));
    }

    #[test]
    fn every_property_is_read() {
        let mapping = parse(
            r#"FilterCriteria: { Filters: [{ Pattern: '{"eventName":["INSERT"]}' }, { Pattern: '{"eventName":["MODIFY"]}' }] }
            BatchSize: 10
            MaximumBatchingWindowInSeconds: 1
            MaximumRetryAttempts: 2
            MaximumRecordAgeInSeconds: 60
            BisectBatchOnFunctionError: true
            ParallelizationFactor: 4
            FunctionResponseTypes: [ReportBatchItemFailures]
            DestinationConfig: { OnFailure: { Destination: !GetAtt FailedEvents.Arn } }
            Enabled: false
            Tags: [{ Key: a, Value: b }]"#,
        )
        .unwrap()
        .unwrap();

        assert_eq!(mapping.filters.len(), 2);
        assert!(mapping.takes(&json!({"eventName": "MODIFY"})));
        assert!(!mapping.takes(&json!({"eventName": "REMOVE"})));
        assert_eq!((mapping.batch_size, mapping.parallelization), (10, 4));
        assert_eq!(mapping.batching_window, Duration::from_secs(1));
        assert_eq!((mapping.retries, mapping.record_age), (Some(2), Some(Duration::from_secs(60))));
        assert!(mapping.bisect && mapping.reports_failures && !mapping.enabled);
        assert_eq!(mapping.on_failure.as_deref(), Some("FailedEvents"));

        let unlimited = parse("MaximumRetryAttempts: -1\nMaximumRecordAgeInSeconds: -1").unwrap().unwrap();
        assert_eq!((unlimited.retries, unlimited.record_age), (None, None));
    }

    #[test]
    fn what_aws_refuses_or_is_not_known_is_refused() {
        for properties in ["BatchSize: 0", "ParallelizationFactor: 11", "MaximumRecordAgeInSeconds: 59"] {
            let error = parse(properties).unwrap_err();
            assert!(matches!(error, Error::Value { .. }), "{properties}: {error:?}");
        }
        for properties in
            ["TumblingWindowInSeconds: 5", "BatchSize: !Ref Size", "FunctionResponseTypes: [Other]"]
        {
            let error = parse(properties).unwrap_err();
            assert!(matches!(error, Error::Properties { .. }), "{properties}: {error:?}");
        }
        let filter = |pattern: &str| format!("FilterCriteria: {{ Filters: [{{ Pattern: '{pattern}' }}] }}");
        let error = parse(&filter(r#"{"eventName":[{"wildcard":"*"}]}"#)).unwrap_err();
        assert!(matches!(error, Error::Filter { .. }), "{error:?}");
        let six = r#"{ Pattern: '{"eventName":["INSERT"]}' }, "#.repeat(6);
        let error = parse(&format!("FilterCriteria: {{ Filters: [{six}] }}")).unwrap_err();
        assert!(matches!(error, Error::Value { property: "FilterCriteria", .. }), "{error:?}");
    }

    #[test]
    fn there_is_none_one_or_too_many() {
        let none = Template::parse("Resources: { A: { Type: 'AWS::SQS::Queue' } }").unwrap();
        assert_eq!(Mapping::from_template(&none).unwrap(), None);

        let second = MAPPINGS.split_once("  StreamMapping:").unwrap().1;
        let both = Template::parse(&format!("{MAPPINGS}  SecondMapping:{second}")).unwrap();
        let error = Mapping::from_template(&both).unwrap_err();
        assert!(
            matches!(error, Error::Several(ids) if ids.contains("StreamMapping, SecondMapping") || ids.contains("SecondMapping, StreamMapping"))
        );
    }

    #[test]
    fn the_projects_template_is_understood() {
        Mapping::read(&crate::table::tests::template()).unwrap();
    }
}
