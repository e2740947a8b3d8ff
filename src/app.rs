//! The program as a library: which graphs and models it has. What its commands do is in `cli`.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use statewright_engine_runtime::{Data, Delivery, Graph, Handlers, NodeError, Problems};
use statewright_graphs::{ClassicState, Pipeline, ReactState, ResearchState, Services};
use statewright_nodes_ports::{ChatModel, ModelError, TokenCounter};

use crate::pipeline::{AnyGraph, Registered};

/// Makes a model; it is given the program's token counter.
pub(crate) type ModelFactory =
    Box<dyn Fn(Arc<dyn TokenCounter>) -> Result<Arc<dyn ChatModel>, ModelError> + Send + Sync>;

/// A program with your graphs and every command of `statewright`.
///
/// ```no_run
/// use statewright::prelude::*;
/// # fn my_graph(services: &Services) -> Result<Graph<statewright::graphs::ClassicState>, Problems> {
/// #     statewright::graphs::classic(services)
/// # }
/// fn main() -> std::process::ExitCode {
///     App::new().graph("mine", my_graph).main()
/// }
/// ```
pub struct App {
    own: Vec<Box<dyn AnyGraph>>,
    ready: Vec<Box<dyn AnyGraph>>,
    models: Vec<(String, ModelFactory)>,
    version: Option<String>,
    handlers: Handlers,
}

impl App {
    /// The program as it is shipped: the graphs `research`, `react` and `classic`.
    #[must_use]
    pub fn ready() -> Self {
        Self::new().version(env!("CARGO_PKG_VERSION"))
    }

    /// A program with the ready graphs, to which yours are added.
    #[must_use]
    pub fn new() -> Self {
        let research = Registered::<ResearchState, _>::new("research", statewright_graphs::research);
        let react = Registered::<ReactState, _>::new("react", statewright_graphs::react);
        let classic = Registered::<ClassicState, _>::new("classic", statewright_graphs::classic);
        Self {
            own: Vec::new(),
            ready: vec![Box::new(research), Box::new(react), Box::new(classic)],
            models: Vec::new(),
            version: None,
            handlers: Handlers::new(),
        }
    }

    /// What `--version` prints beside the program's name: `env!("CARGO_PKG_VERSION")` is that of your package. Without it
    /// only the version of Statewright is printed, and said to be that.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Leaves the ready graphs out.
    #[must_use]
    pub fn without_ready_graphs(mut self) -> Self {
        self.ready.clear();
        self
    }

    /// Adds a graph. The first one added is what `run` runs when no `--graph` is given; one with the name of a ready
    /// graph takes its place.
    #[must_use]
    pub fn graph<S: Pipeline>(
        mut self,
        name: impl Into<String>,
        make: impl Fn(&Services) -> Result<Graph<S>, Problems> + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        self.own.retain(|graph| graph.name() != name);
        self.ready.retain(|graph| graph.name() != name);
        self.own.push(Box::new(Registered::<S, _>::new(name, make)));
        self
    }

    /// Adds a model for `--model NAME`. The first one added is what runs use when no `--model` is given; one named
    /// `offline` takes the place of the built-in model.
    #[must_use]
    pub fn model(
        mut self,
        name: impl Into<String>,
        make: impl Fn(Arc<dyn TokenCounter>) -> Result<Arc<dyn ChatModel>, ModelError> + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        self.models.retain(|(known, _)| *known != name);
        self.models.push((name, Box::new(make)));
        self
    }

    /// Delivers the items of this kind that nodes post to the outbox, in every drive and by `runs deliver`. A handler that
    /// takes longer than 60 s is given up, and its item stays.
    #[must_use]
    pub fn outbox<T: Data, Fut>(
        mut self,
        kind: impl Into<String>,
        handler: impl Fn(Delivery<T>) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), NodeError>> + Send + 'static,
    {
        self.handlers = self.handlers.on(kind, handler);
        self
    }

    /// Runs the command that the program was started with, and gives the exit code: 0 finished, 1 error, 2 wrong
    /// usage, 3 waiting for an answer, 4 stopped and resumable, 100 stored runs that this build cannot take up, 130 after a
    /// second Ctrl-C. Starts a runtime of its own, so it is called from a plain `main`.
    pub fn main(self) -> ExitCode {
        crate::cli::main(&self)
    }

    /// What `--version` prints.
    pub(crate) fn shown_version(&self) -> String {
        let own = || concat!("(statewright ", env!("CARGO_PKG_VERSION"), ")").to_owned();
        self.version.clone().unwrap_or_else(own)
    }

    /// All graphs, the default one first.
    pub(crate) fn graphs(&self) -> impl Iterator<Item = &dyn AnyGraph> {
        self.own.iter().chain(&self.ready).map(|graph| &**graph)
    }

    pub(crate) fn handlers(&self) -> Handlers {
        self.handlers.clone()
    }

    pub(crate) fn models(&self) -> &[(String, ModelFactory)] {
        &self.models
    }
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let graphs: Vec<&str> = self.graphs().map(AnyGraph::name).collect();
        let models: Vec<&str> = self.models.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("App").field("graphs", &graphs).field("models", &models).finish()
    }
}
