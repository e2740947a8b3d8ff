//! What the rules look at: the texts of the project, and cargo's own account of its dependencies. No rule is here.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde::Deserialize;

/// A violation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: String,
    /// From 1; 0 when it is about the file as a whole.
    pub(crate) line: usize,
    /// What is wrong, and after a semicolon what to do.
    pub(crate) words: String,
}

impl Finding {
    pub(crate) fn new(file: &str, line: usize, words: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, words: words.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line.max(1), self.words)
    }
}

/// A text of the project.
#[derive(Debug)]
pub(crate) struct Text {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Text {
    /// The lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Whether it is source that ships: in a `src` folder, and not a file of tests.
    pub(crate) fn is_source(&self) -> bool {
        let ships = self.path.starts_with("src/") || self.path.contains("/src/");
        ships && self.is_rust() && !self.path.contains("/tests/") && !self.path.ends_with("/tests.rs")
    }

    /// The number of lines before an inline module of tests.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let begins = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ");
        lines.windows(2).position(begins).unwrap_or(lines.len())
    }
}

/// All texts of the project.
#[derive(Debug, Default)]
pub(crate) struct Project {
    pub(crate) texts: Vec<Text>,
}

impl Project {
    /// The project that this test belongs to, read once.
    pub(crate) fn read() -> &'static Self {
        static PROJECT: LazyLock<Project> = LazyLock::new(|| {
            let mut project = Project::default();
            project.walk(Path::new(env!("CARGO_MANIFEST_DIR")), "");
            project.texts.sort_by(|a, b| a.path.cmp(&b.path));
            assert!(project.texts.len() > 50, "the project was not found");
            project
        });
        &PROJECT
    }

    /// A project made of these texts.
    pub(crate) fn of(texts: &[(&str, &str)]) -> Self {
        let text = |(path, text): &(&str, &str)| Text { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { texts: texts.iter().map(text).collect() }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Text> {
        self.texts.iter().find(|text| text.path == path)
    }

    fn walk(&mut self, folder: &Path, prefix: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{prefix}{name}");
            let hidden = name.starts_with('.') && name != ".ci" && name != ".gitignore";
            if hidden || name == "target" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                self.walk(&entry.path(), &format!("{path}/"));
            } else if let Ok(text) = String::from_utf8(std::fs::read(entry.path()).unwrap()) {
                self.texts.push(Text { path, text });
            }
        }
    }
}

/// What `cargo metadata` says, as far as the rules need it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) workspace_root: String,
    pub(crate) resolve: Resolve,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: String,
    pub(crate) license: Option<String>,
    pub(crate) license_file: Option<String>,
    pub(crate) rust_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Resolved>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Resolved {
    pub(crate) id: String,
    pub(crate) deps: Vec<Dependency>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<Kind>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Kind {
    /// `dev`, `build`, or nothing for a plain dependency.
    pub(crate) kind: Option<String>,
}

impl Dependency {
    /// Whether it is only there for tests.
    pub(crate) fn is_dev(&self) -> bool {
        self.dep_kinds.iter().all(|kind| kind.kind.as_deref() == Some("dev"))
    }
}

impl Metadata {
    /// What cargo says, asked once.
    pub(crate) fn read() -> &'static Self {
        static METADATA: LazyLock<Metadata> = LazyLock::new(Metadata::ask);
        &METADATA
    }

    /// Only for this platform: packages of others need not be on the disk after a build.
    fn ask() -> Self {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let version = run(Command::new(rustc).arg("-vV"));
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
        let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", &host];
        let output = run(Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")));
        serde_json::from_str(&output).unwrap()
    }

    /// The folder of a member relative to the root; empty for the façade, nothing for a package from elsewhere.
    pub(crate) fn room(&self, id: &str) -> Option<&str> {
        if !self.workspace_members.iter().any(|member| member == id) {
            return None;
        }
        let package = self.packages.iter().find(|package| package.id == id)?;
        let folder = Path::new(&package.manifest_path).parent()?;
        folder.strip_prefix(&self.workspace_root).ok()?.to_str()
    }

    /// The members by folder.
    pub(crate) fn rooms(&self) -> Vec<(&str, &Resolved)> {
        let nodes = self.resolve.nodes.iter();
        let mut rooms: Vec<_> = nodes.filter_map(|node| Some((self.room(&node.id)?, node))).collect();
        rooms.sort_by_key(|(room, _)| *room);
        rooms
    }

    /// The names of the packages by id.
    pub(crate) fn names(&self) -> HashMap<&str, &str> {
        self.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect()
    }

    /// The packages that are not ours.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !self.workspace_members.contains(&package.id))
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The path of a room's manifest.
pub(crate) fn manifest(room: &str) -> String {
    if room.is_empty() { "Cargo.toml".to_owned() } else { format!("{room}/Cargo.toml") }
}
