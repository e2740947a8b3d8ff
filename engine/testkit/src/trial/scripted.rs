//! A node whose code is a script: what each of its activations returns, how often it fails before, what it asks.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use statewright_engine_runtime::{ActivationId, Ctx, Data, NodeError, Payload, RunId, State, ThreadId};

type Code<S, O> = dyn Fn(Ctx<S, Payload>) -> BoxFuture<'static, Result<O, NodeError>> + Send + Sync;

/// What one execution does that is not the last one of its activation.
enum Trouble {
    Fails(Box<dyn Fn() -> NodeError + Send + Sync>),
    Panics(String),
    Hangs,
}

/// What one activation does: its troubles, each in an execution of its own, then its output.
struct Part<S, O> {
    troubles: Vec<Trouble>,
    output: Arc<Code<S, O>>,
}

/// A script in the place of a node over the state `S` that returns `O`: an update, a route, or a pair of both.
///
/// Each activation of a run takes the next part of the script; an activation that is executed again, after a failure, an
/// answer or a crash, goes on in the part that it has. A run that asks for more than the script holds fails with
/// `SW-X292`, unless the script goes on [`forever`](Scripted::forever).
///
/// ```
/// # use statewright_engine_runtime::*;
/// # use statewright_engine_testkit::Scripted;
/// #[derive(State, Clone, Debug, Default)]
/// struct Page { text: String }
///
/// # fn test(graph: Graph<Page>) -> Result<Graph<Page>, ReplaceError> {
/// let fetch = Scripted::new()
///     .fails(|| NodeError::transient("the line is dead"))
///     .returns(Page::update().text("hello"));
/// graph.replace("fetch", fetch.code())
/// # }
/// ```
#[must_use = "a script does nothing until its code replaces that of a node"]
pub struct Scripted<S, O> {
    parts: Vec<Part<S, O>>,
    troubles: Vec<Trouble>,
    forever: bool,
    state: PhantomData<fn(S)>,
}

impl<S, O> fmt::Debug for Scripted<S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

impl<S: State, O: Send + 'static> Default for Scripted<S, O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: State, O: Send + 'static> Scripted<S, O> {
    /// A script without parts.
    pub fn new() -> Self {
        Self { parts: Vec::new(), troubles: Vec::new(), forever: false, state: PhantomData }
    }

    /// The next execution fails. Whether the same activation is tried again is up to the node's policy.
    pub fn fails(mut self, error: impl Fn() -> NodeError + Send + Sync + 'static) -> Self {
        self.troubles.push(Trouble::Fails(Box::new(error)));
        self
    }

    /// The next execution panics, which is a permanent failure.
    pub fn panics(mut self, words: impl Into<String>) -> Self {
        self.troubles.push(Trouble::Panics(words.into()));
        self
    }

    /// The next execution never ends, until a limit of the node's policy ends it.
    pub fn hangs(mut self) -> Self {
        self.troubles.push(Trouble::Hangs);
        self
    }

    /// The next activation returns this, after the troubles that were said before.
    pub fn returns(self, output: O) -> Self
    where
        O: Clone + Sync,
    {
        self.does(move |_| std::future::ready(Ok(output.clone())))
    }

    /// The next activation asks this, and returns what is made of the answer.
    pub fn asks<A: Data, Q: Data>(
        self,
        name: &'static str,
        question: Q,
        then: impl Fn(A) -> O + Send + Sync + 'static,
    ) -> Self {
        let then = Arc::new(then);
        self.does(move |ctx| {
            let (question, then) = (question.clone(), then.clone());
            async move { Ok(then(ctx.ask::<A, Q>(name, &question).await)) }
        })
    }

    /// The next activation does this.
    pub fn does<Fut>(mut self, code: impl Fn(Ctx<S, Payload>) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<O, NodeError>> + Send + 'static,
    {
        let troubles = std::mem::take(&mut self.troubles);
        self.parts.push(Part { troubles, output: Arc::new(move |ctx| code(ctx).boxed()) });
        self
    }

    /// Every further activation does what the last one did, without its troubles.
    pub fn forever(mut self) -> Self {
        self.forever = true;
        self
    }

    /// The script as the code of a node, for [`Graph::replace`](statewright_engine_runtime::Graph::replace).
    pub fn code(
        self,
    ) -> impl Fn(Ctx<S, Payload>) -> BoxFuture<'static, Result<O, NodeError>> + Send + Sync + 'static {
        let player = Player { script: self, runs: Mutex::default() };
        move |ctx| player.play(ctx)
    }
}

type Run = (ThreadId, RunId);
/// For each activation of a run: which part it has, and how many executions it had.
type Places = HashMap<ActivationId, (usize, usize)>;

struct Player<S, O> {
    script: Scripted<S, O>,
    runs: Mutex<HashMap<Run, Places>>,
}

impl<S: State, O: Send + 'static> Player<S, O> {
    fn play(&self, ctx: Ctx<S, Payload>) -> BoxFuture<'static, Result<O, NodeError>> {
        let (part, execution) = self.place(&ctx);
        let parts = &self.script.parts;
        let has_troubles = part < parts.len();
        let last = parts.len().checked_sub(1).filter(|_| self.script.forever);
        let troubles = if has_troubles { &parts[part].troubles } else { &self.script.troubles };
        match troubles.get(execution) {
            Some(Trouble::Fails(error)) => std::future::ready(Err(error())).boxed(),
            Some(Trouble::Panics(words)) => {
                let words = words.clone();
                async move { panic!("{words}") }.boxed()
            }
            Some(Trouble::Hangs) => std::future::pending().boxed(),
            None => match parts.get(part).or_else(|| parts.get(last?)) {
                Some(part) => (part.output)(ctx),
                None => std::future::ready(Err(exhausted(ctx.node(), parts.len(), part))).boxed(),
            },
        }
    }

    fn place(&self, ctx: &Ctx<S, Payload>) -> (usize, usize) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let activations = runs.entry((ctx.thread().clone(), ctx.run().clone())).or_default();
        let next = activations.len();
        let (part, executions) = activations.entry(ctx.activation()).or_insert((next, 0));
        *executions += 1;
        (*part, *executions - 1)
    }
}

fn exhausted(node: &str, parts: usize, part: usize) -> NodeError {
    let words = format!(
        "the script of `{node}` has {parts} outputs, and this is its activation number {}; add one, or let it go on forever",
        part + 1
    );
    NodeError::permanent(words).with_code("SW-X292")
}
