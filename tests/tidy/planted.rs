//! Each rule against a project with a violation, and against its nearest innocent neighbour.

use super::project::{Dependency, Finding, Kind, Metadata, Package, Project, Resolve, Resolved};
use super::{docs, manifests, sizes, walls, words};

fn found(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{}:{}", finding.file, finding.line)).collect()
}

/// A workspace of these rooms, with dependencies by folder or by name; `dev:` marks one for tests.
fn workspace(rooms: &[(&str, &[&str])], elsewhere: &[(&str, &[&str])]) -> Metadata {
    let package = |name: &str, manifest_path: String| Package {
        id: name.to_owned(),
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        manifest_path,
        license: Some("MIT".to_owned()),
        ..Package::default()
    };
    let node = |(name, dependencies): &(&str, &[&str])| Resolved {
        id: (*name).to_owned(),
        deps: dependencies
            .iter()
            .map(|dependency| {
                let kind = dependency.starts_with("dev:").then(|| "dev".to_owned());
                let pkg = dependency.trim_start_matches("dev:").to_owned();
                Dependency { pkg, dep_kinds: vec![Kind { kind }] }
            })
            .collect(),
    };
    Metadata {
        packages: rooms
            .iter()
            .map(|(room, _)| package(room, format!("/p/{room}/Cargo.toml")))
            .chain(elsewhere.iter().map(|(name, _)| package(name, format!("/registry/{name}/Cargo.toml"))))
            .collect(),
        workspace_members: rooms.iter().map(|(room, _)| (*room).to_owned()).collect(),
        workspace_root: "/p".to_owned(),
        resolve: Resolve { nodes: rooms.iter().chain(elsewhere).map(node).collect() },
    }
}

#[test]
fn a_dependency_against_the_directions_is_found() {
    let metadata = workspace(
        &[
            ("engine/core", &[]),
            ("engine/runtime", &["engine/core", "dev:engine/testkit"]),
            ("engine/testkit", &["engine/runtime", "nodes/ports"]),
            ("engine/sql", &["dev:nodes/ports"]),
            ("nodes/ports", &["engine/core"]),
            ("graphs", &["engine/runtime", "nodes/ports"]),
            ("cellar", &[]),
        ],
        &[],
    );
    assert_eq!(
        found(&walls::directions(&metadata)),
        [
            "cellar/Cargo.toml:0",
            "engine/sql/Cargo.toml:0",
            "engine/testkit/Cargo.toml:0",
            "nodes/ports/Cargo.toml:0"
        ]
    );
}

#[test]
fn a_clock_or_a_runtime_behind_another_crate_is_found() {
    let rooms: &[(&str, &[&str])] = &[("engine/core", &["serde", "dev:tokio"]), ("nodes/tools", &["rand"])];
    assert!(walls::absences(&workspace(rooms, &[("serde", &[]), ("tokio", &[]), ("rand", &[])])).is_empty());
    let metadata = workspace(rooms, &[("serde", &["tokio-util"]), ("tokio-util", &["time"]), ("time", &[])]);
    let findings = walls::absences(&metadata);
    assert_eq!(found(&findings), ["engine/core/Cargo.toml:0"; 2]);
    assert!(
        findings[0].words.contains("`time`") && findings[1].words.contains("`tokio-util`"),
        "{findings:?}"
    );
}

#[test]
fn a_word_of_models_in_the_engine_is_found_in_any_spelling() {
    for line in
        ["// a Prompt", "struct ChatModel;", "let llm_name = 1;", "//! OpenAI", "use x::embeddings;", "GPT"]
    {
        let project = Project::of(&[
            ("engine/sql/src/a.rs", &format!("fn a() {{}}\n{line}\n")),
            ("nodes/a/src/a.rs", line),
        ]);
        assert_eq!(found(&words::engine(&project)), ["engine/sql/src/a.rs:2"], "{line}");
    }
    let innocent = "promptly chatter embedded";
    assert!(words::engine(&Project::of(&[("engine/sql/src/a.rs", innocent)])).is_empty());
}

#[test]
fn a_look_at_the_world_from_the_core_is_found() {
    for line in [
        "use std::time::Duration;",
        "x.await;",
        "async fn a() {}",
        "thread::spawn",
        "std::fs::read",
        "rand()",
    ] {
        let project = Project::of(&[("engine/core/src/a.rs", line), ("engine/runtime/src/a.rs", line)]);
        assert_eq!(found(&words::core(&project)), ["engine/core/src/a.rs:1"], "{line}");
    }
    let innocent = "the asynchronous driver; operand; a thread of this name";
    assert!(words::core(&Project::of(&[("engine/core/src/a.rs", innocent)])).is_empty());
}

#[test]
fn a_path_of_one_machine_is_found() {
    let (work, root, home) = (format!("/{}", "work"), format!("/{}", "root"), format!("/{}/", "home"));
    for line in [format!("see {work}/main"), format!("`{root}`"), format!("cd {home}you"), work.clone()] {
        assert_eq!(
            found(&words::machine_paths(&Project::of(&[("README.md", &line)]))),
            ["README.md:1"],
            "{line}"
        );
    }
    for line in [
        format!("{work}space"),
        format!("docs{work}/a"),
        format!("cd {home}me/x"),
        format!("https://a.b{home}page"),
        format!("${{X}}{root}"),
    ] {
        assert!(words::machine_paths(&Project::of(&[("README.md", &line)])).is_empty(), "{line}");
    }
}

#[test]
fn work_that_was_put_off_is_found() {
    let line = format!("// {}DO: later", "TO");
    assert_eq!(found(&words::postponed(&Project::of(&[("src/a.rs", &line)]))), ["src/a.rs:1"]);
    assert!(words::postponed(&Project::of(&[("clippy.toml", "todo = \"warn\"")])).is_empty());
}

#[test]
fn a_crate_without_the_lints_is_found() {
    let metadata = workspace(&[("a", &[]), ("b", &[])], &[]);
    let with = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n";
    let root = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
    let project = Project::of(&[
        ("Cargo.toml", root),
        ("a/Cargo.toml", with),
        ("b/Cargo.toml", "[package]\nworkspace = true\n"),
    ]);
    assert_eq!(found(&manifests::lints(&project, &metadata)), ["b/Cargo.toml:0"]);
    let root = "[workspace.lints.rust]\nunsafe_code = \"warn\"\n[lints]\nunsafe_code = \"forbid\"\n";
    let project = Project::of(&[("Cargo.toml", root), ("a/Cargo.toml", with), ("b/Cargo.toml", with)]);
    assert_eq!(found(&manifests::lints(&project, &metadata)), ["Cargo.toml:2"]);
}

#[test]
fn a_licence_that_is_not_allowed_is_found() {
    let project = Project::of(&[(
        "deny.toml",
        "[licenses]\nallow = [\n  \"MIT\",\n  \"Zlib\",\n  \"A WITH B\",\n]\n[bans]\n\"GPL\"\n",
    )]);
    let judge = |licence: Option<&str>| {
        let mut metadata = workspace(&[("engine/core", &[])], &[("serde", &[])]);
        metadata.packages[1].license = licence.map(str::to_owned);
        manifests::licences(&project, &metadata).len()
    };
    for good in [
        "MIT",
        "GPL OR MIT",
        "GPL/MIT",
        "MIT AND Zlib",
        "(GPL OR MIT) AND Zlib",
        "A WITH B OR GPL",
        "GPL OR (MIT AND Zlib)",
    ] {
        assert_eq!(judge(Some(good)), 0, "{good}");
    }
    for bad in
        ["GPL", "MIT AND GPL", "(GPL OR MIT) AND GPL", "A", "A WITH C", "MIT WITH B", "", "(MIT", "MIT GPL"]
    {
        assert_eq!(judge(Some(bad)), 1, "{bad}");
    }
    assert_eq!(judge(None), 1);
}

#[test]
fn a_rust_version_that_is_too_low_or_too_high_is_found() {
    let mut metadata = workspace(&[("engine/core", &[])], &[("serde", &[]), ("sqlx", &[])]);
    metadata.packages[1].rust_version = Some("1.100.1".to_owned());
    metadata.packages[2].rust_version = Some("1.94".to_owned());
    for (declared, expected) in [("1.100.1", 0), ("1.94", 1), ("1.101", 1), ("1.100", 1)] {
        let root = format!("[workspace.package]\nedition = \"2024\"\nrust-version = \"{declared}\"\n");
        let findings = manifests::rust_version(&Project::of(&[("Cargo.toml", &root)]), &metadata);
        assert_eq!(findings.len(), expected, "{declared}");
        assert!(
            findings
                .iter()
                .all(|finding| finding.line == 3 && finding.words.contains("`serde` needs 1.100.1"))
        );
    }
}

#[test]
fn a_long_file_or_function_is_found_and_an_exception_must_be_needed() {
    let function = |lines: usize| {
        format!(
            "impl A {{\n    pub(crate) async fn a(\n        b: u8,\n    ) -> u8 {{\n{}    }}\n}}\n",
            "        b();\n".repeat(lines - 4)
        )
    };
    let file = |lines: usize| {
        format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "const A: u8 = 1;\n".repeat(lines),
            "    a\n".repeat(900)
        )
    };
    let (good, bad) = ((function(70), file(500)), (function(71), file(501)));
    let project = Project::of(&[("a/src/a.rs", &good.0), ("a/src/b.rs", &good.1), ("a/tests/c.rs", &bad.1)]);
    assert!(sizes::sizes(&project, &[]).is_empty());
    let project = Project::of(&[("a/src/a.rs", &bad.0), ("a/src/b.rs", &bad.1)]);
    assert_eq!(found(&sizes::sizes(&project, &[])), ["a/src/a.rs:2", "a/src/b.rs:0"]);
    assert_eq!(found(&sizes::sizes(&project, &[("a/src/b.rs", "why")])), ["a/src/a.rs:2"]);
    let stale = [("a/src/a.rs#a", "why"), ("a/src/b.rs", "why"), ("a/src/c.rs", "why")];
    assert_eq!(found(&sizes::sizes(&project, &stale)), ["tests/tidy/sizes.rs:0"]);
}

#[test]
fn a_code_without_a_page_and_a_page_without_a_code_are_found() {
    let page = |code: &str| format!("# {code}: a thing\n\n## What happened\n\n## Why\n\n## What to do\n");
    let source =
        "\n\"SW-N301\" \"SW-G1xx\" \"SW-Z999\" \"SW-N3012\"\n#[cfg(test)]\nmod tests {\n    \"SW-N302\"\n}\n";
    let (first, other) = (page("SW-N301"), page("SW-N303"));
    let project = Project::of(&[("a/src/a.rs", source), ("docs/errors/SW-N301.md", &first)]);
    assert!(docs::error_pages(&project).is_empty());
    let project = Project::of(&[("a/src/a.rs", source), ("docs/errors/SW-N303.md", &other)]);
    assert_eq!(found(&docs::error_pages(&project)), ["a/src/a.rs:2", "docs/errors/SW-N303.md:0"]);
    let project = Project::of(&[
        ("a/src/a.rs", source),
        ("docs/errors/SW-N301.md", "# SW-N302: x\n## Why\n## What to do\n"),
    ]);
    assert_eq!(found(&docs::error_pages(&project)), ["docs/errors/SW-N301.md:1", "docs/errors/SW-N301.md:0"]);
}

#[test]
fn a_decision_of_two_pages_or_without_a_part_is_found() {
    let decision = "## Context\n## Decision\n## Consequences\n## What would change our mind\n";
    assert!(docs::decisions(&Project::of(&[("docs/decisions/1.md", decision)])).is_empty());
    let long = format!("{decision}{}", "\n".repeat(67));
    let short = "## Context\n## Decision\n## Consequences\n";
    let project = Project::of(&[("docs/decisions/1.md", &long), ("docs/decisions/2.md", short)]);
    assert_eq!(found(&docs::decisions(&project)), ["docs/decisions/1.md:0", "docs/decisions/2.md:0"]);
}

#[test]
fn a_link_to_nowhere_is_found() {
    let target = ("docs/a.md", "# A title: with `code`\n");
    let check = |text: &str| found(&docs::links(&Project::of(&[("docs/x/b.md", text), target])));
    for good in [
        "[a](../a.md)",
        "[a](../a.md#a-title-with-code)",
        "[a](https://x.y/z)",
        "`[a](c.md)`",
        "```\n[a](c.md)\n```",
        "[x](..)",
    ] {
        assert_eq!(check(good), Vec::<String>::new(), "{good}");
    }
    for bad in ["[a](a.md)", "[a](../a.md#other)", "`x` and [a](../c/)", "![a](b.png)"] {
        assert_eq!(check(bad), ["docs/x/b.md:1"], "{bad}");
    }
}

#[test]
fn a_promise_that_names_no_test_is_found() {
    let page = "`not_in_a_table`\n\n| promise | `it_is_kept` `it_is_not_kept` `NORMAL` |\n";
    let project = Project::of(&[("docs/reliability.md", page), ("a/tests/a.rs", "fn it_is_kept() {}")]);
    let findings = docs::named_tests(&project);
    assert_eq!(found(&findings), ["docs/reliability.md:3"]);
    assert!(findings[0].words.contains("`it_is_not_kept`"));
}

#[test]
fn a_guide_whose_rust_nobody_tests_is_found() {
    let guide = |path| (path, "```rust\nfn a() {}\n```\n");
    let source = ("src/lib.rs", "#[doc = include_str!(\"../docs/guides/a.md\")]");
    let texts = [
        guide("docs/guides/a.md"),
        guide("docs/guides/b.md"),
        guide("README.md"),
        ("docs/guides/c.md", "x"),
        source,
    ];
    assert_eq!(found(&docs::guides(&Project::of(&texts))), ["docs/guides/b.md:0", "README.md:0"]);
}
