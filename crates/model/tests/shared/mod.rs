//! What tests of rendering have in common: whatever may stand in highlights.

// No test binary uses all of it.
#![allow(dead_code)]

pub mod pages;

use judges::hostile::{SNIPPETS, URLS};
use proptest::prelude::*;
use std::{env, fs, path::PathBuf};

/// Compares what was written with the file of this name in `snapshots/`.
#[track_caller]
pub fn check_file(name: &str, written: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if env::var("UPDATE_SNAPSHOTS").is_ok_and(|value| value == "1") {
        fs::write(&path, written).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let differs = || {
        let (at, (old, new)) = expected
            .lines()
            .chain([""])
            .zip(written.lines().chain([""]))
            .enumerate()
            .find(|(_, (old, new))| old != new)?;
        Some(format!("line {}:\n-{old}\n+{new}", at + 1))
    };
    assert!(
        expected == written,
        "{} differs, from {}\n\nIf it is to be so: UPDATE_SNAPSHOTS=1 cargo test -p model, and read the diff.",
        path.display(),
        differs().unwrap_or_else(|| "its last line on".to_owned()),
    );
}

pub fn target() -> impl Strategy<Value = String> {
    prop::sample::select(URLS.as_slice()).prop_map(str::to_owned)
}

pub fn piece() -> impl Strategy<Value = String> {
    let snippets = prop::sample::select(SNIPPETS.as_slice()).prop_map(str::to_owned);
    prop_oneof![
        12 => snippets,
        1 => any::<char>().prop_map(String::from),
        1 => target(),
        1 => target().prop_map(|url| format!("<{url}>")),
        1 => target().prop_map(|url| format!("](<{url}>)")),
        1 => ("[a-z*_`!\\[\\]]{0,4}", target()).prop_map(|(text, url)| format!("[{text}]({url})")),
        1 => ("[a-z*_`!\\[\\]]{0,4}", target()).prop_map(|(text, url)| format!("![{text}]({url} \"title\")")),
        1 => target().prop_map(|url| format!("\n\n[r]: {url} 'title'\n\n[a][r] [r] ![r]")),
        1 => target().prop_map(|url| format!("[![x]({url})](https://app.logrocket.com/a)")),
        1 => target().prop_map(|url| format!("<a href='{url}' onclick=x>")),
        1 => "[a-c*_` ]{1,12}",
    ]
}
