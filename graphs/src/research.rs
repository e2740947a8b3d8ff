//! The `research` pipeline: plans by rules, searches and computes at the same time where it can, writes, and lets a
//! reviewer check the draft against the evidence. Copy this file to start a pipeline of your own.
//!
//! ```text
//! orchestrator ─┬─ research ───┬─ writer ── reviewer ── END
//!               ├─ calculator ─┤                 │
//!               └──────────────┘   ←─ the node that is to blame, with the critique
//! ```
//!
//! Each draft gets a score, and a gate sends what is not good enough back; the best draft is the answer. No text of a model decides where the run goes.

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{
    Ctx, Gate, GateEdges, Graph, Node, NodeError, Problems, Route, State, StateGraph, To, Verdict,
};
use statewright_nodes_context::{Citation, pack};
use statewright_nodes_ports::{Usage, item, purpose};
use statewright_nodes_tools::calculator::evaluate;

use crate::evidence::{self, Blame, Computed, Evidence, NO_ANSWER, Review};
use crate::model_call::{ATTEMPT_RESET, call_model};
use crate::pipeline::{Pipeline, Report, Services, classify_model_errors};
use crate::prompts::{self, Source};
use crate::question::{self, Plan};

/// What the nodes share. Every field starts anew with each question.
#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResearchState {
    /// What is asked.
    #[state(reset = run)]
    pub question: String,
    /// What the question needs.
    #[state(reset = run)]
    pub plan: Plan,
    /// What the last search found.
    #[state(reset = run)]
    pub sources: Vec<Source>,
    /// Whether a wider search may find more than the last one.
    #[state(reset = run)]
    pub can_search_wider: bool,
    /// What was computed.
    #[state(reset = run)]
    pub computed: Option<Computed>,
    /// The draft that waits for its review.
    #[state(reset = run)]
    pub draft: Draft,
    /// What the reviewer said last; it goes into the prompts of the next attempt.
    #[state(reset = run)]
    pub review: Option<Review>,
    /// Whether the last two rounds wrote the same and were told the same.
    #[state(reset = run)]
    pub is_stuck: bool,
    /// How many drafts were reviewed.
    #[reduce(sum)]
    #[state(reset = run)]
    pub attempts: u32,
    /// Tokens of all model calls.
    #[reduce(sum)]
    #[state(reset = run)]
    pub usage: Usage,
    /// What a reader should know beside the answer.
    #[reduce(append)]
    #[state(reset = run)]
    pub notes: Vec<String>,
}

/// What the writer wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// The text; `[n]` in it is the n-th citation.
    pub text: String,
    /// What it cites.
    pub citations: Vec<Citation>,
    /// What it cites although it is not there, as written.
    pub dangling: Vec<String>,
    /// Whether it is the same as the one before.
    pub repeats: bool,
}

/// Ways out of the orchestrator.
#[derive(Route)]
pub enum Planned {
    /// Search.
    Research,
    /// Compute.
    Calculate,
    /// Search and compute at the same time.
    Both,
    /// Write at once.
    Neither,
}

/// Ways out of the research.
#[derive(Route)]
pub enum Searched {
    /// Compute with what was found.
    Calculate,
    /// Write.
    Write,
}

/// The node to blame for a draft.
#[derive(Route)]
pub enum Mend {
    /// Search again, wider.
    Research,
    /// Compute again.
    Calculator,
    /// Write again.
    Writer,
}

/// The score from which a draft is good enough.
pub const SCORE_MIN: f64 = 0.7;
/// The most drafts.
pub const ATTEMPTS_MAX: u32 = 3;
/// How many passages the first search gives; later ones give as many more.
const PASSAGES: usize = 6;

/// Builds the graph.
///
/// # Errors
/// None as it stands; whoever changes the wiring learns here what is wrong with it.
pub fn research(services: &Services) -> Result<Graph<ResearchState>, Problems> {
    let mut g = StateGraph::<ResearchState>::new("research");
    let orchestrator = g.func("orchestrator", orchestrate);
    let research = g.node("research", Research(services.clone()));
    let calculator = g.node("calculator", Calculator(services.clone()));
    let writer = g.node("writer", Writer(services.clone()));
    let reviewer = g.func("reviewer", review);

    g.start(orchestrator);
    g.route(
        orchestrator,
        PlannedEdges {
            research: research.to(),
            calculate: calculator.to(),
            both: research.to().and(calculator.to()),
            neither: writer.to(),
        },
    );
    g.route(research, SearchedEdges { calculate: calculator.to(), write: writer.to() });
    g.edge(calculator, writer);
    g.edge(writer, reviewer);
    // What is not good enough goes back to the node to blame; in the end the draft with the best score is the answer.
    let gate = Gate::new(verdict).pass_at(SCORE_MIN).attempts(ATTEMPTS_MAX);
    g.gate(
        reviewer,
        gate.stop_if(|state: &ResearchState| state.is_stuck).keep(["draft", "review"]),
        GateEdges {
            pass: To::END,
            retry: MendEdges { research: research.to(), calculator: calculator.to(), writer: writer.to() },
            stop: To::END,
        },
    );
    // Research and calculation of one superstep end together, so the writer runs once for both. The calculator follows
    // the research only where the plan does not start both at once.
    g.any(writer);
    g.any(calculator);
    g.classify(classify_model_errors);
    g.build()
}

async fn orchestrate(ctx: Ctx<ResearchState>) -> Result<(ResearchStateUpdate, Planned), NodeError> {
    let plan = Plan::of(&ctx.state.question);
    let route = match plan {
        Plan::Research | Plan::ResearchThenCalculate => Planned::Research,
        Plan::Calculate => Planned::Calculate,
        Plan::Both => Planned::Both,
        Plan::Neither => Planned::Neither,
    };
    Ok((ResearchState::update().plan(plan), route))
}

struct Research(Services);

impl Node<ResearchState> for Research {
    type In = ();
    type Out = (ResearchStateUpdate, Searched);

    async fn run(&self, ctx: Ctx<ResearchState>) -> Result<Self::Out, NodeError> {
        let state = &ctx.state;
        let route =
            if state.plan == Plan::ResearchThenCalculate { Searched::Calculate } else { Searched::Write };
        let Some(docs) = &self.0.docs else {
            let note = "No documents were given, so nothing could be looked up.";
            return Ok((ResearchState::update().notes(note), route));
        };
        let times = state.attempts as usize + 1;
        let passages = docs.index().await?.search(&state.question, times * PASSAGES);
        let can_search_wider = passages.len() == times * PASSAGES;
        let packed = pack::pack(&passages, self.0.tokens.as_ref(), times * pack::RETRIEVED_TOKENS);
        let sources: Vec<Source> = packed.passages.into_iter().map(Source::from).collect();
        let update = ResearchState::update().can_search_wider(can_search_wider || !packed.dropped.is_empty());
        Ok((update.sources(sources), route))
    }
}

struct Calculator(Services);

impl Node<ResearchState> for Calculator {
    type In = ();
    type Out = ResearchStateUpdate;

    async fn run(&self, ctx: Ctx<ResearchState>) -> Result<ResearchStateUpdate, NodeError> {
        let state = &ctx.state;
        // What the question writes in signs needs no model, and a mistake in it is the asker's to mend.
        if let Some(written) = question::expression(&state.question) {
            return Ok(ResearchState::update().computed(evaluate(written?)?));
        }
        let needs_found = state.plan == Plan::ResearchThenCalculate;
        if needs_found && state.sources.is_empty() {
            return Ok(ResearchState::update());
        }
        let found = if needs_found { &*state.sources } else { &[] };
        let prompt =
            prompts::sources(found) + &critique(state) + &prompts::block("question", &state.question);
        let request = self.0.prompts.request(purpose::EXTRACT_EXPRESSION, "research-extract", prompt)?;
        let called = call_model(&ctx, &self.0, request).await?;
        let update = ResearchState::update().usage(called.usage);
        let expression = called.text.trim();
        if expression == "NONE" {
            return Ok(update.clear_computed());
        }
        match evaluate(expression) {
            Ok(done) => Ok(update.computed(done)),
            Err(error) if question::is_to_blame(&state.question, expression, &error) => Err(error.into()),
            Err(_) => Ok(update.clear_computed()),
        }
    }
}

struct Writer(Services);

impl Node<ResearchState> for Writer {
    type In = ();
    type Out = ResearchStateUpdate;

    async fn run(&self, ctx: Ctx<ResearchState>) -> Result<ResearchStateUpdate, NodeError> {
        let state = &ctx.state;
        if state.attempts > 0 {
            ctx.emit(ATTEMPT_RESET, &(state.attempts + 1));
        }
        if state.plan.researches() && state.sources.is_empty() && state.computed.is_none() {
            // Whatever a model wrote now would come from nowhere.
            ctx.emit(item::TOKEN, &NO_ANSWER);
            let text = NO_ANSWER.to_owned();
            return Ok(ResearchState::update().draft(after(&state.draft, Draft { text, ..Draft::default() })));
        }
        let mut prompt = prompts::sources(&state.sources);
        if let Some(computed) = &state.computed {
            prompt += &prompts::block("calculation", &computed.text);
        }
        prompt += &critique(state);
        prompt += &prompts::block("question", &state.question);
        let request = self.0.prompts.request(purpose::WRITE, "research-write", prompt)?;
        let called = call_model(&ctx, &self.0, request).await?;
        let cited = called.cited.iter().filter_map(|number| state.sources.get(number - 1));
        let citations = cited.map(|source| source.citation.clone()).collect();
        let draft = Draft { text: called.text, citations, dangling: called.dangling, repeats: false };
        let update = ResearchState::update().draft(after(&state.draft, draft)).usage(called.usage);
        Ok(if called.is_cut_off { update.notes("The model's output limit cut a draft off.") } else { update })
    }
}

/// A draft that says whether it is the same as the one before.
fn after(before: &Draft, draft: Draft) -> Draft {
    Draft { repeats: draft == Draft { repeats: false, ..before.clone() }, ..draft }
}

async fn review(ctx: Ctx<ResearchState>) -> Result<ResearchStateUpdate, NodeError> {
    let state = &ctx.state;
    let draft = &state.draft;
    let review = evidence::review(
        &draft.text,
        &Evidence {
            question: &state.question,
            plan: state.plan,
            sources: &state.sources,
            computed: state.computed.as_ref(),
            cited: draft.citations.len(),
            dangling: &draft.dangling,
            can_search_wider: state.can_search_wider,
        },
    );
    let is_stuck = draft.repeats && state.review.as_ref() == Some(&review);
    Ok(ResearchState::update().attempts(1).is_stuck(is_stuck).review(review))
}

/// What the gate reads out of a review.
fn verdict(state: &ResearchState) -> Verdict<Mend> {
    let Some(review) = &state.review else {
        return Verdict { score: 0.0, critique: String::new(), blame: None };
    };
    let blame = review.blamed.map(|blamed| match blamed {
        Blame::Research => Mend::Research,
        Blame::Calculator => Mend::Calculator,
        Blame::Writer => Mend::Writer,
    });
    Verdict { score: review.score, critique: review.critique(), blame }
}

/// What the reviewer said last and whom it blamed, as a block of a prompt; nothing before the first review.
fn critique(state: &ResearchState) -> String {
    let Some(review @ Review { blamed: Some(blamed), .. }) = &state.review else { return String::new() };
    prompts::block("critique", &format!("To be mended by the {}: {}", blamed.name(), review.critique()))
}

impl Pipeline for ResearchState {
    fn ask(question: &str) -> ResearchStateUpdate {
        ResearchState::update().question(question.trim())
    }

    fn report(&self) -> Report {
        Report {
            answer: self.draft.text.clone(),
            citations: self.draft.citations.clone(),
            calculation: self.computed.as_ref().map(|computed| computed.text.clone()),
            quality: self.review.as_ref().map(|review| review.score),
            attempts: self.attempts,
            usage: self.usage,
            notes: self.notes.iter().cloned().chain(self.review.iter().flat_map(Review::words)).collect(),
        }
    }
}
