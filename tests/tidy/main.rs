//! The project's own rules, checked over its sources in every `cargo test`: walls between rooms as absences, words
//! that a room must not know, sizes, and documents that stay true. Not a linter: what clippy, rustfmt, rustc or
//! cargo-deny can say is left to them.
//!
//! Every rule is a function from the project to findings, and a finding says file, line, and what to do. The tests
//! in `planted` hand each rule a project with a violation, so a rule that finds nothing is known to be able to.

#![expect(clippy::unwrap_used, reason = "a project that cannot be read is a failed test")]

mod docs;
mod manifests;
mod planted;
mod project;
mod sizes;
mod walls;
mod words;

use std::fmt::Write as _;

use project::{Finding, Metadata, Project};

/// Fails with everything that the rule found.
fn obey(rule: &str, findings: &[Finding]) {
    let mut list = String::new();
    for finding in findings {
        let _ = write!(list, "\n  {finding}");
    }
    assert!(findings.is_empty(), "{rule}: {} to mend{list}", findings.len());
}

#[test]
fn rooms_depend_only_in_the_designed_directions() {
    obey("directions of dependencies", &walls::directions(Metadata::read()));
}

#[test]
fn rooms_stay_free_of_what_they_must_not_know() {
    obey("absent dependencies", &walls::absences(Metadata::read()));
}

#[test]
fn the_engine_names_no_message_prompt_or_model() {
    obey("words of the engine", &words::engine(Project::read()));
}

#[test]
fn the_core_has_no_clock_thread_file_socket_or_await() {
    obey("words of the core", &words::core(Project::read()));
}

#[test]
fn no_text_holds_a_path_of_one_machine() {
    obey("paths of a machine", &words::machine_paths(Project::read()));
}

#[test]
fn no_text_postpones_work() {
    obey("postponed work", &words::postponed(Project::read()));
}

#[test]
fn every_crate_inherits_the_lints_and_unsafe_is_forbidden() {
    obey("lints", &manifests::lints(Project::read(), Metadata::read()));
}

#[test]
fn every_licence_of_a_dependency_is_allowed() {
    obey("licences", &manifests::licences(Project::read(), Metadata::read()));
}

#[test]
fn the_declared_rust_version_is_the_highest_that_a_dependency_needs() {
    obey("rust-version", &manifests::rust_version(Project::read(), Metadata::read()));
}

#[test]
fn files_and_functions_stay_readable() {
    obey("sizes", &sizes::sizes(Project::read(), sizes::ALLOWED));
}

#[test]
fn every_error_code_has_its_page_and_every_page_its_code() {
    obey("error pages", &docs::error_pages(Project::read()));
}

#[test]
fn a_decision_fits_on_a_page() {
    obey("decisions", &docs::decisions(Project::read()));
}

#[test]
fn links_between_documents_lead_somewhere() {
    obey("links", &docs::links(Project::read()));
}

#[test]
fn the_tests_that_a_document_names_exist() {
    obey("named tests", &docs::named_tests(Project::read()));
}

#[test]
fn the_rust_in_guides_is_tested() {
    obey("tested guides", &docs::guides(Project::read()));
}
