//! `make prove`: explores every scope to its end, and prints what was found. With a scope's name, only that; with
//! `mutants`, how each fault that is put in is found.

use prove::{Mutant, Protocol, Scope, story};
use stateright::{Checker, HasDiscoveries, Model};
use std::io::{Error, Result, Write, stdout};
use std::time::Instant;

/// What the long run is to reach, all scopes together.
const STATES: usize = 10_000_000;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => prove(Scope::all(), STATES),
        Some("mutants") => Mutant::ALL.into_iter().try_for_each(show),
        Some(name) => prove(Scope::all().into_iter().filter(|scope| scope.name == name).collect(), 1),
    }
}

fn prove(scopes: Vec<Scope>, at_least: usize) -> Result<()> {
    let (mut out, started, mut total) = (stdout(), Instant::now(), 0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    writeln!(
        out,
        "{:16}{:>14}{:>14}{:>8}{:>9}  properties",
        "scope", "unique states", "states", "depth", "seconds"
    )?;
    for scope in scopes {
        let (name, started) = (scope.name, Instant::now());
        let checker = protocol(scope, None)?
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .threads(threads)
            .spawn_dfs()
            .join();
        let seconds = started.elapsed().as_secs_f64();
        let (unique, all, depth) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
        let properties = checker.model().properties();
        let mut found = checker.discoveries();
        let (mut hold, mut wrong) = (0, None);
        for property in properties {
            match (property.expectation.discovery_is_failure(), found.remove(property.name)) {
                (true, Some(path)) => {
                    let story = story::tell(checker.model(), path);
                    wrong = Some(format!("{name}: does not hold: {}\n{story}", property.name));
                }
                (false, None) => wrong = Some(format!("{name}: never seen: {}", property.name)),
                (true, None) | (false, Some(_)) => hold += 1,
            }
        }
        writeln!(out, "{name:16}{unique:>14}{all:>14}{depth:>8}{seconds:>9.1}  {hold} hold")?;
        if let Some(wrong) = wrong {
            return Err(Error::other(wrong));
        }
        total += unique;
    }
    writeln!(out, "{:16}{total:>14}{:>31.1}", "together", started.elapsed().as_secs_f64())?;
    if total < at_least {
        return Err(Error::other(format!("fewer than {at_least} unique states")));
    }
    Ok(())
}

fn show(mutant: Mutant) -> Result<()> {
    let (name, property) = mutant.is_caught_by();
    let scope = Scope::all().into_iter().find(|scope| scope.name == name);
    let protocol = protocol(scope.ok_or_else(|| Error::other(name))?, Some(mutant))?;
    let finish = HasDiscoveries::AnyOf([property].into());
    let checker = protocol.checker().finish_when(finish).spawn_bfs().join();
    let path = checker.discovery(property);
    let path = path.ok_or_else(|| Error::other(format!("{mutant:?} is not caught")))?;
    writeln!(stdout(), "{mutant:?} in {name}: {property}\n{}", story::tell(checker.model(), path))
}

fn protocol(scope: Scope, mutant: Option<Mutant>) -> Result<Protocol> {
    let name = scope.name;
    Protocol::new(scope, mutant).map_err(|_| Error::other(format!("{name} cannot be read")))
}
