//! What a person sees while a run is driven. In a terminal: nodes as they start and finish, and the draft as it is
//! written. Elsewhere: one plain line for each finished node. What came out is shown by `show`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use statewright_engine_runtime::{Plan, RunEvent};
use statewright_graphs::model_call::ATTEMPT_RESET;
use statewright_nodes_ports::item;

use super::output::{Output, human};
use super::trace::{Around, Step, Trace};

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);

pub(crate) struct View<'a> {
    out: &'a Output,
    pub(crate) trace: Trace,
    screen: MultiProgress,
    spinners: HashMap<String, ProgressBar>,
    /// The activation whose text is being streamed. Others that write at the same time are not shown: two texts in
    /// one would be none.
    streaming: Option<String>,
    /// The text that was streamed last and still stands on the screen.
    draft: String,
}

impl<'a> View<'a> {
    pub(crate) fn new(out: &'a Output, plan: Arc<Plan>) -> Self {
        Self {
            out,
            trace: Trace::new(plan),
            screen: out.screen(),
            spinners: HashMap::new(),
            streaming: None,
            draft: String::new(),
        }
    }

    /// The draft on the screen, which need not be shown again if it is the answer.
    pub(crate) fn shown(&self) -> &str {
        &self.draft
    }

    pub(crate) fn event(&mut self, event: &RunEvent) {
        let (around, event) = Around::of(&self.trace.plan, event);
        if let RunEvent::NodeStarted { activation, attempt, .. } = event
            && *attempt > 1
        {
            self.forget_draft_of(&around.activation(*activation));
        }
        if let RunEvent::Judged(round) = event
            && !self.out.json
            && !self.out.quiet
        {
            self.out.line(&self.out.dim(&format!("  {}", Trace::judged(&around, round))));
        }
        let line = self.trace.note(&around, event);
        let line = line.map(|step| (step.activation.clone(), describe(self.out, step)));
        if self.out.live() {
            self.live(&around, event, line);
        } else if !self.out.json
            && !self.out.quiet
            && let Some((_, Some(line))) = line
        {
            self.out.line(&line);
        }
    }

    fn live(&mut self, around: &Around, event: &RunEvent, line: Option<(String, Option<String>)>) {
        match event {
            RunEvent::NodeStarted { activation, .. } => self.spin(around.activation(*activation)),
            RunEvent::Item(sent) if &*sent.kind == item::TOKEN => {
                if let Some(text) = sent.payload.as_str() {
                    self.stream(&around.activation(sent.activation), text);
                }
            }
            RunEvent::Item(sent) if &*sent.kind == ATTEMPT_RESET => {
                self.forget_draft_of(&around.activation(sent.activation));
            }
            RunEvent::Lagged { missed } => {
                self.out.line(&self.out.dim(&format!("  … {missed} events not shown")));
            }
            _ => {}
        }
        if let Some((activation, Some(line))) = line {
            if let Some(spinner) = self.spinners.remove(&activation) {
                spinner.finish_and_clear();
                self.screen.remove(&spinner);
            }
            self.end_stream(&activation);
            if self.streaming.is_none() {
                self.out.line(&line);
            }
        }
    }

    fn spin(&mut self, activation: String) {
        let Some(step) = self.trace.running().find(|step| step.activation == activation) else { return };
        let spinner = ProgressBar::new_spinner().with_message(step.node.clone());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            spinner.set_style(style);
        }
        let spinner = self.screen.add(spinner);
        spinner.enable_steady_tick(TICK);
        self.spinners.insert(activation, spinner);
    }

    fn stream(&mut self, activation: &str, text: &str) {
        if *self.streaming.get_or_insert_with(|| activation.to_owned()) != activation {
            return;
        }
        if self.draft.is_empty() || !self.screen.is_hidden() {
            // A draft of an earlier round stays where it is; this one begins below it.
            if !self.draft.is_empty() {
                self.out.line(&self.out.dim("— another draft —"));
            }
            self.draft.clear();
            drop(self.screen.clear());
            self.screen.set_draw_target(ProgressDrawTarget::hidden());
            self.out.text("\n");
        }
        self.draft.push_str(text);
        self.out.text(text);
    }

    /// The streamed text of this activation is void.
    fn forget_draft_of(&mut self, activation: &str) {
        if self.streaming.as_deref() != Some(activation) || self.draft.is_empty() {
            return;
        }
        let term = Term::stdout();
        let (rows, columns) = term.size();
        let lines = lines_on_screen(&self.draft, usize::from(columns));
        if lines < usize::from(rows) {
            drop(term.clear_line().and_then(|()| term.clear_last_lines(lines)));
            self.out.text("\n");
        } else {
            self.out.text(&self.out.dim("\n— beginning again —\n"));
        }
        self.draft.clear();
    }

    /// Gives the screen back to the spinners.
    fn end_stream(&mut self, activation: &str) {
        if self.streaming.as_deref() != Some(activation) {
            return;
        }
        self.streaming = None;
        self.out.text(if self.draft.ends_with('\n') { "\n" } else { "\n\n" });
        self.screen.set_draw_target(ProgressDrawTarget::stdout());
    }

    /// Leaves the terminal as it was found.
    pub(crate) fn end(&mut self) {
        for (_, spinner) in self.spinners.drain() {
            spinner.finish_and_clear();
        }
        if self.streaming.take().is_some() {
            self.out.text("\n");
            self.screen.set_draw_target(ProgressDrawTarget::stdout());
        }
        drop(self.screen.clear());
    }
}

/// How many lines below its first one a text takes.
fn lines_on_screen(text: &str, columns: usize) -> usize {
    let rows = |line: &str| console::measure_text_width(line).saturating_sub(1) / columns.max(1) + 1;
    text.split('\n').map(rows).sum::<usize>()
}

/// The line of a step that ended; nothing while it runs.
fn describe(out: &Output, step: &Step) -> Option<String> {
    let took = human(step.took?);
    let attempt = if step.attempt > 1 { format!(" (attempt {})", step.attempt) } else { String::new() };
    let tokens = if step.tokens > 0 { format!(", {} tokens", step.tokens) } else { String::new() };
    let figures = out.dim(&format!("{took}{tokens}"));
    let name = format!("{}{attempt}", step.node);
    Some(match (&step.failure, &step.asked) {
        (Some(failure), _) => {
            format!("{} {name}  {figures}  {}", out.style().red().apply_to("✗"), failure.code)
        }
        (None, Some(question)) => {
            format!("{} {name}  {figures}  asks `{question}`", out.style().yellow().apply_to("?"))
        }
        (None, None) if step.cached => {
            format!("{} {name}  {figures}  cached", out.style().green().apply_to("✓"))
        }
        (None, None) => format!("{} {name}  {figures}", out.style().green().apply_to("✓")),
    })
}
