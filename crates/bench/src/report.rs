//! What a run prints.

use crate::chart::digits;
use crate::copies;
use crate::machine::Circumstances;
use crate::measure::{Calls, Warm};
use crate::results::{BillFigure, Manner, Measured, PathFigure, Results, trimmed};
use crate::scale::Scale;
use std::fmt::{self, Display, Formatter};

/// The figures as tables.
pub struct Report<'a>(pub &'a Results);

impl Display for Report<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        circumstances(&self.0.circumstances, out)?;
        self.starts(out)?;
        self.warm(out)?;
        self.bills(out)?;
        self.packages(out)?;
        self.instructions(out)?;
        self.verdicts(out)
    }
}

impl Report<'_> {
    fn starts(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (manner, title) in [
            (Manner::Free, format!("Start, ms: {} roots, TLS, secrets fetched", self.0.roots)),
            (
                Manner::Held,
                format!("The same, held to a twelfth of a core after init, by {}", self.0.held_by),
            ),
            (Manner::OneRoot, "The same as the first, with one root".to_owned()),
        ] {
            let figures: Vec<_> = self.0.starts.iter().filter(|figure| figure.manner == manner).collect();
            if figures.is_empty() {
                continue;
            }
            writeln!(out, "\n{title}")?;
            writeln!(
                out,
                "  {:34}{:>8}{:>10}{:>8}{:>8}{:>8}{:>12}",
                "", "init", "answer", "p10", "p90", "CPU", "× tutorial"
            )?;
            for figure in figures {
                let answer = &figure.starts.answer;
                let beside = self.0.start("tutorial", figure.path, manner);
                writeln!(
                    out,
                    "  {:34}{:>8}{:>10}{:>8}{:>8}{:>8}{:>12}",
                    format!("{:10}{}", figure.function, figure.path.name()),
                    digits(figure.starts.init.p50),
                    digits(answer.p50),
                    digits(answer.p10),
                    digits(answer.p90),
                    digits(figure.starts.cpu.p50),
                    beside.map_or_else(String::new, |beside| digits(answer.p50 / beside.answer.p50)),
                )?;
            }
        }
        Ok(())
    }

    fn warm(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (sweeps, others): (Vec<_>, Vec<_>) =
            self.0.paths.iter().partition(|figure| figure.path.is_full_sweep());
        if !others.is_empty() {
            writeln!(
                out,
                "\nOne warm invocation: µs until the answer; µs of a processor until it asks for the next; MB at the peak;"
            )?;
            writeln!(
                out,
                "calls, and bytes of HTTP sent and received. An answer that takes no work takes {} µs here",
                digits(self.0.empty_exchange_microseconds)
            )?;
            self.invocations(out, &others, 1.0)?;
        }
        if !sweeps.is_empty() {
            writeln!(out, "\nOne sweep with 1,000 due, ms: mostly the table's emulator")?;
            self.invocations(out, &sweeps, 1e3)?;
        }
        Ok(())
    }

    /// `unit` of a microsecond.
    fn invocations(&self, out: &mut Formatter<'_>, figures: &[&PathFigure], unit: f64) -> fmt::Result {
        writeln!(
            out,
            "  {:34}{:>9}{:>9}{:>9}{:>6}{:>12}{:>12}  calls",
            "", "p50", "p99", "CPU", "MB", "p50 × tut.", "CPU × tut."
        )?;
        for figure in figures {
            let warm = &figure.warm;
            let beside = self.0.warm("tutorial", figure.path);
            let ratio = |of: fn(&Warm) -> f64| {
                beside.map_or_else(String::new, |beside| digits(of(warm) / of(beside)))
            };
            writeln!(
                out,
                "  {:34}{:>9}{:>9}{:>9}{:>6.1}{:>12}{:>12}  {}",
                format!("{:10}{}", figure.function, figure.path.name()),
                whole(warm.microseconds.p50 / unit),
                whole(warm.microseconds.p99 / unit),
                whole(warm.cpu_microseconds / unit),
                bytes_in_megabytes(warm.peak_bytes),
                ratio(|warm| warm.microseconds.p50),
                ratio(|warm| warm.cpu_microseconds),
                Called(figure),
            )?;
        }
        Ok(())
    }

    fn bills(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.0.bills.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\nOne invocation: DynamoDB's request units, its indexes' included, and bytes of log and metrics"
        )?;
        writeln!(out, "  {:34}{:>9}{:>9}{:>9}  of what is written, indexes", "", "written", "read", "log")?;
        for BillFigure { path, bill } in &self.0.bills {
            let (written, read) = (trimmed(bill.written_units), trimmed(bill.read_units));
            let indexes = bill.written_units_by_index.iter();
            let indexes: Vec<_> =
                indexes.map(|(index, units)| format!("{} {index}", trimmed(*units))).collect();
            let (name, log, indexes) = (path.name(), bill.log_bytes, indexes.join(", "));
            writeln!(out, "  {name:34}{written:>9}{read:>9}{log:>9}  {indexes}")?;
        }
        Ok(())
    }

    fn packages(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.0.packages.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nPackage, MB zipped, for {}", self.0.circumstances.processor)?;
        for package in &self.0.packages {
            let ours = bytes_in_megabytes(package.zipped_bytes);
            let beside = self.0.package("tutorial").map_or_else(String::new, |beside| digits(ours / beside));
            writeln!(out, "  {:34}{:>9.2}{beside:>12}", package.function, ours)?;
        }
        Ok(())
    }

    fn instructions(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Some(instructions) = &self.0.instructions else { return Ok(()) };
        writeln!(out, "\n{:36}{:>10}{:>12}", "Instructions, in thousands", "start", "invocation")?;
        for (name, count) in instructions.iter() {
            writeln!(out, "  {name:34}{:>10}{:>12}", count.start / 1_000, count.invocation / 1_000)?;
        }
        Ok(())
    }

    fn verdicts(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let verdicts = self.0.verdicts();
        if verdicts.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\nTargets. Starts are ours with one root to read and the tutorial's with all, as in Lambda"
        )?;
        for verdict in &verdicts {
            let met = if verdict.is_met { "met" } else { "NOT MET" };
            let what = format!("{}, {}", verdict.function, verdict.what);
            write!(out, "  {met:9}{what:50}")?;
            match &verdict.is {
                Measured::Ratio { ours, tutorials, unit, at_most } => {
                    let (ratio, ours, tutorials) = (ours / tutorials, digits(*ours), digits(*tutorials));
                    writeln!(out, "{ratio:.3} × tutorial (at most {at_most}): {ours} of {tutorials} {unit}")?;
                }
                Measured::Calls { are, .. } if verdict.is_met => writeln!(out, "{are}")?,
                Measured::Calls { are, are_to_be } => writeln!(out, "{are} instead of {are_to_be}")?,
            }
        }
        Ok(())
    }
}

fn circumstances(of: &Circumstances, out: &mut Formatter<'_>) -> fmt::Result {
    writeln!(
        out,
        "{}, commit {}, {} of {}, {} cores, Linux {}, load {}",
        of.date, of.commit, of.processor, of.cpu, of.cores, of.kernel, of.load
    )
}

/// How the functions scale, as tables.
pub struct ScaleReport<'a>(pub &'a Scale);

impl Display for ScaleReport<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        circumstances(&self.0.circumstances, out)?;
        self.copies(out)?;
        self.sweeps(out)?;
        self.idle_sweeps(out)
    }
}

impl ScaleReport<'_> {
    fn copies(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\nCopies of both functions, all invoked at once and again and again. On one core: invocations for a second of a"
        )?;
        writeln!(
            out,
            "processor's time of the functions alone; µs until the answer, for a processor waited for, too"
        )?;
        writeln!(
            out,
            "  {:8}{:24}{:>10}{:>12}{:>9}{:>9}{:>9}  instrument, table",
            "copies", "of each", "a second", "on one core", "p50", "p99", "cores"
        )?;
        for run in &self.0.copies {
            for driven in &run.functions {
                writeln!(
                    out,
                    "  {:<8}{:24}{:>10}{:>12}{:>9}{:>9}{:>9.2}  {:.2}, {}",
                    run.copies,
                    format!("{:10}{}", driven.function, driven.path.name()),
                    whole(driven.per_second),
                    whole(driven.per_cpu_second),
                    whole(driven.microseconds.p50),
                    whole(driven.microseconds.p99),
                    driven.cores,
                    run.instrument_cores,
                    match run.manner {
                        copies::Manner::AtOnce => "from memory",
                        copies::Manner::InTurn => "from memory; one after the other",
                        copies::Manner::AtOnceLive => "live",
                    },
                )?;
            }
        }
        Ok(())
    }

    fn sweeps(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\nSweeps until nothing is due, one round after the other; times are mostly the table's emulator"
        )?;
        writeln!(
            out,
            "  {:10}{:>8}{:>9}{:>8}{:>9}{:>10}{:>9}{:>11}{:>8}{:>9}  calls for a record; what each sweep did",
            "", "due", "stored", "at once", "sweeps", "seconds", "longest", "a second", "CPU µs", "MB"
        )?;
        for backlog in &self.0.sweeps {
            let longest = backlog.sweeps.iter().map(|sweep| sweep.seconds).fold(0.0, f64::max);
            let due = crate::measure::count(backlog.due);
            let calls: Vec<String> = [&backlog.table, &backlog.destination]
                .into_iter()
                .flat_map(|calls| &calls.by_operation)
                .map(|(operation, calls)| format!("{} {operation}", trimmed(*calls)))
                .collect();
            writeln!(
                out,
                "  {:10}{:>8}{:>9}{:>8}{:>9}{:>10.2}{:>9.2}{:>11}{:>8}{:>9.1}  {}; {}",
                backlog.function,
                backlog.due,
                backlog.stored,
                backlog.at_once,
                backlog.sweeps.len(),
                backlog.seconds,
                longest,
                whole(backlog.records_per_second),
                whole(backlog.cpu_seconds * 1e6 / due),
                bytes_in_megabytes(backlog.peak_bytes),
                calls.join(", "),
                backlog.sweeps.iter().map(|sweep| sweep.claimed.to_string()).collect::<Vec<_>>().join("+"),
            )?;
        }
        Ok(())
    }

    fn idle_sweeps(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "\nSweeps that find nothing: calls, bytes of HTTP sent and received, and µs")?;
        for idle in &self.0.idle_sweeps {
            writeln!(
                out,
                "  {:10}{:>8} stored  {}  {}",
                idle.function,
                idle.stored,
                said("table", &idle.table),
                whole(idle.microseconds),
            )?;
        }
        Ok(())
    }
}

/// Whom one invocation calls, and how much is said.
struct Called<'a>(&'a PathFigure);

impl Display for Called<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let warm = &self.0.warm;
        let of = [
            ("table", &warm.table),
            ("LogRocket", &warm.log_rocket),
            ("secrets", &warm.secrets),
            ("destination", &warm.destination),
        ];
        let called: Vec<String> = of
            .into_iter()
            .filter(|(_, calls)| calls.calls > 0.0)
            .map(|(name, calls)| said(name, calls))
            .collect();
        write!(out, "{}", called.join("; "))?;
        // Calls that wait for each other would be counted again and again.
        if !self.0.table_answers_from_memory && !self.0.path.is_full_sweep() {
            write!(out, "; {} µs are the emulator's", whole(warm.table.stand_in_microseconds))?;
        }
        Ok(())
    }
}

fn said(name: &str, calls: &Calls) -> String {
    format!("{} {name} {}/{}", trimmed(calls.calls), whole(calls.bytes_sent), whole(calls.bytes_received))
}

/// Whole, in groups of three digits.
fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[expect(clippy::cast_precision_loss, reason = "no memory here is near 2^53 bytes")]
fn bytes_in_megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::run;

    #[test]
    fn a_target_that_is_missed_is_said_to_be() {
        let report = Report(&run(500.0, &[("PutItem", 1.0)])).to_string();
        let line = |what: &str| report.lines().find(|line| line.contains(what)).unwrap().to_owned();
        assert!(line("request, start to first answer").trim_start().starts_with("met"));
        assert!(line("request, new request").contains("NOT MET"));
        assert!(line("request, new request").contains("1.250 × tutorial (at most 1): 500 of 400 µs"));
        assert!(
            line("calls of a new request")
                .ends_with("1 PutItem, 1 LogRocket instead of 1 PutItem, 1 UpdateItem, 1 LogRocket")
        );
    }

    #[test]
    fn long_numbers_are_read_in_groups() {
        assert_eq!(
            [whole(7.4), whole(999.0), whole(1_000.0), whole(1_915_925.4)],
            ["7", "999", "1,000", "1,915,925"]
        );
    }
}
