//! Which room may know which: the directions of the design as one table, and crates that must not be in a tree.

use std::collections::{HashMap, HashSet};

use super::project::{Finding, Metadata, Resolved, manifest};

/// Everything.
const ALL: &[&str] = &["*"];

/// What each room may depend on, beside crates from elsewhere. A room that is not here may not exist.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("engine/core", &[]),
    ("engine/macros", &[]),
    ("engine/runtime", &["engine/core", "engine/macros"]),
    ("engine/sql", &["engine/core", "engine/runtime"]),
    ("engine/testkit", &["engine/core", "engine/runtime"]),
    ("nodes/ports", &[]),
    ("nodes/models", &["nodes/ports"]),
    ("nodes/tools", &["nodes/ports"]),
    ("nodes/context", &["nodes/ports"]),
    (
        "graphs",
        &["engine/core", "engine/runtime", "nodes/ports", "nodes/models", "nodes/tools", "nodes/context"],
    ),
    ("benches", ALL),
    ("", ALL),
];

/// What may be added for tests alone: neighbours on the same side of the wall.
const FOR_TESTS: &[(&str, &[&str])] =
    &[("engine/", &["engine/"]), ("nodes/", &["nodes/"]), ("graphs", &["engine/", "nodes/"])];

/// Crates that must not be in the tree of a room, directly or not. A `*` at the end stands for any ending.
const ABSENT: &[(&str, &[&str], &str)] = &[
    (
        "engine/core",
        &["tokio*", "futures*", "async-*", "smol", "mio", "pin-project*"],
        "the core does not wait",
    ),
    ("engine/core", &["chrono", "time", "jiff", "web-time"], "the core reads no clock"),
    ("engine/core", &["rand", "rand_*", "getrandom", "fastrand", "uuid"], "the core draws no random number"),
    (
        "engine/core",
        &["rustix", "socket2", "reqwest", "hyper", "sqlx*", "tracing*", "tempfile"],
        "the core does no I/O",
    ),
    ("engine/macros", &["tokio*", "serde_json"], "the macros hold no logic"),
    (
        "engine/runtime",
        &["sqlx*", "reqwest", "hyper", "rustls"],
        "the driver knows stores and networks only as ports",
    ),
    ("engine/sql", &["reqwest", "hyper", "tiktoken-rs"], "the engine knows no language model"),
    ("nodes/ports", &["tokio*", "reqwest", "hyper", "sqlx*"], "a port is traits and data"),
    ("nodes/tools", &["sqlx*"], "nodes store nothing themselves"),
    ("nodes/context", &["sqlx*", "reqwest"], "context is made from local texts"),
];

/// Dependencies between rooms that the table does not allow.
pub(crate) fn directions(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (room, node) in metadata.rooms() {
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(known, _)| *known == room) else {
            let words = "a room that the table of directions does not know; add it to tests/tidy/walls.rs";
            findings.push(Finding::new(&manifest(room), 0, words));
            continue;
        };
        let sides = FOR_TESTS.iter().filter(|(side, _)| room.starts_with(side)).flat_map(|(_, extra)| *extra);
        let for_tests: Vec<&str> = sides.copied().collect();
        for dependency in &node.deps {
            let Some(target) = metadata.room(&dependency.pkg).filter(|target| *target != room) else {
                continue;
            };
            let direct = allowed.contains(&"*") || allowed.contains(&target);
            let tested = dependency.is_dev() && for_tests.iter().any(|side| target.starts_with(side));
            if !direct && !tested {
                let words = format!(
                    "`{room}` depends on `{target}`, which the design forbids; move what it needs, or bind both in a room above"
                );
                findings.push(Finding::new(&manifest(room), 0, words));
            }
        }
    }
    findings
}

/// Crates in the tree of a room that must not be there.
pub(crate) fn absences(metadata: &Metadata) -> Vec<Finding> {
    let nodes: HashMap<&str, &Resolved> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let names = metadata.names();
    let mut findings = Vec::new();
    for (room, node) in metadata.rooms() {
        let rules: Vec<_> = ABSENT.iter().filter(|(wanted, ..)| *wanted == room).collect();
        for id in if rules.is_empty() { HashSet::new() } else { tree(&nodes, node) } {
            let Some(name) = names.get(id) else { continue };
            for (_, absent, why) in &rules {
                if absent.iter().any(|pattern| fits(pattern, name)) {
                    let words = format!(
                        "`{name}` is in the tree of `{room}`, but {why}; find the way in by `cargo tree -e normal -i {name}`"
                    );
                    findings.push(Finding::new(&manifest(room), 0, words));
                }
            }
        }
    }
    findings.sort_by(|a, b| (&a.file, &a.words).cmp(&(&b.file, &b.words)));
    findings
}

fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |beginning| name.starts_with(beginning))
}

/// Everything that a room is built from, its tests apart.
fn tree<'a>(nodes: &HashMap<&'a str, &'a Resolved>, root: &'a Resolved) -> HashSet<&'a str> {
    let mut found = HashSet::new();
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        for dependency in node.deps.iter().filter(|dependency| !dependency.is_dev()) {
            if found.insert(dependency.pkg.as_str()) {
                open.extend(nodes.get(dependency.pkg.as_str()));
            }
        }
    }
    found
}
