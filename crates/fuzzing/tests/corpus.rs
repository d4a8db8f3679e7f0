//! The corpus of every target, as plain tests; and as many mutations of it as a second or so allows.

#![cfg(test)]

use fuzzing::{BETWEEN, TARGETS};
use judges::hostile::{SNIPPETS, URLS};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::{fs, iter};

/// A corpus is small: what it holds is to be read, and to be kept.
const MAX_FILES: usize = 60;
const MAX_BYTES: u64 = 60_000;

fn fuzz(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(path)
}

fn names(folder: PathBuf) -> BTreeSet<String> {
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Runs the target over its corpus, and over `rounds` mutations of it.
fn run(name: &str, rounds: usize) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let folder = fuzz("corpus").join(name);
    let corpus: Vec<Vec<u8>> =
        names(folder.clone()).iter().map(|file| fs::read(folder.join(file)).unwrap()).collect();
    assert!(!corpus.is_empty() && corpus.len() <= MAX_FILES, "{} files", corpus.len());
    let bytes = corpus.iter().map(|input| input.len() as u64).sum::<u64>();
    assert!(bytes <= MAX_BYTES, "{bytes} bytes");
    let mut random = Random(0x5eed);
    let mutants = iter::repeat_with(|| mutant(&corpus, &mut random)).take(rounds);
    for input in corpus.iter().cloned().chain(mutants.collect::<Vec<_>>()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            eprintln!("the input was {}", input.escape_ascii());
            resume_unwind(panic);
        }
    }
}

/// An input of the corpus with one to eight things done to it.
fn mutant(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = random.of(corpus).clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let to = at + random.below((input.len() - at).min(24) + 1);
        match random.below(8) {
            0 => drop(input.drain(at..to)),
            1 => {
                let twice = input[at..to].to_vec();
                input.splice(at..at, twice);
            }
            2 => input.truncate(at),
            3 => {
                let other = random.of(corpus);
                let from = random.below(other.len() + 1);
                input.splice(at..to, other[from..].iter().take(200).copied());
            }
            4 => drop(input.splice(at..to, random.of(&SNIPPETS).bytes())),
            5 => drop(input.splice(at..to, random.of(&URLS).bytes())),
            6 => drop(input.splice(at..at, random.of(&SPECIAL).bytes())),
            _ => drop(input.splice(at..at, [random.below(256) as u8])),
        }
    }
    input
}

/// What means something to a parser of JSON, of numbers or of queries.
const SPECIAL: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "0",
    "1e400",
    "0.5",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999",
    "\\ud800",
    "\\u0000",
    "&",
    "=",
    "%",
    "%00",
    "+",
    BETWEEN,
];

/// xorshift64*: the same inputs in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// One test for each target: its corpus, and so many mutations of it.
macro_rules! corpora {
    ($($name:ident: $rounds:literal,)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name), $rounds);
            }
        )*

        #[test]
        fn every_target_has_a_binary_a_corpus_and_a_test() {
            let targets = BTreeSet::from(TARGETS.map(|(name, _)| name.to_owned()));
            assert_eq!(targets, [$(stringify!($name)),*].map(str::to_owned).into());
            assert_eq!(targets, names(fuzz("corpus")));
            let sources = names(fuzz("fuzz_targets"));
            assert_eq!(targets.iter().map(|name| format!("{name}.rs")).collect::<BTreeSet<_>>(), sources);
            let manifest = fs::read_to_string(fuzz("Cargo.toml")).unwrap();
            for name in &targets {
                assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n")));
                let source = fs::read_to_string(fuzz("fuzz_targets").join(format!("{name}.rs"))).unwrap();
                assert!(source.contains(&format!("fuzzing::{name}(bytes)")), "{source}");
            }
        }
    };
}

// Those that render are slow without optimisation.
corpora! {
    address: 3_000,
    answers: 3_000,
    callback: 3_000,
    callback_url: 3_000,
    card: 500,
    html: 500,
    http: 3_000,
    identifiers: 3_000,
    list_query: 3_000,
    markdown: 500,
    page: 60,
    request: 3_000,
    request_event: 3_000,
    retry_after: 3_000,
    secrets: 3_000,
    slack: 500,
    split: 100,
    text: 500,
    webhook_event: 3_000,
}
