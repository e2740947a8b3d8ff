//! What rustc says to a user who writes a state, a route, a node or a wiring wrongly, word for word. The messages are
//! pinned on one release of rustc, which words them anew in others.

use std::process::Command;

/// The release that the `.stderr` files were written with.
const PINNED: &str = "rustc 1.95.";

#[test]
fn ui() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    if !version.starts_with(PINNED) {
        println!("skipped: the messages are pinned on {PINNED}x, and this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
