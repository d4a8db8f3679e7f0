//! Many copies of both functions, all invoked at once and again and again, as when many requests and callbacks come
//! together. A copy knows nothing of the others, so what there is to see is what they take from each other: the
//! processor's caches, the system's scheduler, the table. Invoked in turn, one after the other, they take the caches alone.

use crate::measure::WARM_UP;
use crate::options::Options;
use crate::paths::{Events, Launches, Path};
use crate::process::{self, Process, own_cpu};
use crate::run::{self, Ground, binary, progress};
use crate::scale::{Error, per_second};
use crate::statistics::Spread;
use serde::Serialize;
use std::thread;
use std::time::{Duration, Instant};

const PATHS: [Path; 2] = [Path::New, Path::Callback];
/// Callbacks that are prepared: a frozen table takes each again and again, a live one once.
const EVENTS: usize = 500;
const EVENTS_LIVE: usize = 4_000;

/// How copies are invoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Manner {
    AtOnce,
    /// No two at a time.
    InTurn,
    /// At once, and the embedded DynamoDB answers, which takes more of the processors than the functions do. Else the
    /// table answers from memory.
    AtOnceLive,
}

/// So many copies of each function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Copies {
    /// Of each of the two.
    pub copies: usize,
    pub manner: Manner,
    /// What the instrument took of the processors' time meanwhile: it drives the copies, and is all that they call.
    pub instrument_cores: f64,
    pub functions: Vec<Driven>,
}

/// All copies of one function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Driven {
    pub function: &'static str,
    #[serde(serialize_with = "crate::results::name_of")]
    pub path: Path,
    pub invocations: usize,
    pub per_second: f64,
    /// What the copies took of the processors' time.
    pub cores: f64,
    /// Invocations for a second of a processor's time of the copies: their throughput on one core.
    pub per_cpu_second: f64,
    /// From the hand-over to the answer; most of it is waiting for a processor where there are more copies than those.
    pub microseconds: Spread,
}

/// A copy, ready and warm.
struct Copy {
    process: Process,
    events: Events,
    path: Path,
    took: Vec<f64>,
    cpu_before: Duration,
    cpu: Duration,
    ended: Instant,
}

/// `copies` of each function, for so long.
pub fn drive(
    ground: &Ground,
    options: &Options,
    copies: usize,
    manner: Manner,
    lasts: Duration,
) -> Result<Copies, Error> {
    progress(&format!("{copies} copies of each, {manner:?}"));
    let is_live = manner == Manner::AtOnceLive;
    let world = ground.world("copies")?;
    let launch = |name: &str| Ok::<_, run::Error>(world.launch(name, binary(options, name)?, &[]));
    let (request, webhook) = (launch("request")?, launch("webhook")?);
    let launches = Launches { request, webhook, directory: ground.directory() };
    let mut running = Vec::new();
    let mut prepared = Vec::new();
    for path in PATHS {
        let count = if is_live { EVENTS_LIVE } else { EVENTS };
        prepared.push((path, path.prepare(&world, &launches, count)?.share(copies)));
    }
    if !is_live {
        world.table.freeze()?;
    }
    for (path, shares) in prepared {
        let launch = if path.function() == "request" { &launches.request } else { &launches.webhook };
        for events in shares {
            running.push(Copy::start(Process::start(launch, ground.directory())?, events, path, is_live)?);
        }
    }

    let instrument_before = own_cpu();
    let begun = Instant::now();
    let until = begun + lasts;
    if manner == Manner::InTurn {
        in_turn(&mut running, until)?;
    } else {
        at_once(&mut running, until, is_live)?;
    }
    let (took, instrument) = (begun.elapsed(), own_cpu().saturating_sub(instrument_before));

    let functions =
        PATHS.into_iter().map(|path| Driven::of(path, &mut running, begun)).collect::<Option<_>>();
    Ok(Copies {
        copies,
        manner,
        instrument_cores: instrument.as_secs_f64() / took.as_secs_f64(),
        functions: functions.ok_or(Error::Nothing)?,
    })
}

/// Each by a thread of its own.
fn at_once(copies: &mut [Copy], until: Instant, is_live: bool) -> Result<(), process::Error> {
    thread::scope(|scope| {
        let drive = |copy: &mut Copy| {
            copy.begin()?;
            while Instant::now() < until && !(is_live && copy.events.are_over()) {
                copy.invoke()?;
            }
            copy.end()
        };
        let threads: Vec<_> = copies.iter_mut().map(|copy| scope.spawn(move || drive(copy))).collect();
        let mut joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.try_for_each(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn in_turn(copies: &mut [Copy], until: Instant) -> Result<(), process::Error> {
    copies.iter_mut().try_for_each(Copy::begin)?;
    while Instant::now() < until {
        copies.iter_mut().try_for_each(Copy::invoke)?;
    }
    copies.iter_mut().try_for_each(Copy::end)
}

impl Copy {
    fn start(mut process: Process, mut events: Events, path: Path, is_live: bool) -> Result<Self, Error> {
        // Few enough that a live table's events do not run out.
        for _ in 0..if is_live { WARM_UP / 10 } else { WARM_UP } {
            events.invoke(&mut process, path)?;
        }
        Ok(Self {
            process,
            events,
            path,
            took: Vec::new(),
            cpu_before: Duration::ZERO,
            cpu: Duration::ZERO,
            ended: Instant::now(),
        })
    }

    fn begin(&mut self) -> Result<(), process::Error> {
        self.cpu_before = self.process.cpu()?;
        Ok(())
    }

    fn invoke(&mut self) -> Result<(), process::Error> {
        let answer = self.events.invoke(&mut self.process, self.path)?;
        self.took.push(answer.took.as_secs_f64() * 1e6);
        Ok(())
    }

    fn end(&mut self) -> Result<(), process::Error> {
        self.ended = Instant::now();
        self.cpu = self.process.cpu()?.saturating_sub(self.cpu_before);
        Ok(())
    }
}

impl Driven {
    fn of(path: Path, copies: &mut [Copy], begun: Instant) -> Option<Self> {
        let mut copies: Vec<&mut Copy> = copies.iter_mut().filter(|copy| copy.path == path).collect();
        let samples: Vec<f64> = copies.iter_mut().flat_map(|copy| std::mem::take(&mut copy.took)).collect();
        let lasted = copies.iter().map(|copy| copy.ended).max()?.saturating_duration_since(begun);
        let cpu: Duration = copies.iter().map(|copy| copy.cpu).sum();
        let invocations = samples.len();
        Some(Self {
            function: path.function(),
            path,
            invocations,
            per_second: per_second(invocations, lasted),
            cores: cpu.as_secs_f64() / lasted.as_secs_f64(),
            per_cpu_second: per_second(invocations, cpu),
            microseconds: Spread::of(samples)?,
        })
    }
}
