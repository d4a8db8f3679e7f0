//! SECURITY.md claims what tests show: each of them is there, under the name by which it can be run.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use stories::project;

#[test]
fn every_test_that_the_page_names_is_there() {
    let page = read_to_string(project().join("SECURITY.md")).unwrap();
    let named = named_tests(&page);
    assert!(named.len() > 40, "{named:#?}");

    let there: BTreeSet<String> = sources().iter().flat_map(|source| tests_in(source)).collect();
    let is_there = |name: &str| {
        let ends_so = |test: &String| *test == name || test.ends_with(&format!("::{name}"));
        there.iter().any(ends_so)
    };
    let gone: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(gone.is_empty(), "SECURITY.md names tests that are not there: {gone:#?}");
}

/// What stands in backquotes and reads like a test's path, in the last column of the tables and in the opening.
fn named_tests(page: &str) -> BTreeSet<String> {
    let is_name = |text: &&str| {
        let last = text.rsplit("::").next().unwrap_or_default();
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':';
        text.chars().all(is_word)
            && last.matches('_').count() >= 1
            && (text.contains("::") || last.len() > 10)
    };
    page.split('`').skip(1).step_by(2).filter(is_name).map(str::to_owned).collect()
}

fn sources() -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let mut folders = vec![project().join("crates"), project().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => sources.push(path),
                _ => {}
            }
        }
    }
    sources
}

/// The tests of one file, under the names that their modules give them.
fn tests_in(source: &Path) -> Vec<String> {
    let text = read_to_string(source).unwrap();
    let mut module = module_of(source);
    let (mut found, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if line == "mod tests {" {
            module = format!("{module}::tests");
        }
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('(')).map(|(name, _)| name);
        if let Some(name) = name.filter(|_| is_test && !line.starts_with("//")) {
            found.push(format!("{module}::{name}"));
            is_test = false;
        }
    }
    found
}

/// `crates/aws/src/outgoing/tests.rs` is `…::src::outgoing::tests`: its end is how the test is called.
fn module_of(source: &Path) -> String {
    let path = source.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    parts.collect::<Vec<_>>().join("::")
}
