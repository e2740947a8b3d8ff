//! What a node hands back to the engine.

use crate::route::Route;
use crate::state::{State, Update};

/// What a node returns: what it writes, and where the run goes on.
#[derive(Clone, Debug)]
pub struct Command<U, R> {
    /// The partial write.
    pub update: U,
    /// The route; `()` for a node with plain edges.
    pub route: R,
}

impl<U, R> Command<U, R> {
    /// Both parts.
    pub fn new(update: U, route: R) -> Self {
        Self { update, route }
    }
}

/// What the `Ok` of a node over the state `S` may be: its update, a route, or a pair of both.
#[diagnostic::on_unimplemented(
    message = "a node over `{S}` cannot return `{Self}`",
    label = "not an update of `{S}`, a route, or a pair of both",
    note = "return `Result<{S}Update, NodeError>`, `Result<SomeRoute, NodeError>` or `Result<({S}Update, SomeRoute), NodeError>`"
)]
pub trait IntoCommand<S: State>: Send + 'static {
    /// The route that it carries.
    type Route: Route;

    /// Both parts, the absent one filled in.
    fn into_command(self) -> Command<S::Update, Self::Route>;
}

impl<S: State<Update = U>, U: Update, R: Route> IntoCommand<S> for (U, R) {
    type Route = R;

    fn into_command(self) -> Command<U, R> {
        Command::new(self.0, self.1)
    }
}
