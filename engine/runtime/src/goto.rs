//! Nodes that may leave their edges aside: how the builder takes them.

use statewright_engine_core::graph::SourceSpec;
use statewright_engine_core::{Goto, Route, State, Wire};

use crate::builder::{NodeHandle, OptionalSource, PlainSource, Source, StateGraph};

impl<S, I, R> PlainSource<S> for NodeHandle<S, I, Goto<R>> {
    fn source(self) -> Wire {
        self.wire()
    }
}

impl<S, I, R> Source<S> for NodeHandle<S, I, Goto<R>> {
    fn spec(self) -> SourceSpec {
        SourceSpec { wire: self.wire(), optional: false }
    }
}

impl<S, I, R> NodeHandle<S, I, Goto<R>> {
    /// As a source of a join that need not be reached: the join goes on without it when the node goes elsewhere and
    /// nothing that is under way can lead there any more.
    pub fn optional(self) -> OptionalSource<S> {
        OptionalSource::of(self.wire())
    }
}

impl<S: State> StateGraph<S> {
    /// Declares where a node that returns a [`Goto`] may go in place of its edges, branches and joins. A way back needs
    /// a bound like any other edge.
    ///
    /// ```
    /// # use statewright_engine_runtime::*;
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(State, Clone, Default, Serialize, Deserialize)]
    /// struct Draft { text: String, #[reduce(sum)] reviews: u32 }
    ///
    /// #[derive(Route)]
    /// enum Elsewhere { Rewrite, GiveUp }
    ///
    /// let mut g = StateGraph::<Draft>::new("draft");
    /// let write = g.func("write", async |ctx: Ctx<Draft>| Ok(Draft::update().text(format!("{}.", ctx.state.text))));
    /// let review = g.func("review", async |ctx: Ctx<Draft>| {
    ///     let seen = Draft::update().reviews(1u32);
    ///     Ok(match ctx.state.text.len() {
    ///         0..3 => Command::goto(seen, Elsewhere::Rewrite),
    ///         100.. => Command::goto(seen, Elsewhere::GiveUp),
    ///         _ => Command::edges(seen),
    ///     })
    /// });
    /// g.start(write);
    /// g.edge(write, review);
    /// g.end(review);
    /// g.may_go_to(review, ElsewhereEdges { rewrite: write.to().at_most(5), give_up: To::END });
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let draft = g.build().unwrap().run(Draft::update()).await.unwrap();
    /// assert_eq!((draft.text.as_str(), draft.reviews), ("...", 3));
    /// # });
    /// ```
    pub fn may_go_to<I, R: Route>(&mut self, from: NodeHandle<S, I, Goto<R>>, targets: R::Edges<S>) {
        self.route(from, targets);
    }
}
