//! Defects that were reported against other engines, or reproduced in them, as tests of this one. Which defect is which
//! test, also where an older test covers it, stands in `docs/inherited-defects.md`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed helper fails its test")]

mod children;
mod joins;
mod mistakes;
mod resume;
mod rust_engines;
mod sharing;
mod storage;
#[path = "../run/support.rs"]
#[expect(dead_code, reason = "shared with the tests of runs, which use all of it")]
mod support;
