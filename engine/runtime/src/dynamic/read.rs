//! From a value to a document: each part is read on its own, so that all that is misspelt is said at once.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use statewright_engine_core::graph::nearest;

use super::document::GraphDocument;
use super::problem::{DocumentProblem, DocumentProblems};

/// The most that a document may hold of anything.
const NODES_MAX: usize = 1_000;
const FIELDS_MAX: usize = 500;
const EDGES_MAX: usize = 10_000;
/// The longest a name may be, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 200;

const MEMBERS: [&str; 8] = ["name", "state", "nodes", "start", "edges", "branches", "maps", "joins"];

impl GraphDocument {
    /// Reads a document that was a text in some format, such as
    /// `toml::from_str::<serde_json::Value>(text)` or `serde_json::from_str(text)` give it.
    ///
    /// # Errors
    /// All parts that are none, with `SW-G136` and the place of each.
    pub fn read(value: &Value) -> Result<Self, DocumentProblems> {
        let Value::Object(members) = value else {
            let message = format!("a graph is an object with {}", listed(&MEMBERS));
            return Err(DocumentProblems::new("?", vec![malformed("", message)]));
        };
        let mut reader = Reader { members, problems: Vec::new() };
        for name in members.keys().filter(|name| !MEMBERS.contains(&name.as_str())) {
            let hint = meant(name, MEMBERS.into_iter());
            let hint = hint.map_or_else(
                || format!("it has {}", listed(&MEMBERS)),
                |near| format!("did you mean `{near}`?"),
            );
            reader.problems.push(malformed("", format!("a graph has no `{name}`; {hint}")));
        }
        for name in ["name", "state", "nodes", "start"].iter().filter(|name| !members.contains_key(**name)) {
            reader.problems.push(malformed("", format!("`{name}` is missing")));
        }
        let document = Self {
            name: reader.one("name"),
            state: reader.state(),
            nodes: reader.list("nodes"),
            start: reader.one("start"),
            edges: reader.list("edges"),
            branches: reader.list("branches"),
            maps: reader.list("maps"),
            joins: reader.list("joins"),
        };
        if reader.problems.is_empty() {
            return Ok(document);
        }
        Err(DocumentProblems::new(document.name, reader.problems))
    }

    /// Whether it is small enough to be worked on: what is not is said, and nothing else.
    pub(super) fn too_large(&self) -> Vec<DocumentProblem> {
        let ways: usize = self.nodes.iter().map(|node| node.routes.len()).sum::<usize>()
            + self.branches.iter().map(|branch| branch.cases.len() + 1).sum::<usize>()
            + self.joins.iter().map(|join| join.sources.len()).sum::<usize>();
        let edges = self.edges.len().saturating_add(ways).saturating_add(self.maps.len() + self.joins.len());
        let counts = [
            ("nodes", self.nodes.len(), NODES_MAX),
            ("state.fields", self.state.fields.len(), FIELDS_MAX),
            ("edges", edges.max(self.targets()), EDGES_MAX),
        ];
        let large = counts.into_iter().filter(|(_, count, most)| count > most);
        large
            .map(|(place, count, most)| {
                malformed(place, format!("the graph has {count} of them, and {most} are the most; split it"))
            })
            .collect()
    }

    /// How many ends all edges have together.
    fn targets(&self) -> usize {
        let edges = self.edges.iter().map(|edge| &edge.to);
        let routes = self.nodes.iter().flat_map(|node| &node.routes).map(|route| &route.to);
        let cases = self.branches.iter().flat_map(|branch| &branch.cases).map(|case| &case.to);
        let others = self.branches.iter().map(|branch| &branch.otherwise);
        edges.chain(routes).chain(cases).chain(others).chain([&self.start]).map(|to| to.names().count()).sum()
    }
}

/// The name that was probably meant. What is too long to be a name is not compared.
pub(super) fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > NAME_BYTES_MAX { None } else { nearest(name, known) }
}

pub(super) fn malformed(place: impl Into<String>, message: impl Into<String>) -> DocumentProblem {
    DocumentProblem::new(place, "SW-G136", message)
}

struct Reader<'a> {
    members: &'a Map<String, Value>,
    problems: Vec<DocumentProblem>,
}

impl Reader<'_> {
    fn one<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        match self.members.get(name) {
            Some(value) => self.part(value, || name.to_owned()),
            None => T::default(),
        }
    }

    fn state(&mut self) -> super::document::StateDocument {
        let Some(Value::Object(members)) = self.members.get("state") else { return self.one("state") };
        let mut rest = members.clone();
        let fields = rest.remove("fields");
        let mut state: super::document::StateDocument =
            self.part(&Value::Object(rest), || "state".to_owned());
        state.fields = fields.map(|fields| self.items(&fields, "state.fields")).unwrap_or_default();
        state
    }

    fn list<T: DeserializeOwned>(&mut self, name: &str) -> Vec<T> {
        self.members.get(name).map(|value| self.items(value, name)).unwrap_or_default()
    }

    fn items<T: DeserializeOwned>(&mut self, value: &Value, name: &str) -> Vec<T> {
        let Value::Array(items) = value else {
            self.problems.push(malformed(name, "a list belongs here"));
            return Vec::new();
        };
        let mut read = Vec::with_capacity(items.len().min(EDGES_MAX));
        for (place, item) in items.iter().enumerate() {
            match T::deserialize(item) {
                Ok(item) => read.push(item),
                Err(error) => self.problems.push(malformed(format!("{name}[{place}]"), error.to_string())),
            }
        }
        read
    }

    fn part<T: DeserializeOwned + Default>(&mut self, value: &Value, place: impl FnOnce() -> String) -> T {
        T::deserialize(value).unwrap_or_else(|error| {
            self.problems.push(malformed(place(), error.to_string()));
            T::default()
        })
    }
}

pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
