//! The past of a thread in the words of today: what the numbers in an entry of another version of the graph mean.

use std::sync::Arc;

use crate::graph::Plan;
use crate::ids::{Fingerprint, NodeIx};
use crate::journal::{NodeTable, Shape};

/// Whose numbers the entries have that are being read.
#[derive(Debug)]
pub(super) struct Past<'a> {
    plan: &'a Plan,
    fingerprint: Fingerprint,
    /// Absent while they are those of the present graph.
    other: Option<(Vec<Arc<str>>, Shape)>,
}

impl<'a> Past<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan, fingerprint: plan.fingerprint, other: None }
    }

    /// Whether entries with this fingerprint can be read now.
    pub(super) fn is_known(&self, fingerprint: Fingerprint) -> bool {
        self.fingerprint == fingerprint
    }

    /// From here on the entries have the numbers of this table.
    pub(super) fn follow(&mut self, fingerprint: Fingerprint, table: &NodeTable) {
        self.fingerprint = fingerprint;
        self.other = (fingerprint != self.plan.fingerprint).then(|| {
            let names = table.nodes.iter().map(|name| Arc::from(name.as_str())).collect();
            (names, table.shape.clone().unwrap_or_default())
        });
    }

    /// A node by its present number, and by the name that it had.
    pub(super) fn node(&self, written: NodeIx) -> (NodeIx, Arc<str>) {
        match &self.other {
            None => {
                let name = self.plan.nodes.get(written.index()).map(|node| node.name.clone());
                (written, name.unwrap_or_else(|| "?".into()))
            }
            Some((names, _)) => {
                let name = names.get(written.index()).cloned().unwrap_or_else(|| "?".into());
                (self.plan.successor_of(&name).unwrap_or(NodeIx::GONE), name)
            }
        }
    }

    /// The name of a variant of the node's route, or of a branch behind the node.
    pub(super) fn label(&self, written: NodeIx, branch: Option<u16>, variant: u16) -> Option<String> {
        if let Some((_, shape)) = &self.other {
            let is_it = |edge: &&crate::journal::StoredEdge| {
                edge.source == Some(written) && edge.branch == branch && edge.variant == Some(variant)
            };
            return shape.edges.iter().find(is_it).map(|edge| edge.label.to_string());
        }
        let node = self.plan.nodes.get(written.index())?;
        let variants = match branch {
            None => &node.route,
            Some(branch) => &node.branches.get(usize::from(branch))?.variants,
        };
        variants.get(usize::from(variant)).map(|variant| variant.label.to_owned())
    }
}
