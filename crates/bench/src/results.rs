//! All figures of a run, as they are kept, and what they are held to.

use crate::instructions::Instructions;
use crate::machine::Circumstances;
use crate::measure::{Bill, Starts, Warm};
use crate::paths::Path;
use model::record::SHARDS;
use serde::Serialize;
use serde_json::{Number, Value};
use std::collections::BTreeMap;

/// A run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Results {
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// By what a processor's share was held.
    pub held_by: &'static str,
    /// How many roots a function reads at its start.
    pub roots: usize,
    /// From a hand-over to an answer, where nothing is done between.
    pub empty_exchange_microseconds: f64,
    /// The version of what runs each script that was measured beside the others.
    pub interpreters: BTreeMap<&'static str, String>,
    pub starts: Vec<StartFigure>,
    pub paths: Vec<PathFigure>,
    pub bills: Vec<BillFigure>,
    pub packages: Vec<Package>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Instructions>,
}

/// How a function was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Manner {
    /// As Lambda does, with all the processor there is.
    Free,
    /// The same, held to a twelfth of a core from its first question for an invocation on.
    Held,
    /// Free, where it has one root to read.
    OneRoot,
}

#[derive(Debug, Serialize)]
pub struct StartFigure {
    pub function: String,
    #[serde(serialize_with = "name_of")]
    pub path: Path,
    pub manner: Manner,
    #[serde(flatten)]
    pub starts: Starts,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathFigure {
    pub function: String,
    #[serde(serialize_with = "name_of")]
    pub path: Path,
    /// Else the embedded DynamoDB's own time is in it.
    pub table_answers_from_memory: bool,
    #[serde(flatten)]
    pub warm: Warm,
}

#[derive(Debug, Serialize)]
pub struct BillFigure {
    #[serde(serialize_with = "name_of")]
    pub path: Path,
    #[serde(flatten)]
    pub bill: Bill,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    pub function: String,
    pub zipped_bytes: u64,
}

/// A target, and whether it is met.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub what: &'static str,
    pub function: &'static str,
    pub is: Measured,
    pub is_met: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Measured {
    /// As a ratio to the tutorial's; both in the unit that stands behind them.
    Ratio { ours: f64, tutorials: f64, unit: &'static str, at_most: f64 },
    /// Calls by kind, and what they are to be.
    Calls { are: String, are_to_be: String },
}

/// The function that the two are measured beside, on a path that it has, too.
const BESIDE: &str = "tutorial";

impl Results {
    pub fn start(&self, function: &str, path: Path, manner: Manner) -> Option<&Starts> {
        let is = |figure: &&StartFigure| {
            (figure.path, figure.manner) == (path, manner) && figure.function == function
        };
        self.starts.iter().find(is).map(|figure| &figure.starts)
    }

    pub fn warm(&self, function: &str, path: Path) -> Option<&Warm> {
        let is = |figure: &&PathFigure| figure.path == path && figure.function == function;
        self.paths.iter().find(is).map(|figure| &figure.warm)
    }

    pub fn package(&self, function: &str) -> Option<f64> {
        let found = self.packages.iter().find(|package| package.function == function);
        found.and_then(|package| megabytes(package.zipped_bytes))
    }

    /// All targets of which something was measured.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (function, path) in [("request", Path::New), ("webhook", Path::Callback)] {
            let warm_at_most = if path == Path::Callback { 0.6 } else { 1.0 };
            verdicts.extend([
                self.ratio("start to first answer", function, "ms", 0.2, |function| {
                    // In Lambda the two functions read no roots, and the tutorial's function the system's. What is
                    // nearest to that here is one root to read, the stand-ins', and all of them.
                    let manner = if function == BESIDE { Manner::Free } else { Manner::OneRoot };
                    self.start(function, path, manner).map(|starts| starts.answer.p50)
                }),
                self.ratio("start, held to a twelfth of a core", function, "ms", 0.05, |function| {
                    self.start(function, path, Manner::Held).map(|starts| starts.answer.p50)
                }),
                self.ratio(path.name(), function, "µs", warm_at_most, |function| {
                    self.warm(function, path).map(|warm| warm.microseconds.p50)
                }),
                self.ratio("processor time", function, "µs", warm_at_most, |function| {
                    self.warm(function, path).map(|warm| warm.cpu_microseconds)
                }),
                self.ratio("peak memory", function, "MB", 1.0, |function| {
                    self.warm(function, path).and_then(|warm| megabytes(warm.peak_bytes))
                }),
                self.ratio("package, zipped", function, "MB", 0.35, |function| self.package(function)),
            ]);
        }
        let shards = f64::from(SHARDS);
        verdicts.extend([
            self.calls("calls of a new request", Path::New, &[("PutItem", 1.0), ("UpdateItem", 1.0)], 1.0),
            self.calls("calls of a callback", Path::Callback, &[("UpdateItem", 1.0)], 0.0),
            self.calls("calls of a read", Path::Read, &[("GetItem", 1.0)], 0.0),
            self.calls("calls of a repeat by key", Path::Repeat, &[("PutItem", 1.0)], 0.0),
            self.calls("calls of an idle sweep", Path::RequestSweep, &[("Query", shards)], 0.0),
            self.calls("calls of an idle sweep", Path::WebhookSweep, &[("Query", shards)], 0.0),
        ]);
        verdicts.into_iter().flatten().collect()
    }

    fn ratio(
        &self,
        what: &'static str,
        function: &'static str,
        unit: &'static str,
        at_most: f64,
        figure: impl Fn(&str) -> Option<f64>,
    ) -> Option<Verdict> {
        let (ours, tutorials) = (figure(function)?, figure(BESIDE)?);
        let is_met = ours <= at_most * tutorials;
        Some(Verdict { what, function, is: Measured::Ratio { ours, tutorials, unit, at_most }, is_met })
    }

    /// Exactly these calls to the table and to LogRocket, and none to anybody else.
    fn calls(
        &self,
        what: &'static str,
        path: Path,
        table: &[(&str, f64)],
        log_rocket: f64,
    ) -> Option<Verdict> {
        let warm = self.warm(path.function(), path)?;
        let mut are: Vec<(&str, f64)> =
            warm.table.by_operation.iter().map(|(operation, calls)| (operation.as_str(), *calls)).collect();
        let mut are_to_be = table.to_vec();
        are_to_be.extend((log_rocket > 0.0).then_some(("LogRocket", log_rocket)));
        let others = [
            ("LogRocket", &warm.log_rocket),
            ("Secrets Manager", &warm.secrets),
            ("destination", &warm.destination),
        ];
        are.extend(
            others
                .into_iter()
                .filter(|(_, calls)| calls.calls > 0.0)
                .map(|(name, calls)| (name, calls.calls)),
        );
        let [are, are_to_be] = [are, are_to_be].map(|calls| {
            let said = calls.iter().map(|(name, count)| format!("{} {name}", trimmed(*count)));
            said.collect::<Vec<_>>().join(", ")
        });
        let is_met = are == are_to_be;
        Some(Verdict { what, function: path.function(), is: Measured::Calls { are, are_to_be }, is_met })
    }

    /// As it is kept.
    pub fn to_json(&self) -> serde_json::Result<String> {
        kept(self)
    }
}

/// Figures as they are kept: digits that no repetition would show again are left out.
pub fn kept(figures: &impl Serialize) -> serde_json::Result<String> {
    let mut json = serde_json::to_value(figures)?;
    shorten(&mut json);
    serde_json::to_string_pretty(&json).map(|text| text + "\n")
}

/// A number of calls: whole, or with one digit more.
pub fn trimmed(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn megabytes(bytes: u64) -> Option<f64> {
    u32::try_from(bytes).ok().map(|bytes| f64::from(bytes) / 1e6)
}

/// Four digits of each fraction.
fn shorten(json: &mut Value) {
    match json {
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Number(number) if number.is_f64() => {
            let short = number.as_f64().and_then(|number| format!("{number:.3e}").parse().ok());
            if let Some(short) = short.and_then(Number::from_f64) {
                *number = short;
            }
        }
        _ => {}
    }
}

pub fn name_of<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(path.name())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::measure::Calls;
    use crate::statistics::Spread;

    fn spread(p50: f64) -> Spread {
        Spread::of(vec![p50]).unwrap()
    }

    fn calls(by_operation: &[(&str, f64)]) -> Calls {
        let by_operation: BTreeMap<String, f64> =
            by_operation.iter().map(|(operation, calls)| ((*operation).to_owned(), *calls)).collect();
        let calls = by_operation.values().sum();
        Calls { calls, by_operation, bytes_sent: 0.0, bytes_received: 0.0, stand_in_microseconds: 0.0 }
    }

    fn warm(microseconds: f64, table: &[(&str, f64)], log_rocket: f64) -> Warm {
        Warm {
            microseconds: spread(microseconds),
            cpu_microseconds: microseconds,
            peak_bytes: 10_000_000,
            table: calls(table),
            log_rocket: calls(&[("POST", log_rocket)]),
            secrets: calls(&[]),
            destination: calls(&[]),
        }
    }

    /// A run in which request λ's new request took so long, and a tutorial's 400 µs.
    pub fn run(microseconds: f64, table: &[(&str, f64)]) -> Results {
        let figure = |function: &str, warm| PathFigure {
            function: function.to_owned(),
            path: Path::New,
            table_answers_from_memory: true,
            warm,
        };
        let start = |function: &str, manner, answer| StartFigure {
            function: function.to_owned(),
            path: Path::New,
            manner,
            starts: Starts { init: spread(answer / 2.0), answer: spread(answer), cpu: spread(answer) },
        };
        Results {
            circumstances: Circumstances::here(),
            held_by: "<nothing> & nobody",
            roots: 1,
            empty_exchange_microseconds: 5.0,
            interpreters: BTreeMap::new(),
            starts: vec![
                start("request", Manner::Free, 8.0),
                start("request", Manner::OneRoot, 6.4),
                start("tutorial", Manner::Free, 32.0),
                start("request", Manner::Held, 16.0),
                start("tutorial", Manner::Held, 300.0),
            ],
            paths: vec![
                figure("request", warm(microseconds, table, 1.0)),
                figure("tutorial", warm(400.0, &[("PutItem", 1.0)], 1.0)),
            ],
            bills: Vec::new(),
            packages: vec![
                Package { function: "request".to_owned(), zipped_bytes: 2_800_000 },
                Package { function: "tutorial".to_owned(), zipped_bytes: 8_000_000 },
            ],
            instructions: None,
        }
    }

    fn verdict(results: &Results, what: &str) -> Option<bool> {
        results.verdicts().into_iter().find(|verdict| verdict.what == what).map(|verdict| verdict.is_met)
    }

    const ASKING: [(&str, f64); 2] = [("PutItem", 1.0), ("UpdateItem", 1.0)];

    #[test]
    fn a_target_is_met_up_to_its_ratio_and_not_beyond() {
        let met = run(400.0, &ASKING);
        assert_eq!(verdict(&met, "new request"), Some(true));
        assert_eq!(verdict(&met, "start to first answer"), Some(true));
        assert_eq!(verdict(&met, "start, held to a twelfth of a core"), Some(false));
        assert_eq!(verdict(&met, "package, zipped"), Some(true));
        assert_eq!(verdict(&run(401.0, &ASKING), "new request"), Some(false));
    }

    #[test]
    fn calls_are_those_and_no_others() {
        let what = "calls of a new request";
        assert_eq!(verdict(&run(1.0, &ASKING), what), Some(true));
        assert_eq!(verdict(&run(1.0, &[("PutItem", 1.0)]), what), Some(false));
        assert_eq!(verdict(&run(1.0, &[("PutItem", 1.0), ("UpdateItem", 1.01)]), what), Some(false));
        let mut polled = run(1.0, &ASKING);
        polled.paths[0].warm.secrets = calls(&[("GetSecretValue", 0.02)]);
        assert_eq!(verdict(&polled, what), Some(false));
    }

    #[test]
    fn what_was_not_measured_has_no_verdict() {
        let mut results = run(1.0, &ASKING);
        assert_eq!(verdict(&results, "calls of a callback"), None);
        results.paths.retain(|figure| figure.function != "tutorial");
        assert_eq!(verdict(&results, "new request"), None);
    }

    #[test]
    fn four_digits_are_kept() {
        let json: Value = serde_json::from_str(&run(123.456, &ASKING).to_json().unwrap()).unwrap();
        assert_eq!(json["paths"][0]["microseconds"]["p50"], 123.5);
        assert_eq!(json["paths"][0]["path"], "new request");
        assert_eq!(json["packages"][0]["zippedBytes"], 2_800_000);
    }
}
