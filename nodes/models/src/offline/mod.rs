//! The `offline` model: deterministic, without network, made of rules. It is no language model and says so.
//!
//! By the request's [`purpose`] it routes, extracts an expression or writes; see
//! [`Offline`]. It reads tagged blocks in the last user message:
//!
//! ```text
//! <question>…</question>                                    the question; without it, the whole message is the question
//! <calculation>150 * 223.48 = 33,522</calculation>          optional
//! <source id="1" doc="docs/x.md" start="120" end="480">…</source>   any number
//! <critique>…</critique>                                    optional; its words also count when sources are searched
//! ```

mod arithmetic;
mod prompt;
mod route;
mod text;
mod tools;
mod writer;

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use statewright_nodes_ports::{
    BoxFuture, ChatDelta, ChatModel, ChatRequest, ChatStream, FinishReason, Message, ModelError, ModelId,
    Part, Role, TokenCounter, ToolCall, Usage, purpose,
};

pub use writer::NO_ANSWER;

/// What the model says when it is asked to review: it can't, and does not pretend to.
pub const NO_REVIEW: &str = "The offline model does not review drafts.";

/// The deterministic model. The same request gives the same deltas, byte for byte.
///
/// | purpose | answer |
/// |---|---|
/// | `route` | one of `research`, `calculate`, `both`, `neither` |
/// | `extract_expression` | one arithmetic expression, or `NONE`; a malformed one is passed through for the calculator to report |
/// | `write` | the calculation, then up to four sentences of the sources, each with its citation `[id]`; or [`NO_ANSWER`] |
/// | `review` | [`NO_REVIEW`] |
/// | none, with tools | calls `calculator` and `docs_search` where the question needs them, then writes from their results |
/// | none, without tools | guessed from the system prompt (see below), otherwise `write` |
///
/// A system prompt that contains `NONE` and `expression` stands for `extract_expression`; one that contains
/// `research`, `calculate`, `both` and `neither` stands for `route`. That is how the model answers behind an HTTP
/// endpoint, where purposes don't arrive.
///
/// Usage is counted after the last delta of the text, so the tokenizer loads only when the first answer is out.
#[derive(Clone)]
pub struct Offline {
    id: ModelId,
    counter: Arc<dyn TokenCounter>,
}

impl Offline {
    /// An offline model that counts tokens with `counter`.
    #[must_use]
    pub fn new(counter: Arc<dyn TokenCounter>) -> Self {
        #[expect(clippy::expect_used, reason = "a constant made of allowed characters")]
        let id = ModelId::new("offline").expect("a valid model id");
        Self { id, counter }
    }
}

impl std::fmt::Debug for Offline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offline").field("counter", &self.counter.name()).finish()
    }
}

impl ChatModel for Offline {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        let counter = Arc::clone(&self.counter);
        Box::pin(async move {
            let answer = answer(&request);
            let deltas = stream::iter(answer.deltas());
            // Lazy: polled only after everything else was taken.
            let usage =
                stream::once(async move { ChatDelta::Usage(answer.usage(&request, counter.as_ref())) });
            Ok(deltas.chain(usage).map(Ok).boxed())
        })
    }
}

/// What the rules come to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Text(String),
    Calls(Vec<ToolCall>),
}

fn answer(request: &ChatRequest) -> Answer {
    let text = request.last_user_text();
    let prompt = prompt::Prompt::parse(&text);
    match request.purpose.as_deref().or_else(|| guessed_purpose(request)) {
        Some(purpose::ROUTE) => Answer::Text(route::route(prompt.question).to_owned()),
        Some(purpose::EXTRACT_EXPRESSION) => {
            let found = arithmetic::find(prompt.question);
            Answer::Text(found.map_or_else(|| "NONE".to_owned(), |found| found.expression))
        }
        Some(purpose::REVIEW) => Answer::Text(NO_REVIEW.to_owned()),
        Some(_) => Answer::Text(writer::write(&prompt)),
        None if request.tools.is_empty() => Answer::Text(writer::write(&prompt)),
        None => tools::answer(request, prompt.question),
    }
}

fn guessed_purpose(request: &ChatRequest) -> Option<&'static str> {
    if !request.tools.is_empty() {
        return None;
    }
    let system: String =
        request.messages.iter().filter(|m| m.role == Role::System).map(Message::text).collect();
    let has = |word: &str| system.contains(word);
    if has("NONE") && has("expression") {
        return Some(purpose::EXTRACT_EXPRESSION);
    }
    let routes = ["research", "calculate", "both", "neither"];
    routes.into_iter().all(has).then_some(purpose::ROUTE)
}

impl Answer {
    fn deltas(&self) -> Vec<ChatDelta> {
        match self {
            Self::Text(text) => {
                let words =
                    text.split_inclusive(char::is_whitespace).map(|word| ChatDelta::Text(word.to_owned()));
                words.chain([ChatDelta::Finish(FinishReason::Stop)]).collect()
            }
            Self::Calls(calls) => {
                let calls = (0..).zip(calls).map(|(index, call)| ChatDelta::ToolCall {
                    index,
                    id: Some(call.id.clone()),
                    name: Some(call.name.clone()),
                    arguments: call.arguments.clone(),
                });
                calls.chain([ChatDelta::Finish(FinishReason::ToolCalls)]).collect()
            }
        }
    }

    fn usage(&self, request: &ChatRequest, counter: &dyn TokenCounter) -> Usage {
        let count = |text: &str| counter.count(text) as u64;
        let call = |call: &ToolCall| count(&call.name) + count(&call.arguments);
        let parts = request.messages.iter().flat_map(|message| &message.parts).map(|part| match part {
            Part::Text(text) => count(text),
            Part::ToolCall(asked) => call(asked),
            Part::ToolResult(result) => count(&result.content),
            _ => 0,
        });
        let tools = request
            .tools
            .iter()
            .map(|tool| count(&tool.name) + count(&tool.description) + count(&tool.parameters.to_string()));
        let output_tokens = match self {
            Self::Text(text) => count(text),
            Self::Calls(calls) => calls.iter().map(call).sum(),
        };
        Usage { input_tokens: parts.chain(tools).sum(), output_tokens, ..Usage::default() }
    }
}
