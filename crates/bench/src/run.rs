//! A run: every path in a world of its own.

use crate::hold::Means;
use crate::instructions::{self, Instructions};
use crate::machine::Circumstances;
use crate::measure::{self, Contestant, Warm};
use crate::options::Options;
use crate::paths::{Launches, Path};
use crate::process;
use crate::results::{BillFigure, Manner, Package, PathFigure, Results, StartFigure};
use crate::runtime_api;
use crate::scripts::Script;
use crate::tls::{self, Trust};
use crate::world::{self, World};
use local::table;
use local::template::{self, Template};
use std::fs;
use std::io::{self, Write, stderr};
use std::path::{Path as File, PathBuf};
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const FUNCTIONS: [&str; 2] = ["request", "webhook"];
const FLOORS: [&str; 3] = ["tutorial", "put", "constant"];
/// What asks for a poll after a second is due by then.
const UNTIL_DUE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is not built: `make bench` builds it")]
    NotBuilt(String),
    #[error("no place for what the functions print")]
    Scratch(#[source] io::Error),
    #[error("the instrument cannot be measured")]
    Instrument(#[source] io::Error),
    #[error("template.yaml cannot be read: run it in the project's folder")]
    Template(#[from] template::Error),
    #[error("no certificates")]
    Trust(#[from] tls::Error),
    #[error("no world for {path}")]
    World { path: &'static str, source: world::Error },
    #[error("no table for {path}")]
    Table { path: &'static str, source: table::Error },
    #[error("{path} cannot be prepared")]
    Prepare { path: &'static str, source: process::Error },
    #[error("{path} cannot be measured")]
    Measure { path: &'static str, source: measure::Error },
    #[error("the instructions of {path} cannot be counted")]
    Count { path: &'static str, source: instructions::Error },
    #[error("the scripts cannot be laid out")]
    Scripts(#[source] io::Error),
    #[error("the size of {0} cannot be read")]
    Package(String, #[source] io::Error),
}

/// What every measurement stands on.
pub struct Ground {
    scratch: Scratch,
    runtime: Runtime,
    template: Template,
    pub trust: Trust,
}

/// What all paths of a run share.
struct Bench<'a> {
    options: &'a Options,
    ground: Ground,
    scripts: Vec<Script>,
    means: Means,
    valgrind: Option<String>,
    results: Results,
}

/// A directory that goes with the run.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it is the system's to clear.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Measures what the options ask for.
pub fn everything(options: &Options) -> Result<Results, Error> {
    let ground = Ground::new()?;
    let means = Means::here();
    let valgrind = if options.counts_instructions { instructions::valgrind() } else { None };
    if options.counts_instructions && valgrind.is_none() {
        progress("instructions are not counted: no valgrind");
    }
    let (scripts, missing) = Script::find(ground.directory()).map_err(Error::Scripts)?;
    missing.iter().for_each(|why| progress(why));
    let results = Results {
        circumstances: Circumstances::here(),
        held_by: means.name(),
        roots: ground.trust.roots,
        empty_exchange_microseconds: runtime_api::empty_exchange().map_err(Error::Instrument)?,
        interpreters: scripts.iter().map(|script| (script.name, script.version.clone())).collect(),
        starts: Vec::new(),
        paths: Vec::new(),
        bills: Vec::new(),
        packages: packages(options)?,
        instructions: valgrind.as_ref().map(|_| Instructions::default()),
    };
    let mut bench = Bench { options, ground, scripts, means, valgrind, results };
    for path in Path::ALL {
        if options.only.as_ref().is_none_or(|only| path.name().contains(only.as_str())) {
            progress(path.name());
            if path.is_full_sweep() {
                bench.sweep(path)?;
            } else {
                bench.path(path)?;
            }
        }
    }
    Ok(bench.results)
}

impl Ground {
    pub fn new() -> Result<Self, Error> {
        let scratch = Scratch(std::env::temp_dir().join(format!("bench-{}", std::process::id())));
        fs::create_dir_all(&scratch.0).map_err(Error::Scratch)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self {
            runtime: runtime.map_err(Error::Scratch)?,
            template: Template::read(File::new("template.yaml"))?,
            trust: Trust::new(&scratch.0)?,
            scratch,
        })
    }

    /// Where the functions' output goes.
    pub fn directory(&self) -> &File {
        &self.scratch.0
    }

    /// One of its own for `path`.
    pub fn world(&self, path: &'static str) -> Result<World, Error> {
        let world = World::start(&self.runtime, &self.template, &self.trust);
        world.map_err(|source| Error::World { path, source })
    }
}

impl Bench<'_> {
    fn path(&mut self, path: Path) -> Result<(), Error> {
        let world = self.ground.world(path.name())?;
        let mut contestants = self.contestants(path, &world, self.events())?;
        if path.is_frozen() {
            world.table.freeze().map_err(|source| Error::Table { path: path.name(), source })?;
        }
        if path.has_floors() {
            self.starts(path, &mut contestants)?;
        }
        let measured =
            measure::warm(&mut contestants, path, &world, self.options.rounds, self.ground.directory());
        let measured = measured.map_err(|source| Error::Measure { path: path.name(), source })?;
        for (contestant, warm) in contestants.iter().zip(measured) {
            self.keep(&contestant.launch.name, path, warm);
        }
        self.count(path, &mut contestants)?;
        self.bill(path)
    }

    /// In a world of its own, whose table takes everything in.
    fn bill(&mut self, path: Path) -> Result<(), Error> {
        let world = self.ground.world(path.name())?;
        let mut contestants = self.contestants(path, &world, 2)?;
        let bill = measure::bill(contestants.remove(0), path, &world, self.ground.directory());
        let bill = bill.map_err(|source| Error::Measure { path: path.name(), source })?;
        self.results.bills.push(BillFigure { path, bill });
        Ok(())
    }

    fn starts(&mut self, path: Path, contestants: &mut [Contestant]) -> Result<(), Error> {
        for manner in [Manner::Free, Manner::Held, Manner::OneRoot] {
            let roots =
                if manner == Manner::OneRoot { &self.ground.trust.alone } else { &self.ground.trust.usual };
            for Contestant { launch, .. } in &mut *contestants {
                launch.trust(roots);
            }
            let held = (manner == Manner::Held).then_some(self.means);
            let starts =
                measure::starts(contestants, path, self.options.starts, held, self.ground.directory());
            let starts = starts.map_err(|source| Error::Measure { path: path.name(), source })?;
            let figures = contestants.iter().zip(starts).map(|(contestant, starts)| StartFigure {
                function: contestant.launch.name.clone(),
                path,
                manner,
                starts,
            });
            self.results.starts.extend(figures);
        }
        for Contestant { launch, .. } in contestants {
            launch.trust(&self.ground.trust.usual);
        }
        Ok(())
    }

    /// The instructions of the paths that are guarded.
    fn count(&mut self, path: Path, contestants: &mut [Contestant]) -> Result<(), Error> {
        let (Some(valgrind), Some(counts)) = (&self.valgrind, &mut self.results.instructions) else {
            return Ok(());
        };
        if !matches!(path, Path::New | Path::Read | Path::Callback) {
            return Ok(());
        }
        for contestant in contestants {
            // An interpreter's are its own affair, and take valgrind minutes.
            if !contestant.launch.under.is_empty() {
                continue;
            }
            progress(&format!("{}, instructions of {}", path.name(), contestant.launch.name));
            let counted =
                counts.count(contestant, path, valgrind, &self.ground.trust.alone, self.ground.directory());
            counted.map_err(|source| Error::Count { path: path.name(), source })?;
        }
        Ok(())
    }

    /// The one in the middle of several, each with records of its own.
    fn sweep(&mut self, path: Path) -> Result<(), Error> {
        let mut sweeps = Vec::new();
        for _ in 0..self.options.sweeps {
            let world = self.ground.world(path.name())?;
            let mut contestants = self.contestants(path, &world, self.events())?;
            thread::sleep(UNTIL_DUE);
            let Some(contestant) = contestants.pop() else { continue };
            let warm = measure::once(contestant, path, &world, self.ground.directory());
            sweeps.push(warm.map_err(|source| Error::Measure { path: path.name(), source })?);
        }
        sweeps.sort_by(|a, b| a.microseconds.p50.total_cmp(&b.microseconds.p50));
        if !sweeps.is_empty() {
            let middle = sweeps.swap_remove(sweeps.len() / 2);
            self.keep(path.function(), path, middle);
        }
        Ok(())
    }

    fn keep(&mut self, function: &str, path: Path, warm: Warm) {
        let table_answers_from_memory = path.is_frozen();
        self.results.paths.push(PathFigure {
            function: function.to_owned(),
            path,
            table_answers_from_memory,
            warm,
        });
    }

    /// No event comes twice: a delivery that was made is not made again.
    fn events(&self) -> usize {
        measure::WARM_UP + self.options.rounds * measure::TURN
    }

    /// The path's function with what it needs; and the floors, where they have the path, too.
    fn contestants(&self, path: Path, world: &World, count: usize) -> Result<Vec<Contestant>, Error> {
        let launch =
            |name: &str, changes| Ok::<_, Error>(world.launch(name, binary(self.options, name)?, changes));
        let launches = Launches {
            request: launch("request", path.changes())?,
            webhook: launch("webhook", path.changes())?,
            directory: self.ground.directory(),
        };
        let prepared = path.prepare(world, &launches, count);
        let events = prepared.map_err(|source| Error::Prepare { path: path.name(), source })?;
        let mut contestants = Vec::new();
        if path.has_floors() {
            for floor in FLOORS {
                let events = events.answered(path.status_of(floor));
                contestants.push(Contestant { launch: launch(floor, &[])?, events });
            }
            for script in &self.scripts {
                let events = events.answered(path.status_of(script.name));
                contestants.push(Contestant { launch: script.launch(world, &self.ground.trust), events });
            }
        }
        contestants.insert(0, Contestant { launch: launch(path.function(), path.changes())?, events });
        Ok(contestants)
    }
}

/// `DIR/NAME/bootstrap`, or `DIR/NAME`.
pub fn binary(options: &Options, name: &str) -> Result<PathBuf, Error> {
    let place = place(options, name);
    let found = [place.join("bootstrap"), place].into_iter().find(|path| path.is_file());
    let found = found.and_then(|path| path.canonicalize().ok());
    found.ok_or_else(|| Error::NotBuilt(name.to_owned()))
}

fn packages(options: &Options) -> Result<Vec<Package>, Error> {
    let mut packages = Vec::new();
    for name in FUNCTIONS.into_iter().chain(FLOORS) {
        match fs::metadata(place(options, name).join("bootstrap.zip")) {
            Ok(file) => packages.push(Package { function: name.to_owned(), zipped_bytes: file.len() }),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(Error::Package(name.to_owned(), error)),
        }
    }
    Ok(packages)
}

fn place(options: &Options, name: &str) -> PathBuf {
    if FUNCTIONS.contains(&name) { options.functions.join(name) } else { options.floors.join(name) }
}

/// What is being done; the results alone go to the standard output.
pub fn progress(what: &str) {
    let _ = writeln!(stderr(), "… {what}");
}
