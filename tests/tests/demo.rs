//! `make demo`: the binaries under `cargo lambda watch`, as a newcomer runs them.

// A demo that shows something else is a failed test, and says why.
#![allow(clippy::expect_used, clippy::panic)]

use std::process::{Command, Output};
use stories::{binary, project};

#[test]
fn the_demo_shows_highlights_and_what_slack_and_zendesk_make_of_them_and_does_so_again() {
    for run in 1..=2 {
        // It builds both functions for itself if nobody has; it needs cargo-lambda, as `make test` has it.
        let Output { status, stdout, stderr } = Command::new(binary("local"))
            .arg("demo")
            .current_dir(project())
            .env("COLUMNS", "80")
            .output()
            .expect("the demo starts");
        let (shown, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "run {run}: {status}\n{shown}\n{errors}");
        assert!(shown.contains("202 Accepted"), "run {run}: {shown}");
        assert!(shown.contains("Highlights of alice@example.com"), "run {run}: {shown}");
        assert!(!shown.contains('\u{1b}'), "run {run}: no terminal, no colour: {shown}");

        let slack = message(&shown, "┌─ Slack, channel C0123456789 (its members see it) ─");
        let zendesk = message(&shown, "┌─ Zendesk, ticket 35436, internal note (agents alone see it) ─");
        assert_eq!(shown.matches("┌─").count(), 2, "run {run}: each once, and nobody else: {shown}");
        for seen in [&slack, &zendesk] {
            assert_eq!(seen.first().map(String::as_str), Some("Highlights of alice@example.com"), "{shown}");
            assert!(seen.iter().any(|line| line == "> Why did checkout fail?"), "run {run}: {seen:#?}");
            let session = seen.iter().find_map(|line| line.strip_prefix("• Session 1 ["));
            let number = session.and_then(|line| line.split(']').next()).expect("a session with its link");
            let link = format!("\n[{number}] https://app.logrocket.com/acme/shop/s/");
            assert!(shown.contains(&link), "run {run}: {link} is not in {shown}");
        }
    }
}

/// The lines of the message in the frame that begins so, which are those of its text and how long it took.
#[track_caller]
fn message(shown: &str, title: &str) -> Vec<String> {
    let (_, rest) = shown.split_once(title).unwrap_or_else(|| panic!("{title} is not in {shown}"));
    let (lines, foot) = rest.split_once("\n└─ ").expect("the frame's end");
    let (delay, _) = foot.split_once(" after the outcome ─").expect("how long it took");
    assert!(delay.ends_with(" ms") || delay.ends_with(" s"), "{delay}");
    let lines = lines.lines().skip(1).map(|line| {
        assert!(line.chars().count() <= 80, "{line}");
        line.trim_start_matches('│').trim_start().to_owned()
    });
    lines.collect()
}
