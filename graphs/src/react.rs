//! The `react` pipeline: one agent with all tools, that calls them until it has the answer. Copy this file to start an agent
//! of your own.
//!
//! ```text
//! agent ── END        the agent: model ⇄ calculator, docs_search
//! ```
//!
//! What was said stays with the thread, so a next question on it is asked in the same conversation.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use statewright_engine_runtime::{Ctx, Graph, Node, NodeError, Problems, State, StateGraph};
use statewright_nodes_context::Citation;
use statewright_nodes_ports::{
    BoxFuture, FinishReason, HostError, HostStep, Message, NodeHost, Usage, Work, item,
};
use statewright_nodes_tools::agent::{AgentInput, AgentLoop, AgentOutput};
use statewright_nodes_tools::{Toolbox, calculator};

use crate::docs_tool::{docs_search, sources_in, sources_of};
use crate::host::{CtxHost, classify_host_errors};
use crate::pipeline::{Pipeline, Report, Services, classify_model_errors};
use crate::prompts::Cite;

/// What the agent knows. The conversation goes on from run to run; everything else starts anew with each question.
#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReactState {
    /// What is asked.
    #[state(reset = run)]
    pub question: String,
    /// Everything that was said on this thread, oldest first.
    #[reduce(append)]
    pub messages: Vec<Message>,
    /// The answer; `[n]` in it is the n-th citation.
    #[state(reset = run)]
    pub answer: String,
    /// What it cites.
    #[state(reset = run)]
    pub citations: Vec<Citation>,
    /// The last calculation of this run.
    #[state(reset = run)]
    pub calculation: Option<String>,
    /// How often the model answered in this run.
    #[state(reset = run)]
    pub iterations: u32,
    /// Tokens of all model calls of this run.
    #[state(reset = run)]
    pub usage: Usage,
    /// What a reader should know beside the answer.
    #[state(reset = run)]
    pub notes: Vec<String>,
}

/// Builds the graph.
///
/// # Errors
/// None as it stands; whoever changes the wiring learns here what is wrong with it.
pub fn react(services: &Services) -> Result<Graph<ReactState>, Problems> {
    let mut g = StateGraph::<ReactState>::new("react");
    let agent = g.node("agent", Agent(services.clone()));
    g.start(agent);
    g.end(agent);
    g.classify(classify_model_errors);
    g.classify(classify_host_errors);
    g.build()
}

struct Agent(Services);

impl Node<ReactState> for Agent {
    type In = ();
    type Out = ReactStateUpdate;

    async fn run(&self, ctx: Ctx<ReactState>) -> Result<ReactStateUpdate, NodeError> {
        let Services { model, tokens, docs, prompts } = &self.0;
        let prompt = prompts.prompts().get("react")?;
        let searched = docs.clone().map(|docs| docs_search(docs, tokens.clone()));
        let toolbox = Toolbox::new([calculator::tool().shared()].into_iter().chain(searched))?;
        let agent = AgentLoop::new(model.clone(), tokens.clone())
            .system(prompt.render(&[])?)
            .prompt_version(prompt.version().to_string())
            .toolbox(toolbox)
            .temperature(0.0);
        let input = AgentInput { history: ctx.state.messages.clone(), question: ctx.state.question.clone() };
        let output = agent.run(&Cited::new(CtxHost::new(&ctx)), input).await?;
        Ok(update(output))
    }
}

const CALCULATOR: &str = "calculator";

/// What the loop came to, as the state keeps it.
fn update(output: AgentOutput) -> ReactStateUpdate {
    let sources = sources_of(&output.messages);
    let mut cite = Cite::of_ids(sources.keys().copied());
    let mut answer = cite.push(&output.text) + &cite.finish();
    let citations: Vec<Citation> = cite.cited.iter().filter_map(|id| sources.get(id).cloned()).collect();
    let results = output.messages.iter().flat_map(Message::tool_results);
    let calculation = results.filter(|result| result.name == CALCULATOR && !result.is_error).last();
    let mut notes = Vec::new();
    if let Some(stopped) = &output.stopped {
        notes.push(format!("{}: {stopped}.", stopped.code()));
    }
    if output.finish == Some(FinishReason::Length) {
        notes.push("The model's output limit cut the answer off.".to_owned());
    }
    if answer.trim().is_empty() {
        answer = "The agent was stopped before it had an answer.".to_owned();
    }
    let update = ReactState::update().answer(answer).citations(citations).notes(notes);
    let update = match calculation {
        Some(result) => update.calculation(result.content.clone()),
        None => update.clear_calculation(),
    };
    update.extend_messages(output.messages).iterations(output.iterations).usage(output.spent.usage)
}

impl Pipeline for ReactState {
    fn ask(question: &str) -> ReactStateUpdate {
        ReactState::update().question(question.trim())
    }

    fn report(&self) -> Report {
        Report {
            answer: self.answer.clone(),
            citations: self.citations.clone(),
            calculation: self.calculation.clone(),
            quality: None,
            attempts: u32::from(self.iterations > 0),
            usage: self.usage,
            notes: self.notes.clone(),
        }
    }
}

/// The host with the citations of streamed text renumbered as they are in the answer.
struct Cited<H> {
    host: H,
    /// The renumbering of the present answer, and the numbers of all sources that were found.
    cite: Mutex<(Cite, Vec<usize>)>,
}

impl<H: NodeHost> Cited<H> {
    fn new(host: H) -> Self {
        Self { host, cite: Mutex::default() }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Cite, &mut Vec<usize>) -> T) -> T {
        let mut cite = self.cite.lock().unwrap_or_else(PoisonError::into_inner);
        let (cite, known) = &mut *cite;
        change(cite, known)
    }
}

impl<H: NodeHost> NodeHost for Cited<H> {
    fn step<'a>(&'a self, step: HostStep<'a>, work: Work<'a>) -> BoxFuture<'a, Result<Value, HostError>> {
        Box::pin(async move {
            let kept = self.host.step(step, work).await?;
            let found = sources_in(kept["content"].as_str().unwrap_or_default());
            self.with(|cite, known| {
                known.extend(found.into_keys());
                *cite = Cite::of_ids(known.iter().copied());
            });
            Ok(kept)
        })
    }

    fn ask<'a>(&'a self, name: &'a str, question: Value) -> BoxFuture<'a, Result<Value, HostError>> {
        self.host.ask(name, question)
    }

    fn emit(&self, kind: &'static str, payload: Value) {
        let shown = match (kind, payload.as_str()) {
            (item::TOKEN, Some(text)) => self.with(|cite, _| cite.push(text)),
            // It ends an answer, and a bracket that is still open then was none.
            (item::USAGE, _) => self.with(|cite, _| cite.finish()),
            (item::ATTEMPT_RESET, _) => {
                self.with(|cite, known| *cite = Cite::of_ids(known.iter().copied()));
                String::new()
            }
            _ => String::new(),
        };
        if !shown.is_empty() {
            self.host.emit(item::TOKEN, json!(shown));
        }
        if kind != item::TOKEN {
            self.host.emit(kind, payload);
        }
    }

    fn key(&self, name: &str) -> String {
        self.host.key(name)
    }

    fn depth(&self) -> u32 {
        self.host.depth()
    }
}
