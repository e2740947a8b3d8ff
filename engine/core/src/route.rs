//! Routes: enums whose variants are the ways out of a node, and the typed targets that they are wired to.

use std::marker::PhantomData;

use crate::ids::NodeIx;
use crate::payload::{Data, Payload};
use crate::state::State;

/// One target of an edge, as the builder wired it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The target; `None` is END.
    pub node: Option<NodeIx>,
    /// The builder that made the handle, so that a handle of another graph is found out.
    pub builder: u64,
    /// How often the edge may be taken in one run.
    pub at_most: Option<u32>,
}

/// Where an edge leads: a node over state `S` that takes an input `I`, several of them, or END.
#[derive(Debug)]
pub struct To<S, I = ()> {
    wires: Vec<Wire>,
    ends: bool,
    marker: PhantomData<fn(S, I)>,
}

impl<S, I> Clone for To<S, I> {
    fn clone(&self) -> Self {
        Self { wires: self.wires.clone(), ends: self.ends, marker: PhantomData }
    }
}

impl<S, I> To<S, I> {
    /// The end of the run.
    pub const END: Self = Self { wires: Vec::new(), ends: true, marker: PhantomData };

    /// A single node, by the number that its builder gave it.
    #[doc(hidden)]
    pub fn node(node: NodeIx, builder: u64) -> Self {
        Self {
            wires: vec![Wire { node: Some(node), builder, at_most: None }],
            ends: false,
            marker: PhantomData,
        }
    }

    /// Leads to the other targets too; each gets its own copy of the payload.
    #[must_use]
    pub fn and(mut self, other: impl Into<To<S, I>>) -> Self {
        let other = other.into();
        self.wires.extend(other.wires);
        self.ends |= other.ends;
        self
    }

    /// Bounds the edge: it may be taken at most `times` times in one run. A back edge of a loop needs a bound; when
    /// it is used up the run stops with a resumable outcome.
    #[must_use]
    pub fn at_most(mut self, times: u32) -> Self {
        for wire in &mut self.wires {
            wire.at_most = Some(times);
        }
        self
    }

    /// The targets one by one; END is a wire without a node.
    #[doc(hidden)]
    pub fn into_wires(self) -> Vec<Wire> {
        let mut wires = self.wires;
        if self.ends {
            wires.push(Wire { node: None, builder: 0, at_most: None });
        }
        wires
    }
}

/// What a route variant carries.
#[derive(Clone, Debug, Default)]
pub enum Payloads {
    /// Nothing.
    #[default]
    None,
    /// One payload for the target.
    One(Payload),
    /// One activation of the target for each.
    Each(Vec<Payload>),
}

/// A route that was taken: the variant by its place in the enum, and what it carries.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The variant, counted from 0 in the order of declaration.
    pub variant: u16,
    /// What travels along its edge.
    pub payloads: Payloads,
}

/// The wiring of one variant.
#[derive(Clone, Debug)]
pub struct VariantWiring {
    /// The variant's name.
    pub label: &'static str,
    /// Whether the variant fans out: one activation for each payload.
    pub each: bool,
    /// Where it leads.
    pub wires: Vec<Wire>,
}

/// A list that `#[each]` fans out over.
#[diagnostic::on_unimplemented(
    message = "`#[each]` needs a list, and `{Self}` is none",
    label = "not a list",
    note = "write `#[each] Search(Vec<Query>)`: one activation of the target for each item"
)]
pub trait Many {
    /// What each activation gets.
    type Item;

    /// One payload for each item, in order.
    fn into_payloads(self) -> Vec<Payload>;
}

impl<T: Data> Many for Vec<T> {
    type Item = T;
    fn into_payloads(self) -> Vec<Payload> {
        self.into_iter().map(Payload::live).collect()
    }
}

impl<T: Data> Many for std::collections::VecDeque<T> {
    type Item = T;
    fn into_payloads(self) -> Vec<Payload> {
        self.into_iter().map(Payload::live).collect()
    }
}

impl<T: Data, const N: usize> Many for [T; N] {
    type Item = T;
    fn into_payloads(self) -> Vec<Payload> {
        self.into_iter().map(Payload::live).collect()
    }
}

/// The ways out of a node. Users derive it with `#[derive(Route)]`; `()` is the route of a node with plain edges.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a route",
    label = "expected an enum with `#[derive(Route)]`",
    note = "a node returns `Result<StateUpdate>`, `Result<SomeRoute>` or `Result<(StateUpdate, SomeRoute)>`"
)]
pub trait Route: Send + 'static {
    /// A struct with one field for each variant, so that a variant that is not wired does not compile.
    type Edges<S: State>: Send + Sync + 'static;

    /// The names of the variants, in the order of declaration; empty for `()`.
    const VARIANTS: &'static [&'static str];

    /// Whether a node that returns it has edges beside it, which a decision takes the place of; only for [`Goto`](crate::Goto).
    #[doc(hidden)]
    const LEAVES_EDGES_ASIDE: bool = false;

    /// The variant taken and what it carries; `None` for `()`.
    fn decide(self) -> Option<Decision>;

    /// The wiring of every variant, in the order of declaration.
    fn wiring<S: State>(edges: Self::Edges<S>) -> Vec<VariantWiring>;
}

impl Route for () {
    type Edges<S: State> = ();
    const VARIANTS: &'static [&'static str] = &[];

    fn decide(self) -> Option<Decision> {
        None
    }

    fn wiring<S: State>((): ()) -> Vec<VariantWiring> {
        Vec::new()
    }
}
