//! The `classic` pipeline: the baseline of every comparison, with its rules and rubric as they always were.
//!
//! `orchestrator → (research | calculator | both | research) → writer → reviewer → END`, with at most one retry from
//! the beginning of the research. It believes what it is told: for checked evidence see [`crate::research()`].

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::{Ctx, Graph, Node, NodeError, Problems, Route, State, StateGraph, To};
use statewright_nodes_context::{Citation, pack};
use statewright_nodes_ports::{Usage, purpose};
use statewright_nodes_tools::calculator::evaluate;

use crate::model_call::call_model;
use crate::pipeline::{Pipeline, Report, Services, classify_model_errors};
use crate::prompts::{self, Source};
use crate::question;

/// What the nodes share. Every field starts anew with each question.
#[derive(State, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassicState {
    /// What is asked.
    #[state(reset = run)]
    pub question: String,
    /// Whether something is computed after the research.
    #[state(reset = run)]
    pub plan: Plan,
    /// What the search found.
    #[state(reset = run)]
    pub sources: Vec<Source>,
    /// The expression and its value, as `150 × 223.48 = 33522.0`.
    #[state(reset = run)]
    pub calculation: Option<String>,
    /// The last draft.
    #[state(reset = run)]
    pub draft: String,
    /// What the last draft cites.
    #[state(reset = run)]
    pub citations: Vec<Citation>,
    /// The score of the last draft, in tenths.
    #[state(reset = run)]
    pub score_tenths: Option<u32>,
    /// How many drafts were reviewed.
    #[reduce(sum)]
    #[state(reset = run)]
    pub attempts: u32,
    /// Tokens of all model calls.
    #[reduce(sum)]
    #[state(reset = run)]
    pub usage: Usage,
}

/// What the orchestrator found in the question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Search.
    #[default]
    Research,
    /// Compute.
    Calculate,
    /// Search, then compute.
    Both,
}

/// Ways out of the orchestrator.
#[derive(Route)]
pub enum Planned {
    /// Search first.
    Research,
    /// Compute at once.
    Calculate,
}

/// Ways out of the research.
#[derive(Route)]
pub enum Searched {
    /// Compute with what was found.
    Calculate,
    /// Write.
    Write,
}

/// Ways out of the gate behind the reviewer.
#[derive(Route)]
pub enum Gate {
    /// The draft is the answer.
    Accept,
    /// Search again.
    Retry,
}

/// The score, in tenths, below which a draft is tried again.
const GATE_TENTHS: u32 = 7;
/// The most drafts.
const ATTEMPTS_MAX: u32 = 2;
/// How many passages a search gives.
const PASSAGES: usize = 5;
/// How many characters of the search the calculator sees.
const SEARCH_CHARACTERS: usize = 1_500;

/// Builds the graph.
///
/// # Errors
/// None as it stands; whoever changes the wiring learns here what is wrong with it.
pub fn classic(services: &Services) -> Result<Graph<ClassicState>, Problems> {
    let mut g = StateGraph::<ClassicState>::new("classic");
    let orchestrator = g.func("orchestrator", orchestrate);
    let research = g.node("research", Research(services.clone()));
    let calculator = g.node("calculator", Calculator(services.clone()));
    let writer = g.node("writer", Writer(services.clone()));
    let reviewer = g.func("reviewer", review);

    g.start(orchestrator);
    g.route(orchestrator, PlannedEdges { research: research.to(), calculate: calculator.to() });
    g.route(research, SearchedEdges { calculate: calculator.to(), write: writer.to() });
    g.edge(calculator, writer);
    g.edge(writer, reviewer);
    g.branch(reviewer, gate, GateEdges { accept: To::END, retry: research.to().at_most(1) });
    g.classify(classify_model_errors);
    g.build()
}

async fn orchestrate(ctx: Ctx<ClassicState>) -> Result<(ClassicStateUpdate, Planned), NodeError> {
    let plan = plan(&ctx.state.question);
    let route = if plan == Plan::Calculate { Planned::Calculate } else { Planned::Research };
    Ok((ClassicState::update().plan(plan), route))
}

struct Research(Services);

impl Node<ClassicState> for Research {
    type In = ();
    type Out = (ClassicStateUpdate, Searched);

    async fn run(&self, ctx: Ctx<ClassicState>) -> Result<Self::Out, NodeError> {
        let Services { docs, tokens, .. } = &self.0;
        let passages = match docs {
            Some(docs) => docs.index().await?.search(&ctx.state.question, PASSAGES),
            None => Vec::new(),
        };
        let packed = pack::pack(&passages, tokens.as_ref(), pack::RETRIEVED_TOKENS);
        let sources: Vec<Source> = packed.passages.into_iter().map(Source::from).collect();
        let route = if ctx.state.plan == Plan::Both { Searched::Calculate } else { Searched::Write };
        Ok((ClassicState::update().sources(sources), route))
    }
}

struct Calculator(Services);

impl Node<ClassicState> for Calculator {
    type In = ();
    type Out = ClassicStateUpdate;

    async fn run(&self, ctx: Ctx<ClassicState>) -> Result<ClassicStateUpdate, NodeError> {
        let found: String = ctx.state.sources.iter().map(|source| format!("{}\n", source.text)).collect();
        let found: String = found.chars().take(SEARCH_CHARACTERS).collect();
        let prompt = prompts::block("question", &ctx.state.question) + &prompts::harmless(&found);
        let request = self.0.prompts.request(purpose::EXTRACT_EXPRESSION, "classic-extract", prompt)?;
        let called = call_model(&ctx, &self.0, request).await?;
        let update = ClassicState::update().usage(called.usage);
        match called.text.trim() {
            "NONE" => Ok(update.clear_calculation()),
            expression => match evaluate(expression) {
                Ok(done) => Ok(update.calculation(format!("{} = {}", done.expression, done.classic()))),
                Err(error) if question::is_to_blame(&ctx.state.question, expression, &error) => {
                    Err(error.into())
                }
                Err(_) => Ok(update.clear_calculation()),
            },
        }
    }
}

struct Writer(Services);

impl Node<ClassicState> for Writer {
    type In = ();
    type Out = ClassicStateUpdate;

    async fn run(&self, ctx: Ctx<ClassicState>) -> Result<ClassicStateUpdate, NodeError> {
        let ClassicState { question, calculation, sources, .. } = &*ctx.state;
        let mut prompt = prompts::sources(sources);
        if let Some(calculation) = calculation {
            prompt += &prompts::block("calculation", calculation);
        }
        prompt += &prompts::block("question", question);
        let request = self.0.prompts.request(purpose::WRITE, "classic-write", prompt)?;
        let called = call_model(&ctx, &self.0, request).await?;
        let cited = called.cited.iter().filter_map(|number| sources.get(number - 1));
        let citations: Vec<Citation> = cited.map(|source| source.citation.clone()).collect();
        Ok(ClassicState::update().draft(called.text).citations(citations).usage(called.usage))
    }
}

async fn review(ctx: Ctx<ClassicState>) -> Result<ClassicStateUpdate, NodeError> {
    Ok(ClassicState::update().score_tenths(score_tenths(&ctx.state.question, &ctx.state.draft)).attempts(1))
}

fn gate(state: &ClassicState) -> Gate {
    let passes = state.score_tenths.is_some_and(|score| score >= GATE_TENTHS);
    if passes || state.attempts >= ATTEMPTS_MAX { Gate::Accept } else { Gate::Retry }
}

/// The rubric: 4 for any text, 3 for a digit, 3 for a word of the question.
#[must_use]
pub fn score_tenths(question: &str, draft: &str) -> u32 {
    let text = draft.to_lowercase();
    let mut words = question.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= 4);
    let mut score = 0;
    score += if draft.trim().is_empty() { 0 } else { 4 };
    score += if draft.contains(|c: char| c.is_ascii_digit()) { 3 } else { 0 };
    score += if words.any(|word| text.contains(&word.to_lowercase())) { 3 } else { 0 };
    score
}

/// The plan for a question, by the rules.
#[must_use]
pub fn plan(question: &str) -> Plan {
    match (has_arithmetic(question), has_research(question)) {
        (true, true) => Plan::Both,
        (true, false) => Plan::Calculate,
        (false, _) => Plan::Research,
    }
}

fn has_arithmetic(question: &str) -> bool {
    const WORDS: &[&str] = &[
        "times",
        "multiplied",
        "divided",
        "plus",
        "minus",
        "percent",
        "worth",
        "how much",
        "calculate",
        "sum of",
        "product of",
        "square root",
        "total",
    ];
    has_phrase(question, WORDS) || has_operation(question)
}

/// Digits, an operator and digits, with or without spaces between them: also in `1.2-3` and `2024-05-01`.
fn has_operation(question: &str) -> bool {
    let characters: Vec<char> = question.chars().filter(|c| !c.is_whitespace()).collect();
    characters
        .windows(3)
        .any(|three| three[0].is_ascii_digit() && "-+*/x×".contains(three[1]) && three[2].is_ascii_digit())
}

fn has_research(question: &str) -> bool {
    const WORDS: &[&str] = &[
        "stock",
        "price",
        "share",
        "shares",
        "latest",
        "current",
        "today",
        "news",
        "recent",
        "weather",
        "who is",
        "ceo",
        "founded",
        "release",
        "version",
        "capital of",
        "population",
        "look up",
        "search",
    ];
    let is_name = |word: &str| {
        let mut letters = word.trim_start_matches(|c: char| !c.is_alphanumeric()).chars();
        letters.next().is_some_and(char::is_uppercase)
            && letters.take(2).filter(|c| c.is_alphabetic()).count() == 2
    };
    has_phrase(question, WORDS) || question.split_whitespace().skip(1).any(is_name)
}

/// Whether one of the phrases occurs as whole words.
fn has_phrase(question: &str, phrases: &[&str]) -> bool {
    let lower = question.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let text = format!(" {} ", words.join(" "));
    phrases.iter().any(|phrase| text.contains(&format!(" {phrase} ")))
}

impl Pipeline for ClassicState {
    fn ask(question: &str) -> ClassicStateUpdate {
        ClassicState::update().question(question.trim())
    }

    fn report(&self) -> Report {
        Report {
            answer: self.draft.clone(),
            citations: self.citations.clone(),
            calculation: self.calculation.clone(),
            quality: self.score_tenths.map(|tenths| f64::from(tenths) / 10.0),
            attempts: self.attempts,
            usage: self.usage,
            notes: Vec::new(),
        }
    }
}
