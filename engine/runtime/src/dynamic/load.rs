//! From a document to a graph: names become numbers, and then the same checks run as for a graph that a program builds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use statewright_engine_core::graph::{
    BranchSpec, Decide, JoinMode, JoinSpec, NodeSpec, SourceSpec, Topology,
};
use statewright_engine_core::{
    CellError, Decision, FailureKind, NodeIx, NodePolicy, Payload, Payloads, RetryPolicy, StateCell,
    VariantWiring, Wire,
};

use super::cell::DynCell;
use super::code::{CodeNode, NodeRegistry, Ways};
use super::document::{BranchDocument, GraphDocument, MapDocument, NodeDocument, OneOrMany};
use super::intern;
use super::places::{Way, Wired};
use super::problem::{DocumentProblem, DocumentProblems};
use super::read::meant;
use super::schema::{DynSchema, bad_name, shown, used_up};
use super::state::DynState;
use super::value::same;
use crate::builder::NEXT_BUILDER;
use crate::error::Classified;
use crate::graph::Graph;
use crate::node::ErasedNode;
use crate::undo::Undoers;

/// The name of the end of a run.
const END: &str = "END";

impl GraphDocument {
    /// Checks the document and makes a graph of it, with code from the registry. Loading a document that was loaded before
    /// costs no memory; the names of a document stay for the life of the process.
    ///
    /// # Errors
    /// All problems at once, each with its code and its place in the document: what is wrong with the document has the
    /// codes `SW-G132` to `SW-G139`, what is wrong with the graph those of [`StateGraph::build`](crate::StateGraph::build).
    pub fn build(&self, code: &NodeRegistry) -> Result<Graph<DynState>, DocumentProblems> {
        let refused = |problems| DocumentProblems::new(shown(&self.name), problems);
        let large = self.too_large();
        if !large.is_empty() {
            return Err(refused(large));
        }
        let (schema, mut problems) = match DynSchema::of(self) {
            Ok(schema) => (schema, Vec::new()),
            // The rest is looked at as well, but for what hangs on fields.
            Err(found) => (&super::schema::NONE, found),
        };
        let mut loader = Loader::new(self, code, schema, problems.is_empty());
        if let Some(why) = bad_name(&self.name) {
            loader.wrong(
                "name",
                "SW-G136",
                format!("`{}` cannot be the name of a graph: {why}", shown(&self.name)),
            );
        }
        loader.nodes();
        loader.ways();
        let Loader { topology, nodes, problems: found, wired, is_whole, .. } = loader;
        problems.extend(found);
        let plan = match topology.compile() {
            Ok(plan) if problems.is_empty() => plan,
            Ok(_) => return Err(refused(problems)),
            Err(of_graph) => {
                problems.extend(of_graph.iter().filter_map(|problem| wired.place(self, problem, is_whole)));
                return Err(refused(problems));
            }
        };
        let cell = Arc::new(move || Box::new(DynCell::new(schema)) as Box<dyn StateCell>);
        Ok(Graph::with_cell(plan, nodes, vec![classified], Undoers::new(), cell))
    }
}

/// Errors of reading fields keep their codes when a node passes them on.
fn classified(error: &(dyn std::error::Error + 'static)) -> Option<Classified> {
    let code = error.downcast_ref::<CellError>()?.code().into();
    Some(Classified { code, kind: FailureKind::Permanent, retry_after: None })
}

struct Loader<'a> {
    document: &'a GraphDocument,
    code: &'a NodeRegistry,
    schema: &'static DynSchema,
    /// Whether the schema is that of the document.
    has_fields: bool,
    topology: Topology,
    nodes: Vec<Arc<dyn ErasedNode<DynState>>>,
    numbers: HashMap<&'a str, NodeIx>,
    problems: Vec<DocumentProblem>,
    wired: Wired,
    /// Whether every name was found and means one node, so that what cannot be reached is so because of the graph.
    is_whole: bool,
}

impl<'a> Loader<'a> {
    fn new(
        document: &'a GraphDocument,
        code: &'a NodeRegistry,
        schema: &'static DynSchema,
        has_fields: bool,
    ) -> Self {
        let mut numbers = HashMap::new();
        for (place, node) in document.nodes.iter().enumerate() {
            numbers.entry(node.name.as_str()).or_insert(NodeIx(place as u32));
        }
        // Of two nodes of one name only the first can be meant.
        let is_whole = numbers.len() == document.nodes.len();
        let builder = NEXT_BUILDER.fetch_add(1, Ordering::Relaxed);
        Self {
            document,
            code,
            schema,
            has_fields,
            topology: Topology::new(document.name.as_str(), builder, &schema.stored),
            nodes: Vec::with_capacity(document.nodes.len()),
            numbers,
            problems: Vec::new(),
            wired: Wired::default(),
            is_whole,
        }
    }

    fn wrong(&mut self, place: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.problems.push(DocumentProblem::new(place, code, message));
    }

    /// The name that was probably meant. Comparing takes time, so a document of nothing but slips gets few hints.
    fn meant<'b, I: Iterator<Item = &'b str>>(
        &'b self,
        name: &str,
        known: impl FnOnce(&'b Self) -> I,
    ) -> Option<String> {
        const HINTS_MAX: usize = 50;
        if self.problems.len() < HINTS_MAX { meant(name, known(self)) } else { None }
    }

    /// The number of a node.
    fn number(&mut self, place: &str, name: &str) -> Option<NodeIx> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        self.is_whole = false;
        let hint = match self.meant(name, |loader| loader.numbers.keys().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name one of `nodes`".to_owned(),
        };
        self.wrong(place, "SW-G132", format!("there is no node `{}`; {hint}", shown(name)));
        None
    }

    /// The targets of an edge that leaves `from`.
    fn wires(
        &mut self,
        from: Option<NodeIx>,
        place: &str,
        to: &OneOrMany,
        at_most: Option<u32>,
    ) -> Vec<Wire> {
        let mut wires = Vec::new();
        if to.names().next().is_none() {
            self.is_whole = false;
            self.wrong(place, "SW-G136", "it leads nowhere; name a node, or END");
        }
        for (behind, name) in to.names() {
            let place = format!("{place}{behind}");
            let node = if name == END { None } else { self.number(&place, name) };
            if name != END && node.is_none() {
                continue;
            }
            let builder = if node.is_some() { self.topology.builder } else { 0 };
            // As in a program, END has no bound.
            wires.push(Wire { node, builder, at_most: at_most.filter(|_| node.is_some()) });
            self.wired.ways.push(Way { from, to: node, place });
        }
        wires
    }

    /// A name that the engine's tables keep.
    fn label(&mut self, place: &str, name: &str) -> &'static str {
        match intern::name(name) {
            Ok(name) => name,
            Err(full) => {
                self.problems.push(used_up(place, full));
                ""
            }
        }
    }

    fn nodes(&mut self) {
        for (place, node) in self.document.nodes.iter().enumerate() {
            let at = format!("nodes[{place}]");
            if let Some(why) = bad_name(&node.name).filter(|_| !node.name.is_empty()) {
                let message = format!("`{}` cannot be the name of a node: {why}", shown(&node.name));
                self.wrong(format!("{at}.name"), "SW-G136", message);
            }
            let labels = self.route_labels(&at, node);
            let variants = intern::names(&labels).unwrap_or_else(|full| {
                self.problems.push(used_up(&at, full));
                &[]
            });
            let spec = NodeSpec {
                goto: node.goto,
                any: node.any,
                deferred: node.deferred,
                writes: if self.has_fields { node.writes.clone() } else { Vec::new() },
                policy: policy(node),
                ..NodeSpec::new(node.name.as_str().into(), variants)
            };
            self.topology.add_node(spec);
            let name = node.run.as_deref().unwrap_or(&node.name);
            match self.code.get(name) {
                Ok(code) => {
                    let routes = labels.into_iter().zip(node.routes.iter().map(|route| route.each)).collect();
                    let ways = Arc::new(Ways { schema: self.schema, routes, goto: node.goto });
                    self.nodes.push(Arc::new(CodeNode { code, ways }));
                }
                Err(hint) => {
                    let member = if node.run.is_some() { "run" } else { "name" };
                    let message = format!("there is no code `{}`; {hint}", shown(name));
                    self.wrong(format!("{at}.{member}"), "SW-G133", message);
                }
            }
        }
    }

    fn route_labels(&mut self, at: &str, node: &NodeDocument) -> Vec<&'static str> {
        let mut seen = HashSet::new();
        let mut labels = Vec::with_capacity(node.routes.len());
        for (place, route) in node.routes.iter().enumerate() {
            let at = format!("{at}.routes[{place}].name");
            if let Some(why) = bad_name(&route.name) {
                self.wrong(
                    &at,
                    "SW-G136",
                    format!("`{}` cannot be the name of a route: {why}", shown(&route.name)),
                );
                continue;
            }
            if !seen.insert(route.name.as_str()) {
                self.wrong(
                    &at,
                    "SW-G137",
                    format!("two routes are named `{}`; rename one of them", route.name),
                );
            }
            labels.push(self.label(&at, &route.name));
        }
        labels
    }

    fn ways(&mut self) {
        let document = self.document;
        self.topology.start = self.wires(None, "start", &document.start, None);
        for (place, node) in document.nodes.iter().enumerate() {
            self.ways_of(place, node);
        }
        for (place, edge) in document.edges.iter().enumerate() {
            let from = self.number(&format!("edges[{place}].from"), &edge.from);
            let wires = self.wires(from, &format!("edges[{place}].to"), &edge.to, edge.at_most);
            let Some(from) = from else { continue };
            let spec = &mut self.topology.nodes[from.index()];
            if spec.route_variants.is_empty() || spec.goto {
                spec.edges.extend(wires);
            } else {
                let message = "the node takes one of its routes, so no other edge leaves it; lead a route there, or set `goto`";
                self.wrong(format!("edges[{place}].from"), "SW-G137", message);
            }
        }
        for (place, branch) in document.branches.iter().enumerate() {
            self.branch(&format!("branches[{place}]"), branch);
        }
        for (place, map) in document.maps.iter().enumerate() {
            self.map(&format!("maps[{place}]"), map);
        }
        self.joins();
    }

    fn ways_of(&mut self, place: usize, node: &NodeDocument) {
        let (at, from) = (format!("nodes[{place}]"), NodeIx(place as u32));
        if let Some(handler) = &node.on_error {
            let wires =
                self.wires(Some(from), &format!("{at}.on_error"), &OneOrMany::One(handler.clone()), None);
            self.topology.nodes[place].on_error = wires;
        }
        if node.routes.is_empty() {
            return;
        }
        let labels = self.topology.nodes[place].route_variants;
        let mut wiring = Vec::with_capacity(node.routes.len());
        for (number, route) in node.routes.iter().enumerate() {
            let wires =
                self.wires(Some(from), &format!("{at}.routes[{number}].to"), &route.to, route.at_most);
            let label = labels.get(number).copied().unwrap_or_default();
            wiring.push(VariantWiring { label, each: route.each, wires });
        }
        self.topology.nodes[place].route = Some(wiring);
    }

    /// The number of a field.
    fn field(&mut self, place: &str, name: &str) -> Option<usize> {
        let found = self.schema.number(name);
        if found.is_none() && self.has_fields {
            let fields = |loader: &Self| loader.schema.stored.channels.iter().map(|channel| channel.name);
            let hint = match self.meant(name, fields) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name one of `state.fields`".to_owned(),
            };
            self.wrong(place, "SW-G134", format!("the state has no field `{}`; {hint}", shown(name)));
        }
        found
    }

    fn branch(&mut self, at: &str, branch: &BranchDocument) {
        let after = self.number(&format!("{at}.after"), &branch.after);
        let field = self.field(&format!("{at}.field"), &branch.field);
        if branch.cases.is_empty() {
            self.wrong(format!("{at}.cases"), "SW-G137", "the branch has no case; use an edge for one way");
        }
        let (mut variants, mut labels) = (Vec::new(), HashSet::from(["otherwise".to_owned()]));
        for (place, case) in branch.cases.iter().enumerate() {
            let at = format!("{at}.cases[{place}]");
            if branch.cases[..place].iter().any(|earlier| same(&earlier.equals, &case.equals)) {
                self.wrong(
                    format!("{at}.equals"),
                    "SW-G137",
                    "an earlier case has this value; remove one of them",
                );
            }
            let label = match (&case.name, &case.equals) {
                (Some(name), _) | (None, Value::String(name)) => shown(name),
                (None, value) => shown(&value.to_string()),
            };
            if !labels.insert(label.clone()) {
                let message = format!("another case is called `{label}`; give one of them another `name`");
                self.wrong(format!("{at}.name"), "SW-G137", message);
            }
            let wires = self.wires(after, &format!("{at}.to"), &case.to, case.at_most);
            variants.push(VariantWiring { label: self.label(&at, &label), each: false, wires });
        }
        let wires = self.wires(after, &format!("{at}.otherwise"), &branch.otherwise, branch.at_most);
        variants.push(VariantWiring { label: "otherwise", each: false, wires });
        let (Some(after), Some(field)) = (after, field) else { return };
        let cases: Vec<Value> = branch.cases.iter().map(|case| case.equals.clone()).collect();
        let decide = move |state: &(dyn std::any::Any + Send + Sync)| {
            // The cell of the graph holds a state of this kind, so there always is one.
            let value = state.downcast_ref::<DynState>().map_or(&Value::Null, |state| state.at(field));
            let variant = cases.iter().position(|case| same(case, value)).unwrap_or(cases.len());
            Decision { variant: u16::try_from(variant).unwrap_or(u16::MAX), payloads: Payloads::None }
        };
        let decide = Decide::Route(Arc::new(decide));
        self.topology.nodes[after.index()].branches.push(BranchSpec { decide, variants });
    }

    fn map(&mut self, at: &str, map: &MapDocument) {
        let after = self.number(&format!("{at}.after"), &map.after);
        let field = self.field(&format!("{at}.over"), &map.over);
        let is_list = field.is_none_or(|field| self.schema.rules[field].always_list());
        if !is_list {
            let message = format!(
                "`{}` need not be a list; declare it as one, by `type = \"list\"` or its reducer",
                shown(&map.over)
            );
            self.wrong(format!("{at}.over"), "SW-G138", message);
        }
        let wires = self.wires(after, &format!("{at}.to"), &OneOrMany::One(map.to.clone()), map.at_most);
        let label = self.label(at, &shown(map.name.as_deref().unwrap_or(&map.over)));
        let (Some(after), Some(field)) = (after, field) else { return };
        let decide = move |state: &(dyn std::any::Any + Send + Sync)| {
            let items = state.downcast_ref::<DynState>().and_then(|state| state.at(field).as_array());
            let items = items.into_iter().flatten().cloned().map(Payload::live).collect();
            Decision { variant: 0, payloads: Payloads::Each(items) }
        };
        let decide = Decide::Route(Arc::new(decide));
        let variants = vec![VariantWiring { label, each: true, wires }];
        self.topology.nodes[after.index()].branches.push(BranchSpec { decide, variants });
    }

    fn joins(&mut self) {
        for (place, join) in self.document.joins.iter().enumerate() {
            let at = format!("joins[{place}]");
            let target = self.number(&format!("{at}.target"), &join.target);
            let mut sources = Vec::with_capacity(join.sources.len());
            for (number, source) in join.sources.iter().enumerate() {
                let (name, optional) = source.node();
                let at = format!("{at}.sources[{number}]");
                let Some(node) = self.number(&at, name) else { continue };
                let spec = &self.topology.nodes[node.index()];
                if !spec.route_variants.is_empty() && !spec.goto {
                    let message = "the node takes one of its routes, which may lead past the join; lead it to a node without routes, and join that";
                    self.wrong(&at, "SW-G137", message);
                }
                sources.push(SourceSpec { wire: self.wire(node), optional });
            }
            self.wired.joins.push((target, place));
            let Some(target) = target else { continue };
            let mode = join.quorum.map_or(JoinMode::All, JoinMode::Quorum);
            let target = self.wire(target);
            self.topology.joins.push(JoinSpec { target, mode, sources, timeout: None });
        }
    }

    fn wire(&self, node: NodeIx) -> Wire {
        Wire { node: Some(node), builder: self.topology.builder, at_most: None }
    }
}

fn policy(node: &NodeDocument) -> NodePolicy {
    let mut policy = NodePolicy::new();
    if let Some(attempts) = node.attempts {
        policy = policy.retry(RetryPolicy::new().attempts(attempts));
    }
    if let Some(limit) = node.timeout_ms {
        policy = policy.run_timeout(Duration::from_millis(limit));
    }
    if let Some(activations) = node.at_once {
        policy = policy.at_once(activations);
    }
    policy
}
