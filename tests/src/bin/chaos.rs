//! `make chaos`: see [`stories::chaos`].

use std::io::{Result, Write, stdout};
use std::process::ExitCode;
use stories::chaos;

const REQUESTS: usize = 1_000;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut seed = None;
    let mut requests = REQUESTS;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let number = arguments.next().and_then(|number| number.parse::<u64>().ok());
        match (argument.as_str(), number.map(|number| (number, usize::try_from(number)))) {
            ("--seed", Some((number, _))) => seed = Some(number),
            ("--requests", Some((_, Ok(number)))) => requests = number,
            _ => {
                writeln!(stdout(), "usage: chaos [--seed NUMBER] [--requests NUMBER]")?;
                return Ok(ExitCode::from(2));
            }
        }
    }
    let seed = seed.unwrap_or_else(chaos::any_seed);
    writeln!(stdout(), "seed {seed}, {requests} requests")?;
    let report = chaos::run(seed, requests).await;
    write!(stdout(), "{report}")?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
