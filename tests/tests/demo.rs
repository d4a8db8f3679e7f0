//! `make demo`: the binaries under `cargo lambda watch`, as a newcomer runs them.

use std::process::{Command, Output};
use stories::{binary, project};

#[test]
fn the_demo_shows_highlights_with_their_links_and_does_so_again() {
    for run in 1..=2 {
        // It builds both functions for itself if nobody has; it needs cargo-lambda, as `make test` has it.
        let Output { status, stdout, stderr } = Command::new(binary("local"))
            .arg("demo")
            .current_dir(project())
            .output()
            .expect("the demo starts");
        let (shown, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "run {run}: {status}\n{shown}\n{errors}");
        assert!(shown.contains("202 Accepted"), "run {run}: {shown}");
        assert!(shown.contains("Highlights of alice@example.com"), "run {run}: {shown}");
        assert!(shown.contains("https://app.logrocket.com/"), "run {run}: {shown}");
    }
}
