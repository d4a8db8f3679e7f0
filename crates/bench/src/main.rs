//! `make bench`: what the two functions cost, measured beside two floors (`lambda_http` with a constant answer; the same
//! with one `PutItem`) and beside a function as the tutorials write it, in Rust, and where they are there in Node and Python.
//! Those stand in `bench/`.
//!
//!     bench [--functions DIR] [--floors DIR] [--only PATH] [--rounds N] [--starts N] [--scale] [--quick] [--keep]
//!
//! - `--functions target/lambda`, `--floors bench/target/lambda`: where the binaries are, as cargo-lambda leaves them;
//!   `target/release` does, too, but says nothing of packages.
//! - `--only callback`: the paths whose name has that in it.
//! - `--rounds 20`: of 25 warm invocations each. `--starts 25`: of each function, in each manner.
//! - `--quick`: less of everything, and no instructions, while something is developed.
//! - `--scale`: instead of all that, many copies of the functions at once, and sweeps of up to 100,000 records (`make
//!   scale`), kept in `bench/scale.json`.
//! - `--keep`: the instructions that are counted are those that later runs are held to (`bench/instructions.json`).
//!
//! The binaries are started as Lambda starts them, and everything that they call answers over TLS from this process. A
//! run of everything is kept in `bench/results.json`, and drawn in `bench/results.svg`; it fails where a function takes
//! 5 % more instructions than are kept. A target that is missed is said to be, and fails nothing: another machine may
//! have other ratios. It runs on Linux, from the project's folder.

mod backlog;
mod chart;
mod copies;
mod front;
mod hold;
mod http;
mod instructions;
mod machine;
mod measure;
mod options;
mod paths;
mod process;
mod report;
mod results;
mod run;
mod runtime_api;
mod scale;
mod scripts;
mod statistics;
mod table;
mod tls;
mod world;

use instructions::{Instructions, Regression};
use options::Options;
use report::{Report, ScaleReport};
use results::Results;
use std::error::Error;
use std::fs;
use std::io::{self, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

const RESULTS: &str = "bench/results.json";
const CHART: &str = "bench/results.svg";
const INSTRUCTIONS: &str = "bench/instructions.json";
const SCALE: &str = "bench/scale.json";

fn main() -> ExitCode {
    match bench() {
        Ok(code) => code,
        Err(error) => {
            say_chain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::read(std::env::args().skip(1))?;
    if options.scale {
        return scale(&options);
    }
    let results = run::everything(&options)?;
    say(&Report(&results).to_string())?;
    if options.is_whole() {
        fs::write(RESULTS, results.to_json()?)?;
        fs::write(CHART, chart::draw(&results))?;
        say(&format!("\nKept in {RESULTS}, drawn in {CHART}."))?;
    }
    let regressions = guard(&results, &options)?;
    for regression in &regressions {
        say(&format!("REGRESSION  {regression}"))?;
    }
    Ok(if regressions.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How the functions scale.
fn scale(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let scale = scale::measure(options)?;
    say(&ScaleReport(&scale).to_string())?;
    if options.is_whole() {
        fs::write(SCALE, results::kept(&scale)?)?;
        say(&format!("\nKept in {SCALE}."))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Holds the instructions to those that are kept, or keeps them.
fn guard(results: &Results, options: &Options) -> Result<Vec<Regression>, Box<dyn Error>> {
    let path = Path::new(INSTRUCTIONS);
    let Some(counted) = &results.instructions else { return Ok(Vec::new()) };
    if options.keep {
        fs::write(path, serde_json::to_string_pretty(counted)? + "\n")?;
        say(&format!("The instructions are kept in {INSTRUCTIONS}."))?;
        return Ok(Vec::new());
    }
    let Some(kept) = Instructions::read(path)? else {
        say(&format!("No instructions are kept in {INSTRUCTIONS}; `make bench KEEP=1` keeps them."))?;
        return Ok(Vec::new());
    };
    Ok(counted.regressions(&kept))
}

fn say(text: &str) -> io::Result<()> {
    writeln!(stdout(), "{}", text.trim_end())
}

fn say_chain(error: &dyn Error) {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    // There is nobody else to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
