//! What tests of rendering have in common: whatever may stand in highlights.

// No test binary uses all of it.
#![allow(dead_code)]

pub mod pages;

use judges::hostile::{SNIPPETS, URLS};
use proptest::prelude::*;

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
