//! What is wrong with a document: all of it at once, each with a code, the place in the document, and how to mend it.

use std::fmt;

/// One mistake in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DocumentProblem {
    /// Where it is, such as `edges[3].to`; empty for the document as a whole.
    pub place: String,
    /// The stable code. What is wrong with the graph has the code that [`StateGraph::build`](crate::StateGraph::build)
    /// gives it.
    pub code: &'static str,
    /// What is wrong, and how to mend it.
    pub message: String,
}

impl DocumentProblem {
    pub(super) fn new(place: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { place: place.into(), code, message: message.into() }
    }
}

impl fmt::Display for DocumentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => f.write_str(&self.message),
            place => write!(f, "{place}: {}", self.message),
        }
    }
}

/// Everything that is wrong with a document, found in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentProblems {
    graph: String,
    problems: Vec<DocumentProblem>,
}

impl DocumentProblems {
    pub(super) fn new(graph: impl Into<String>, problems: Vec<DocumentProblem>) -> Self {
        Self { graph: graph.into(), problems }
    }

    /// The problems, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &DocumentProblem> {
        self.problems.iter()
    }

    /// The code of the first problem.
    pub fn code(&self) -> &'static str {
        self.problems.first().map_or("SW-G136", |problem| problem.code)
    }
}

impl fmt::Display for DocumentProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "the document of the graph `{}` has {count} {noun}", self.graph)?;
        for problem in &self.problems {
            write!(f, "\n  {} {problem}", problem.code)?;
        }
        Ok(())
    }
}

impl std::error::Error for DocumentProblems {}
