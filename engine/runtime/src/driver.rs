//! The driver: does what the execution says and reports what happened. It decides nothing about the run.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use statewright_engine_core::{
    Action, ActivationId, Event, Execution, Failure, FailureKind, NodeIx, Outcome, Plan, RunId, Seq, State,
    Task, ThreadId, panic_text,
};
use tracing::Span;

use crate::cache::Cached;
use crate::checkpointer::{Ack, Journal, StoreError};
use crate::context::{Activation, Halt, RunScope};
use crate::control::{Request, RunControl};
use crate::crew::Crew;
use crate::error::{Classifier, RunError};
use crate::events::{EventSender, RunEvent};
use crate::mailbox::{Mailbox, StepWaiters};
use crate::node::{ErasedNode, NodeOutput};
use crate::outbox::Postman;
use crate::question::halted;
use crate::runner::{Clock, Runner};
use crate::subgraph::Within;
use crate::timers::{Deadlines, Timer};
use crate::undo::Compensator;

/// A task, and where it stands if that is inside a graph that is a node.
type Placed = (Task, Option<Arc<Within>>);

/// Whether a graph, or one inside it, waits for somebody only so long.
fn abandons(plan: &Plan) -> bool {
    plan.joins.iter().any(|join| join.timeout.is_some()) || plan.children().any(|child| abandons(&child.plan))
}

/// The name of an activation, unique in the run.
fn full_id(within: Option<&Within>, activation: ActivationId) -> String {
    format!("{}{activation}", within.map_or("", Within::path))
}

/// Whether a graph, or one inside it, waits before it tries again or for somebody only so long.
fn is_timed(plan: &Plan) -> bool {
    abandons(plan)
        || plan.nodes.iter().any(|node| node.policy.retries().attempts_max() > 1)
        || plan.children().any(|child| is_timed(&child.plan))
}

/// Drives one execution until it stops.
pub(crate) struct Driver<S> {
    nodes: Arc<[Arc<dyn ErasedNode<S>>]>,
    classifiers: Arc<[Classifier]>,
    execution: Execution,
    journal: Option<Box<dyn Journal>>,
    scope: Arc<RunScope>,
    control: RunControl,
    heeded: Option<Request>,
    clock: Clock,
    /// Whether what happens next depends on the time.
    timed: bool,
    timer: Timer,
    /// Appends that are not acknowledged yet, oldest first.
    acks: VecDeque<(Seq, Ack)>,
    /// An activation that runs alone runs here, without a task of its own.
    alone: Option<ActivationFuture>,
    /// Activations that run at the same time.
    together: Crew<Ended>,
    /// Which of them may be abandoned; empty in graphs in which none may.
    handles: HashMap<String, usize>,
    /// Whether activations of this graph may be abandoned.
    abandons: bool,
    postman: Postman,
    compensator: Compensator,
    /// Nodes that wait until a step of theirs is kept.
    steps: StepWaiters,
    /// What the last activation leaves behind, to be used again if its node kept nothing of it.
    spare: Option<Arc<Activation>>,
}

impl<S: State> Driver<S> {
    pub(crate) fn new(
        runner: &Runner<S>,
        execution: Execution,
        journal: Option<Box<dyn Journal>>,
        events: Option<EventSender>,
        control: RunControl,
        thread: ThreadId,
    ) -> Self {
        let graph = runner.graph();
        let run = execution.run().cloned().unwrap_or_else(|| RunId::new(""));
        let postman = Postman::new(runner.handlers.clone(), thread.clone());
        let clock = runner.clock.clone();
        let results = runner.results.clone().map(|cache| Cached { cache, clock });
        let compensator = Compensator::new(graph.undoers.clone(), graph.classifiers.clone(), thread.clone());
        let scope = Arc::new(RunScope {
            plan: graph.plan.clone(),
            thread,
            run,
            events,
            mailbox: Mailbox::new(control.clone()),
            results,
        });
        let timed = is_timed(&graph.plan) || journal.is_some();
        let abandons = abandons(&graph.plan);
        Self {
            nodes: graph.nodes.clone(),
            classifiers: graph.classifiers.clone(),
            execution,
            journal,
            postman,
            compensator,
            steps: StepWaiters::new(scope.clone()),
            scope,
            control,
            heeded: None,
            clock: runner.clock.clone(),
            timed,
            timer: Timer::default(),
            acks: VecDeque::new(),
            alone: None,
            together: Crew::new(),
            handles: HashMap::new(),
            abandons,
            spare: None,
        }
    }

    /// Until the execution stops or the store fails. In both cases running nodes are dropped.
    pub(crate) async fn drive(mut self) -> Result<(Outcome, Execution), RunError> {
        let mut waiting: VecDeque<Placed> = VecDeque::new();
        loop {
            // A request that is already in is heeded before anything new begins.
            if let Some(event) = self.requested() {
                let now = self.now();
                self.execution.handle(now, event)?;
            }
            while let Some(action) = self.execution.poll_action() {
                match action {
                    Action::Persist(entry) => self.persist(entry)?,
                    Action::Run(task) => waiting.push_back((task, None)),
                    Action::SetTimer { at_ms } => self.timer.set(self.now(), at_ms),
                    Action::Abandon(activation) => self.abandon(&activation.to_string(), &mut waiting),
                    Action::Deliver(post) => self.postman.take(post),
                    Action::StepKept(kept) => self.steps.kept("", *kept),
                    Action::Undo(task) => {
                        // What still ran was part of the run that is undone.
                        (self.alone, self.together) = (None, Crew::new());
                        self.handles.clear();
                        self.compensator.take(*task);
                    }
                    Action::Reserved(reserved) => self.steps.reserved("", *reserved),
                    Action::Emit(notice) => self.emit(notice.into()),
                    Action::Nested { within, node, action } => {
                        self.within(None, within, node, *action, &mut waiting);
                    }
                    Action::Stop(outcome) => {
                        self.emit(RunEvent::Stopped(outcome.clone()));
                        return Ok((outcome, self.execution));
                    }
                }
            }
            self.begin(&mut waiting);
            poll_fn(|context| self.poll_event(context)).await?;
        }
    }

    /// Only records and retries hold times, so without them the clock is not asked.
    fn now(&self) -> u64 {
        if self.timed { (self.clock)() } else { 0 }
    }

    fn persist(&mut self, entry: statewright_engine_core::Entry) -> Result<(), RunError> {
        let seq = entry.seq;
        let Some(journal) = &mut self.journal else { return Err(RunError::NoCheckpointer) };
        let mut ack = journal.append(entry);
        // A store that is done at once needs no trip through the loop.
        if self.acks.is_empty() {
            let mut context = Context::from_waker(std::task::Waker::noop());
            if let Poll::Ready(stored) = Pin::new(&mut ack).poll(&mut context) {
                stored?;
                // An acknowledgement is not written down, so it needs no time.
                self.execution.handle(0, Event::Persisted { seq })?;
                return Ok(());
            }
        }
        self.acks.push_back((seq, ack));
        Ok(())
    }

    /// Does what the graph inside an activation wants done.
    fn within(
        &mut self,
        outer: Option<&Within>,
        activation: ActivationId,
        node: NodeIx,
        action: Action,
        waiting: &mut VecDeque<Placed>,
    ) {
        let inner = match outer {
            Some(outer) => outer.graph.inner(node),
            None => self.nodes.get(node.index()).and_then(|node| node.graph()),
        };
        let Some(within) = Within::enter(outer, inner, activation, node) else { return };
        match action {
            Action::Run(task) => waiting.push_back((task, Some(Arc::new(within)))),
            Action::Deliver(post) => self.postman.take(post),
            Action::StepKept(kept) => self.steps.kept(within.path(), *kept),
            Action::Abandon(activation) => self.abandon(&full_id(Some(&within), activation), waiting),
            Action::Reserved(reserved) => self.steps.reserved(within.path(), *reserved),
            Action::Emit(notice) => self.emit(within.told(notice.into())),
            Action::Nested { within: activation, node, action } => {
                self.within(Some(&within), activation, node, *action, waiting);
            }
            // The execution takes these in itself.
            Action::Persist(_) | Action::SetTimer { .. } | Action::Undo(_) | Action::Stop(_) => {}
        }
    }

    fn emit(&self, event: RunEvent) {
        if let Some(events) = &self.scope.events {
            events.send(event);
        }
    }

    /// One activation alone runs inside the driver; several run as tasks, so that they use all cores.
    fn begin(&mut self, waiting: &mut VecDeque<Placed>) {
        let alone = waiting.len() == 1 && self.alone.is_none() && self.together.is_empty();
        while let Some((task, within)) = waiting.pop_front() {
            let id = self.abandons.then(|| full_id(within.as_deref(), task.activation));
            let future = self.activation(task, within);
            if alone {
                self.alone = Some(future);
                continue;
            }
            let number = self.together.spawn(future);
            if let Some(id) = id {
                self.handles.insert(id, number);
            }
        }
    }

    /// Drops an activation that nobody awaits any more.
    fn abandon(&mut self, id: &str, waiting: &mut VecDeque<Placed>) {
        // What runs inside a graph that is a node goes with the node.
        let goes =
            |known: &str| known.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        waiting.retain(|(task, within)| !goes(&full_id(within.as_deref(), task.activation)));
        self.alone.take_if(|alone| alone.activation.as_ref().is_some_and(|known| goes(&known.full_id())));
        self.handles.retain(|known, number| {
            let goes = goes(known);
            if goes {
                self.together.abort(*number);
            }
            !goes
        });
    }

    fn activation(&mut self, task: Task, within: Option<Arc<Within>>) -> ActivationFuture {
        let Task { activation: id, node, attempt, input, critique, state, answers, steps } = task;
        let spare = self.spare.take().filter(|spare| Arc::strong_count(spare) == 1);
        let mut activation = spare.unwrap_or_else(|| Activation::of(&self.scope));
        if let Some(fresh) = Arc::get_mut(&mut activation) {
            fresh.within = within;
            fresh.begin(id, node, attempt, answers, critique, steps);
        }
        // A disabled span still costs as much as a node does; one that nobody sees is not made at all.
        let span = tracing::enabled!(tracing::Level::INFO).then(|| Box::new(self.span(&activation)));
        let called = catch_unwind(AssertUnwindSafe(|| match &activation.within {
            Some(within) => within.graph.call(node, state, &input, activation.clone()),
            None => {
                // The cell was made for this graph, so the state is an `S`.
                let state = state.downcast::<S>().unwrap_or_default();
                self.nodes[node.index()].call(state, &input, activation.clone())
            }
        }));
        let future =
            called.unwrap_or_else(|panic| Box::pin(std::panic::AssertUnwindSafe(resume_panic(panic))));
        let deadlines = Deadlines::of(&activation.plan().nodes[node.index()].policy);
        ActivationFuture { future, activation: Some(activation), deadlines, span }
    }

    fn span(&self, activation: &Activation) -> Span {
        tracing::info_span!(
            "node",
            run = %self.scope.run,
            thread = %self.scope.thread,
            node = activation.plan().node_name(activation.node),
            activation = %activation.full_id(),
            attempt = activation.attempt,
        )
    }

    /// What somebody asked for, once.
    fn requested(&mut self) -> Option<Event> {
        let request = self.control.wanted().filter(|wanted| self.heeded != Some(*wanted))?;
        self.heeded = Some(request);
        Some(match request {
            Request::Drain => Event::Drain,
            Request::Cancel => Event::Cancel,
        })
    }

    /// Tells the execution what happened next. The event is made where it is told, since moving it costs more than a node.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RunError>> {
        if let Some(event) = self.requested() {
            return Poll::Ready(self.tell(event));
        }
        if let Some((seq, ack)) = self.acks.front_mut()
            && let Poll::Ready(stored) = Pin::new(ack).poll(context)
        {
            let seq = *seq;
            self.acks.pop_front();
            let told = |()| self.tell(Event::Persisted { seq });
            return Poll::Ready(stored.map_err(|error: StoreError| error.into()).and_then(told));
        }
        if let Some(future) = &mut self.alone
            && let Poll::Ready(ended) = Pin::new(future).poll(context)
        {
            self.alone = None;
            return Poll::Ready(self.tell_end(ended));
        }
        if let Poll::Ready(at_ms) = self.timer.poll(context) {
            let now = self.now().max(at_ms);
            return Poll::Ready(self.execution.handle(now, Event::TimerFired).map_err(RunError::from));
        }
        if let Poll::Ready(ended) = self.together.poll(context) {
            return Poll::Ready(self.tell_end(ended));
        }
        if let Poll::Ready(event) = self.postman.poll(context) {
            return Poll::Ready(self.tell(event));
        }
        if let Poll::Ready(event) = self.compensator.poll(context) {
            return Poll::Ready(self.tell(event));
        }
        // The end of a node counts more than a step that it left behind, so steps come last.
        if let Some(event) = self.steps.next() {
            return Poll::Ready(self.tell(event));
        }
        self.control.register(context.waker());
        // A request that came in before the waker was known would otherwise be slept through.
        if self.scope.mailbox.is_full()
            || self.control.wanted().is_some_and(|wanted| self.heeded != Some(wanted))
        {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn tell(&mut self, event: Event) -> Result<(), RunError> {
        let now = self.now();
        Ok(self.execution.handle(now, event)?)
    }

    fn tell_end(&mut self, Ended { activation, end }: Ended) -> Result<(), RunError> {
        if !self.steps.is_silent() {
            let path = activation.within.as_ref().map_or("", |within| within.path());
            for settlement in self.steps.settlements(path, activation.id) {
                self.tell(settlement)?;
            }
        }
        if self.abandons {
            self.handles.remove(&activation.full_id());
        }
        let (id, attempt) = (activation.id, activation.attempt);
        let event = match end {
            End::Returned(Ok((update, decision))) => {
                let items = activation.take_posts();
                if !items.is_empty() {
                    self.tell(activation.event(Event::Posted { activation: id, attempt, items }))?;
                }
                if activation.cached.load(Ordering::Acquire) {
                    self.tell(activation.event(Event::Cached { activation: id, attempt }))?;
                }
                Event::Finished { activation: id, attempt, update, decision }
            }
            End::Returned(Err(error)) => {
                let failure = error.to_failure(activation.classifiers().unwrap_or(&self.classifiers));
                tracing::warn!(activation = %id, attempt, code = %failure.code, kind = failure.kind.name(), "a node failed");
                failed(id, attempt, failure)
            }
            End::TimedOut(failure) => {
                tracing::warn!(activation = %id, attempt, code = %failure.code, kind = failure.kind.name(), "a node failed");
                failed(id, attempt, failure)
            }
            End::Panicked(words) => {
                let failure = Failure::permanent("SW-X241", format!("the node panicked: {words}"));
                tracing::error!(activation = %id, attempt, code = %failure.code, kind = failure.kind.name(), "a node failed");
                failed(id, attempt, failure)
            }
            End::Halted(halts) => halted(id, attempt, halts),
        };
        let event = activation.event(event);
        self.spare = Some(activation);
        self.tell(event)
    }
}

pub(crate) fn failed(activation: ActivationId, attempt: u32, failure: impl Into<Box<Failure>>) -> Event {
    let failure = failure.into();
    let draw = if failure.kind == FailureKind::Permanent { 0 } else { crate::ids::draw() };
    Event::Failed { activation, attempt, failure, draw }
}

async fn resume_panic(panic: Box<dyn std::any::Any + Send>) -> NodeOutput {
    std::panic::resume_unwind(panic)
}

/// One execution of a node, with its end in a form that can be reported.
struct ActivationFuture {
    future: BoxFuture<'static, NodeOutput>,
    /// Until it ends.
    activation: Option<Arc<Activation>>,
    deadlines: Option<Box<Deadlines>>,
    span: Option<Box<Span>>,
}

struct Ended {
    activation: Arc<Activation>,
    end: End,
}

enum End {
    Returned(NodeOutput),
    Halted(Vec<Halt>),
    TimedOut(Box<Failure>),
    Panicked(String),
}

impl Future for ActivationFuture {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        let _entered = this.span.as_deref().map(Span::enter);
        let polled = catch_unwind(AssertUnwindSafe(|| this.future.as_mut().poll(context)));
        let Some(activation) = this.activation.take() else { return Poll::Pending };
        let end = match polled {
            // A node that asked has no result yet, whatever it made of the wait: nothing can swallow a pause.
            Ok(Poll::Ready(output)) => match activation.halted() {
                Some(halt) => End::Halted(halt),
                None => End::Returned(output),
            },
            Ok(Poll::Pending) => {
                activation.waker.register(context.waker());
                // What is at work when the node asks is let end, so that its result is kept.
                match activation.steps.are_still().then(|| activation.halted()).flatten() {
                    Some(halt) => End::Halted(halt),
                    None => match late(&mut this.deadlines, &activation, context) {
                        Some(failure) => End::TimedOut(Box::new(failure)),
                        None => {
                            this.activation = Some(activation);
                            return Poll::Pending;
                        }
                    },
                }
            }
            Err(panic) => End::Panicked(panic_text(panic.as_ref())),
        };
        Poll::Ready(Ended { activation, end })
    }
}

/// The failure of a node that has not returned although its time is up.
fn late(
    deadlines: &mut Option<Box<Deadlines>>,
    activation: &Activation,
    context: &mut Context<'_>,
) -> Option<Failure> {
    match deadlines.as_mut()?.poll(activation.pulse.as_ref(), context) {
        Poll::Ready(failure) => Some(failure),
        Poll::Pending => None,
    }
}
