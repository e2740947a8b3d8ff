//! One streamed model call inside a node: shows the text as it comes, sums the tokens, and repeats a call whose
//! stream breaks. Not the prompts, and not the retries before the first piece of text: those are the adapter's.

use std::mem;

use futures_util::StreamExt;
use statewright_engine_runtime::{Ctx, NodeError};
use statewright_nodes_ports::{
    ChatDelta, ChatFold, ChatRequest, ErrorClass, FinishReason, ModelError, Usage, attributes, item, purpose,
};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::pipeline::Services;
use crate::prompts::Cite;

/// Kind of the item that voids the tokens that the node has sent so far. Payload: the number of the attempt that
/// follows, from 2.
pub const ATTEMPT_RESET: &str = item::ATTEMPT_RESET;

/// Most times that one call is started when its stream breaks.
pub const ATTEMPTS_MAX: u32 = 3;

/// What a call came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// The whole text, with its citations renumbered.
    pub text: String,
    /// The cited sources, by their number in the prompt, in the order of the text's `[1]`, `[2]`, ….
    pub cited: Vec<usize>,
    /// Citations of sources that were not in the prompt, as written.
    pub dangling: Vec<String>,
    /// The tokens of all attempts.
    pub usage: Usage,
    /// Whether the output limit cut the text off.
    pub is_cut_off: bool,
}

/// Calls the model and gives its text.
///
/// The text of calls whose purpose is [`purpose::WRITE`] is streamed as [`item::TOKEN`] items; what other calls say
/// is for the node only. A stream that breaks for a transient reason after text was seen is started anew, up to
/// [`ATTEMPTS_MAX`] times in all, and [`ATTEMPT_RESET`] is sent before the tokens of the next attempt.
///
/// # Errors
/// The model's [`ModelError`], as a node error.
pub async fn call_model<S, I>(
    ctx: &Ctx<S, I>,
    services: &Services,
    mut request: ChatRequest,
) -> Result<Called, NodeError> {
    let name = request.purpose.as_deref().unwrap_or("call");
    request.idempotency_key = Some(format!("{}/{name}", ctx.idempotency_key()));
    if let Some(version) = &request.prompt_version {
        ctx.emit(item::PROMPT, version);
    }
    let mut attempt = 1;
    loop {
        let mut streamed = Streamed::new(ctx, services, &request);
        let span = span_of(services, &request);
        match streamed.run(request.clone()).instrument(span.clone()).await {
            Ok(called) => {
                span.record(attributes::USAGE_INPUT_TOKENS, called.usage.input_tokens);
                span.record(attributes::USAGE_OUTPUT_TOKENS, called.usage.output_tokens);
                ctx.emit(item::USAGE, &called.usage);
                return Ok(called);
            }
            Err(error) => {
                span.record(attributes::ERROR_TYPE, error.code());
                let may_help = error.class() == ErrorClass::Transient && streamed.has_begun;
                if !may_help || attempt == ATTEMPTS_MAX {
                    return Err(error.into());
                }
                attempt += 1;
                if streamed.is_shown {
                    ctx.emit(ATTEMPT_RESET, &attempt);
                }
            }
        }
    }
}

/// The span of one attempt: who is asked, with which prompt, and what it came to in numbers. Never what was said.
fn span_of(services: &Services, request: &ChatRequest) -> Span {
    tracing::info_span!(
        "chat",
        { attributes::OPERATION_NAME } = "chat",
        { attributes::REQUEST_MODEL } = services.model.id().as_str(),
        { attributes::PROMPT_VERSION } = request.prompt_version.as_deref(),
        { attributes::USAGE_INPUT_TOKENS } = Empty,
        { attributes::USAGE_OUTPUT_TOKENS } = Empty,
        { attributes::ERROR_TYPE } = Empty,
        purpose = request.purpose.as_deref(),
    )
}

/// One attempt.
struct Streamed<'a, S, I> {
    ctx: &'a Ctx<S, I>,
    services: &'a Services,
    fold: ChatFold,
    cite: Cite,
    text: String,
    is_shown: bool,
    has_begun: bool,
}

impl<'a, S, I> Streamed<'a, S, I> {
    fn new(ctx: &'a Ctx<S, I>, services: &'a Services, request: &ChatRequest) -> Self {
        Self {
            ctx,
            services,
            fold: ChatFold::new(services.model.id().clone()),
            cite: Cite::of(&request.last_user_text()),
            text: String::new(),
            is_shown: request.purpose.as_deref() == Some(purpose::WRITE),
            has_begun: false,
        }
    }

    async fn run(&mut self, request: ChatRequest) -> Result<Called, ModelError> {
        let asked: String = request.messages.iter().map(|message| message.text()).collect();
        let mut stream = self.services.model.stream(request).await?;
        while let Some(delta) = stream.next().await {
            let delta = delta?;
            self.has_begun = true;
            if let ChatDelta::Text(text) = &delta {
                let shown = self.cite.push(text);
                self.show(&shown);
            }
            self.fold.push(delta)?;
        }
        let rest = self.cite.finish();
        self.show(&rest);
        let fold = mem::replace(&mut self.fold, ChatFold::new(self.services.model.id().clone()));
        let response = fold.finish()?;
        let usage = response.usage.unwrap_or_else(|| self.counted(&asked, &response.text));
        Ok(Called {
            text: mem::take(&mut self.text),
            cited: mem::take(&mut self.cite.cited),
            dangling: mem::take(&mut self.cite.dangling),
            usage,
            is_cut_off: response.finish == FinishReason::Length,
        })
    }

    fn show(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        if self.is_shown {
            self.ctx.emit(item::TOKEN, &text);
        }
    }

    /// The provider did not say how many tokens it took: unknown is not zero.
    fn counted(&self, asked: &str, answered: &str) -> Usage {
        let count = |text: &str| self.services.tokens.count(text) as u64;
        Usage { input_tokens: count(asked), output_tokens: count(answered), ..Usage::default() }
    }
}
