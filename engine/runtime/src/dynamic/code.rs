//! The code of nodes in a graph that is data: found by name, over values.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use statewright_engine_core::{Decision, Payload, Payloads, UpdateValue};

use super::read::{listed, meant};
use super::schema::DynSchema;
use super::state::DynState;
use super::update::DynUpdate;
use crate::context::{Activation, Ctx};
use crate::error::NodeError;
use crate::node::{ErasedNode, NodeOutput, unreadable};

/// Code for nodes of graphs that are data. It has everything that the code of other nodes has: steps, effects,
/// questions, budgets. Its input is what travelled along the edge: an item of a fan-out, what a route carried, what an
/// error handler is told, or null.
pub trait DynNode: Send + Sync + 'static {
    /// Does the work of one activation.
    fn run(&self, ctx: Ctx<DynState, Value>) -> BoxFuture<'static, Result<DynCommand, NodeError>>;
}

/// What the code of a node returns: what it writes, and the route that it takes, if its node has routes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DynCommand {
    update: DynUpdate,
    route: Option<(String, Carried)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Carried {
    Nothing,
    One(Value),
    Each(Vec<Value>),
}

impl DynCommand {
    /// Writes this.
    pub fn new(update: impl Into<DynUpdate>) -> Self {
        Self { update: update.into(), route: None }
    }

    /// Takes a route of the node.
    #[must_use]
    pub fn route(mut self, name: impl Into<String>) -> Self {
        self.route = Some((name.into(), Carried::Nothing));
        self
    }

    /// Takes a route of the node, with an input for the node that it leads to.
    #[must_use]
    pub fn route_with(mut self, name: impl Into<String>, input: impl Into<Value>) -> Self {
        self.route = Some((name.into(), Carried::One(input.into())));
        self
    }

    /// Takes a route with `each`: one activation of the node that it leads to for each input.
    #[must_use]
    pub fn route_each(mut self, name: impl Into<String>, inputs: Vec<Value>) -> Self {
        self.route = Some((name.into(), Carried::Each(inputs)));
        self
    }
}

impl From<DynUpdate> for DynCommand {
    fn from(update: DynUpdate) -> Self {
        Self::new(update)
    }
}

/// The code that documents can name.
///
/// ```
/// use statewright_engine_runtime::{Ctx, DynState, DynUpdate, NodeRegistry};
/// use serde_json::Value;
///
/// let code = NodeRegistry::new().func("greet", async |ctx: Ctx<DynState, Value>| {
///     let name: String = ctx.state.read("name")?;
///     Ok(DynUpdate::new().set("greeting", format!("Hello, {name}")))
/// });
/// ```
#[derive(Clone, Default)]
pub struct NodeRegistry {
    code: BTreeMap<String, Arc<dyn DynNode>>,
}

impl NodeRegistry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an async function or closure. A later one of the same name takes its place.
    #[must_use]
    pub fn func<F, Fut, O>(self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Ctx<DynState, Value>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, NodeError>> + Send + 'static,
        O: Into<DynCommand> + 'static,
    {
        self.node(name, Function(function))
    }

    /// Adds a struct with dependencies. A later one of the same name takes its place.
    #[must_use]
    pub fn node(mut self, name: impl Into<String>, node: impl DynNode) -> Self {
        self.code.insert(name.into(), Arc::new(node));
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.code.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Result<Arc<dyn DynNode>, String> {
        self.code.get(name).cloned().ok_or_else(|| match meant(name, self.names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there is {}", listed(&self.names().take(20).collect::<Vec<_>>())),
        })
    }
}

impl fmt::Debug for NodeRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

struct Function<F>(F);

impl<F, Fut, O> DynNode for Function<F>
where
    F: Fn(Ctx<DynState, Value>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, NodeError>> + Send + 'static,
    O: Into<DynCommand> + 'static,
{
    fn run(&self, ctx: Ctx<DynState, Value>) -> BoxFuture<'static, Result<DynCommand, NodeError>> {
        (self.0)(ctx).map(|done| done.map(O::into)).boxed()
    }
}

/// A node of a graph that is data, with what its code may say.
pub(super) struct CodeNode {
    pub(super) code: Arc<dyn DynNode>,
    pub(super) ways: Arc<Ways>,
}

/// The ways out of a node that its code knows.
pub(super) struct Ways {
    pub(super) schema: &'static DynSchema,
    /// The routes by name, and whether each fans out.
    pub(super) routes: Vec<(&'static str, bool)>,
    /// Whether none need be taken.
    pub(super) goto: bool,
}

impl ErasedNode<DynState> for CodeNode {
    fn call(
        &self,
        state: Arc<DynState>,
        input: &Payload,
        activation: Arc<Activation>,
    ) -> BoxFuture<'static, NodeOutput> {
        let input = match value_of(input) {
            Ok(input) => input,
            Err(reason) => {
                let error = unreadable(activation.plan().node_name(activation.node), &reason);
                return Box::pin(std::future::ready(Err(error)));
            }
        };
        let (done, ways) = (self.code.run(Ctx { state, input, activation }), self.ways.clone());
        Box::pin(async move { ways.taken(done.await?) })
    }
}

/// What an error handler is told is a value of the engine's, which is made one of JSON.
fn value_of(input: &Payload) -> Result<Value, String> {
    if let Ok(value) = input.read::<Value>() {
        return Ok(value);
    }
    let bytes = input.encode()?.unwrap_or_default();
    rmp_serde::from_slice(&bytes).map_err(|error| error.to_string())
}

impl Ways {
    /// What the code returned, if it is something that its node can do.
    fn taken(&self, command: DynCommand) -> NodeOutput {
        let DynCommand { update, route } = command;
        let update = update
            .fitted(self.schema)
            .map_err(|error| NodeError::permanent(error.to_string()).with_code(error.code()))?;
        let decision = match route {
            Some((name, carried)) => Some(Box::new(self.decision(&name, carried)?)),
            None if self.routes.is_empty() || self.goto => None,
            None => {
                let routes = self.listed();
                return Err(misled(format!("the node returned no route; it has {routes} and must take one")));
            }
        };
        Ok((UpdateValue::live(update), decision))
    }

    fn decision(&self, name: &str, carried: Carried) -> Result<Decision, NodeError> {
        let Some(place) = self.routes.iter().position(|(known, _)| *known == name) else {
            let name = super::schema::shown(name);
            return Err(misled(format!("the node has no route `{name}`; it has {}", self.listed())));
        };
        let payloads = match (carried, self.routes[place].1) {
            (Carried::Nothing, false) => Payloads::None,
            (Carried::One(input), false) => Payloads::One(Payload::live(input)),
            (Carried::Each(inputs), true) => Payloads::Each(inputs.into_iter().map(Payload::live).collect()),
            (Carried::Each(_), false) => {
                return Err(misled(format!(
                    "the route `{name}` does not fan out; declare it with `each`, or carry one input"
                )));
            }
            (_, true) => return Err(misled(format!("the route `{name}` fans out; carry a list of inputs"))),
        };
        // Their number is bounded when the document is read.
        Ok(Decision { variant: u16::try_from(place).unwrap_or(u16::MAX), payloads })
    }

    fn listed(&self) -> String {
        listed(&self.routes.iter().map(|(name, _)| *name).collect::<Vec<_>>())
    }
}

fn misled(message: String) -> NodeError {
    NodeError::permanent(message).with_code("SW-X289")
}
