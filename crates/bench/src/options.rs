//! The command line.

use std::path::PathBuf;

/// What is measured, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where `request` and `webhook` are: `NAME/bootstrap` with `NAME/bootstrap.zip`, as cargo-lambda leaves them, or
    /// `NAME` alone, of which there is no package then.
    pub functions: PathBuf,
    /// The same for `constant`, `put` and `tutorial`.
    pub floors: PathBuf,
    /// A part of the path's name.
    pub only: Option<String>,
    /// Of warm invocations, 25 in each.
    pub rounds: usize,
    /// Of each function, in each manner.
    pub starts: usize,
    /// Of each sweep with 1,000 due.
    pub sweeps: usize,
    pub counts_instructions: bool,
    /// Whether it is measured how the functions scale, and nothing else.
    pub scale: bool,
    /// Whether that is done with less of everything.
    pub quick: bool,
    /// Whether the instructions that are counted are those that are to be kept.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            functions: "target/lambda".into(),
            floors: "bench/target/lambda".into(),
            only: None,
            rounds: 20,
            starts: 25,
            sweeps: 3,
            counts_instructions: true,
            scale: false,
            quick: false,
            keep: false,
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    #[error(
        "{0} is none of the options --functions, --floors, --only, --rounds, --starts, --scale, --quick, --keep"
    )]
    Unknown(String),
    #[error("{0} wants a value")]
    NoValue(String),
    #[error("{0} wants a number from 1 on")]
    NoNumber(String),
}

impl Options {
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, BadOption> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| BadOption::NoValue(name.clone()));
            let number = |text: String| text.parse().ok().filter(|number| *number > 0);
            match name.as_str() {
                "--functions" => options.functions = value()?.into(),
                "--floors" => options.floors = value()?.into(),
                "--only" => options.only = Some(value()?),
                "--rounds" => options.rounds = number(value()?).ok_or(BadOption::NoNumber(name))?,
                "--starts" => options.starts = number(value()?).ok_or(BadOption::NoNumber(name))?,
                "--scale" => options.scale = true,
                "--quick" => {
                    let (counts_instructions, quick) = (false, true);
                    options = Self { rounds: 4, starts: 5, sweeps: 1, counts_instructions, quick, ..options };
                }
                "--keep" => options.keep = true,
                _ => return Err(BadOption::Unknown(name)),
            }
        }
        Ok(options)
    }

    /// Whether the run is one that can be compared with others, and so is kept.
    pub fn is_whole(&self) -> bool {
        let whole = Self {
            functions: self.functions.clone(),
            floors: self.floors.clone(),
            scale: self.scale,
            keep: self.keep,
            ..Self::default()
        };
        *self == whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, BadOption> {
        Options::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_run_is_whole_unless_something_is_left_out() {
        assert!(read("").unwrap().is_whole());
        assert!(read("--functions a --floors b --keep").unwrap().is_whole());
        assert!(read("--scale").unwrap().is_whole() && !read("--scale --quick").unwrap().is_whole());
        for part in ["--only read", "--quick", "--rounds 3", "--starts 2"] {
            assert!(!read(part).unwrap().is_whole(), "{part}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(read("--all"), Err(BadOption::Unknown("--all".to_owned())));
        assert_eq!(read("--only"), Err(BadOption::NoValue("--only".to_owned())));
        assert_eq!(read("--rounds 0"), Err(BadOption::NoNumber("--rounds".to_owned())));
    }
}
