//! Instructions, counted by valgrind's callgrind: the guard against a function that has become slower by less than the
//! noise of any clock. A count does not depend on what else the machine does, and repeats to a fraction of a percent.

use crate::measure::Contestant;
use crate::paths::Path;
use crate::process::{self, Process};
use crate::tls::ROOTS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path as File;
use std::process::Command;

/// How many invocations one count has more than the other.
const MORE: u64 = 400;
/// Of which the one in the middle is taken: keys are random, and no two handshakes alike.
const STARTS: usize = 3;
/// Valgrind takes so much longer, and then some.
const PATIENCE: u32 = 20;
/// What the others are held beside: it has the SDK and nothing of ours, so that what another compiler or SDK changes
/// shows in it, too.
const YARDSTICK: &str = "put, new request";
/// How much more than what is kept is too much.
const TOLERANCE: f64 = 1.05;

/// All counts, by `function, path`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instructions(BTreeMap<String, Count>);

/// What one function takes on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// From its start to its first answer, and to its end.
    pub start: u64,
    /// For each invocation after many others.
    pub invocation: u64,
}

/// A count that is more than what is kept allows.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{what}: {is} instructions, {over:.1} % more than the {was} that are kept")]
pub struct Regression {
    what: String,
    is: u64,
    was: u64,
    over: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("callgrind left no count")]
    NoCount(#[source] io::Error),
    #[error("{path} is not readable")]
    Kept { path: String, source: io::Error },
}

/// Where valgrind is, if it is anywhere.
pub fn valgrind() -> Option<String> {
    let places = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&places).map(|place| place.join("valgrind")).find(|path| path.is_file())?;
    let works = Command::new(&found).arg("--version").output().is_ok_and(|output| output.status.success());
    works.then(|| found.to_string_lossy().into_owned())
}

impl Instructions {
    /// Counts what a contestant takes: its starts with the roots that it has, its invocations with `one_root`. The path's
    /// world has to be patient, for each run is some thirty times slower.
    pub fn count(
        &mut self,
        contestant: &mut Contestant,
        path: Path,
        valgrind: &str,
        one_root: &File,
        directory: &File,
    ) -> Result<(), Error> {
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            starts.push(instructions(contestant, path, 1, valgrind, directory)?);
        }
        starts.sort_unstable();
        let start = starts.get(STARTS / 2).copied().unwrap_or_default();
        // How a start differs from another is taken for a difference of the invocations: the shorter it is, the better.
        contestant.launch.set(ROOTS, one_root);
        let some = instructions(contestant, path, MORE, valgrind, directory)?;
        let more = instructions(contestant, path, 2 * MORE, valgrind, directory)?;
        let invocation = more.saturating_sub(some) / MORE;
        let name = format!("{}, {}", contestant.launch.name, path.name());
        self.0.insert(name, Count { start, invocation });
        Ok(())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Count)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// What is kept at `path`; `None` where nothing is.
    pub fn read(path: &File) -> Result<Option<Self>, Error> {
        let unreadable = |source| Error::Kept { path: path.display().to_string(), source };
        match fs::read(path) {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| unreadable(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Which counts of our functions are more than 5 % over what is kept, in themselves and in proportion to the floor:
    /// what moves both is the compiler's or the SDK's.
    pub fn regressions(&self, kept: &Self) -> Vec<Regression> {
        let mut regressions = Vec::new();
        let yardsticks = (self.0.get(YARDSTICK), kept.0.get(YARDSTICK));
        for (name, is) in &self.0 {
            let Some(was) = kept.0.get(name) else { continue };
            if !["request, ", "webhook, "].iter().any(|ours| name.starts_with(ours)) {
                continue;
            }
            let floor = |of: fn(&Count) -> u64| match yardsticks {
                (Some(is), Some(was)) => ratio(of(is), of(was)),
                _ => 1.0,
            };
            for (what, is, was, floor) in [
                (format!("{name}, start"), is.start, was.start, floor(|count| count.start)),
                (name.clone(), is.invocation, was.invocation, floor(|count| count.invocation)),
            ] {
                let grown = ratio(is, was);
                if grown > TOLERANCE && grown > TOLERANCE * floor {
                    regressions.push(Regression { what, is, was, over: (grown - 1.0) * 100.0 });
                }
            }
        }
        regressions
    }
}

fn instructions(
    contestant: &mut Contestant,
    path: Path,
    invocations: u64,
    valgrind: &str,
    directory: &File,
) -> Result<u64, Error> {
    let output = directory.join("callgrind.out");
    let mut launch = contestant.launch.clone();
    let file = format!("--callgrind-out-file={}", output.display());
    launch.under = vec![valgrind.to_owned(), "--tool=callgrind".to_owned(), file];
    launch.patience = PATIENCE;
    let mut process = Process::start(&launch, directory)?;
    for _ in 0..invocations {
        contestant.events.invoke(&mut process, path)?;
    }
    // Told to end, callgrind writes down what it has counted.
    process.end()?;
    let told = fs::read_to_string(&output).map_err(Error::NoCount)?;
    let total = told.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    fs::remove_file(&output).map_err(Error::NoCount)?;
    total.ok_or_else(|| Error::NoCount(io::ErrorKind::InvalidData.into()))
}

/// Exact below 2^53 instructions, which take a month.
#[expect(clippy::cast_precision_loss, reason = "no count here is near 2^53")]
fn ratio(is: u64, was: u64) -> f64 {
    is as f64 / (was.max(1)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64, u64)]) -> Instructions {
        let count = |(name, start, invocation): &(&str, u64, u64)| {
            ((*name).to_owned(), Count { start: *start, invocation: *invocation })
        };
        Instructions(of.iter().map(count).collect())
    }

    fn found(now: &[(&str, u64, u64)], kept: &[(&str, u64, u64)]) -> Vec<String> {
        let regressions = counts(now).regressions(&counts(kept));
        regressions.into_iter().map(|regression| regression.what).collect()
    }

    const KEPT: [(&str, u64, u64); 2] = [("request, read", 1_000, 100), (YARDSTICK, 1_000, 100)];

    #[test]
    fn five_percent_more_are_borne_and_no_more_than_that() {
        assert!(found(&KEPT, &KEPT).is_empty());
        assert!(found(&[("request, read", 1_050, 105), KEPT[1]], &KEPT).is_empty());
        assert_eq!(found(&[("request, read", 1_051, 105), KEPT[1]], &KEPT), ["request, read, start"]);
        assert_eq!(found(&[("request, read", 1_000, 106), KEPT[1]], &KEPT), ["request, read"]);
    }

    #[test]
    fn what_the_floor_takes_more_is_not_the_functions() {
        assert!(found(&[("request, read", 1_100, 110), (YARDSTICK, 1_100, 110)], &KEPT).is_empty());
        assert_eq!(
            found(&[("request, read", 1_200, 100), (YARDSTICK, 1_100, 100)], &KEPT),
            ["request, read, start"]
        );
        // A floor that takes less is no reproach to a function that does not.
        assert!(found(&[KEPT[0], (YARDSTICK, 500, 50)], &KEPT).is_empty());
    }

    #[test]
    fn only_our_functions_are_held_to_it_and_only_where_something_is_kept() {
        assert!(
            found(&[("tutorial, new request", 9_000, 900)], &[("tutorial, new request", 1, 1)]).is_empty()
        );
        assert!(found(&[("webhook, callback", 9_000, 900)], &KEPT).is_empty());
        assert_eq!(found(&[("request, read", 1_051, 100)], &KEPT[..1]), ["request, read, start"]);
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let counts = counts(&KEPT);
        let json = serde_json::to_string(&counts).unwrap();
        assert_eq!(serde_json::from_str::<Instructions>(&json).unwrap(), counts);
    }
}
