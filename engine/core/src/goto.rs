//! Goto: a node that may leave its edges aside. Only the declared ways out of a [`Route`] can be named, so there is no
//! target that the graph does not know.

use crate::command::{Command, IntoCommand};
use crate::route::{Decision, Route, VariantWiring};
use crate::state::{State, Update};

/// Where a node goes that has edges and may leave them aside: the route of such a node is `Goto<R>`, with the places
/// that it may go to as the variants of `R`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Goto<R> {
    /// Along its edges and branches.
    #[default]
    Edges,
    /// There, and along none of its edges and branches.
    To(R),
}

impl<R: Route> Route for Goto<R> {
    type Edges<S: State> = R::Edges<S>;
    const VARIANTS: &'static [&'static str] = R::VARIANTS;
    const LEAVES_EDGES_ASIDE: bool = true;

    fn decide(self) -> Option<Decision> {
        match self {
            Goto::Edges => None,
            Goto::To(route) => route.decide(),
        }
    }

    fn wiring<S: State>(edges: R::Edges<S>) -> Vec<VariantWiring> {
        R::wiring::<S>(edges)
    }
}

impl<S: State, R: Route> IntoCommand<S> for Goto<R> {
    type Route = Self;

    fn into_command(self) -> Command<S::Update, Self> {
        Command::new(S::Update::default(), self)
    }
}

impl<U, R> Command<U, Goto<R>> {
    /// The update, and on to a declared target in place of the node's edges.
    pub fn goto(update: U, to: R) -> Self {
        Self::new(update, Goto::To(to))
    }

    /// The update, and on along the node's edges.
    pub fn edges(update: U) -> Self {
        Self::new(update, Goto::Edges)
    }
}

impl<S: State<Update = U>, U: Update, R: Route> IntoCommand<S> for Command<U, R> {
    type Route = R;

    fn into_command(self) -> Command<U, R> {
        self
    }
}
