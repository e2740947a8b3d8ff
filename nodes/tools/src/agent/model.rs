//! One model call as a durable step: reserved before, streamed while it lasts, settled and kept when it is done.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use statewright_nodes_ports::{
    ChatDelta, ChatFold, ChatRequest, ChatResponse, ErrorClass, HostError, HostStep, ModelError, NodeHost,
    Usage, item,
};

use super::compact::bytes_of;
use super::turn::Answered;
use super::{AgentLoop, CALLS, NANODOLLARS, TOKENS};

/// Most times that one call is started when its stream breaks.
const ATTEMPTS_MAX: u32 = 3;

/// What is kept of a model call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The answer; nothing if it was empty or took too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<ChatResponse>,
    usage: Usage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nanodollars: Option<u64>,
    ms: u64,
}

/// Whether what the model says is for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    No,
}

impl AgentLoop {
    /// Asks the model, or gives back what it said when it was asked in an earlier execution of the node.
    pub(super) async fn ask(
        &self,
        host: &dyn NodeHost,
        name: &str,
        mut request: ChatRequest,
        (shown, time_left): (Shown, Option<Duration>),
    ) -> Result<Answered, HostError> {
        request.idempotency_key = Some(host.key(name));
        let reserve = self.ceiling(&request);
        // What is asked follows from the question and from what is kept already.
        let input = json!({ "question": request.last_user_text() });
        let step = HostStep { reserve: &reserve, spent, ..HostStep::new(name, &input) };
        let work = Box::pin(async move {
            let began = Instant::now();
            let answered = match time_left {
                Some(left) => tokio::time::timeout(left, self.call(host, request, shown)).await,
                None => Ok(self.call(host, request, shown).await),
            };
            let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let kept = match answered {
                Ok(answered) => Kept { ms, ..answered? },
                // The limit is then reached, whatever the clock of the call says.
                Err(_) => Kept {
                    answer: None,
                    usage: Usage::default(),
                    nanodollars: None,
                    ms: millis(time_left).max(ms),
                },
            };
            to_value(&kept)
        });
        let kept: Kept = read(name, host.step(step, work).await?)?;
        let Kept { answer, usage, nanodollars, ms } = kept;
        Ok(Answered { answer, usage, nanodollars, ms })
    }

    /// The most that the call can come to. Hardly any text has more tokens than half its bytes.
    fn ceiling(&self, request: &ChatRequest) -> Vec<(&'static str, u64)> {
        let input_tokens = (bytes_of(&request.messages, &request.tools) / 2) as u64;
        let usage = Usage { input_tokens, output_tokens: u64::from(self.output_tokens), ..Usage::default() };
        let price = self.prices.as_ref().and_then(|price| price(self.model.id(), &usage));
        let mut ceiling = vec![(CALLS, 1), (TOKENS, usage.total_tokens())];
        ceiling.extend(price.map(|price| (NANODOLLARS, price)));
        ceiling
    }

    async fn call(&self, host: &dyn NodeHost, request: ChatRequest, shown: Shown) -> Result<Kept, HostError> {
        let mut attempt = 1;
        loop {
            let mut streamed = Streamed { host, shown, has_begun: false, has_shown: false, usage: None };
            let answer = match streamed.run(self, request.clone()).await {
                Ok(answer) => Some(answer),
                Err(ModelError::EmptyAnswer { .. }) => None,
                Err(error) => {
                    let may_help = error.class() == ErrorClass::Transient && streamed.has_begun;
                    if !may_help || attempt == ATTEMPTS_MAX {
                        return Err(error.into());
                    }
                    attempt += 1;
                    if streamed.has_shown {
                        host.emit(item::ATTEMPT_RESET, json!(attempt));
                    }
                    continue;
                }
            };
            let usage = streamed.usage.unwrap_or_else(|| self.counted(&request, answer.as_ref()));
            host.emit(item::USAGE, json!(usage));
            let nanodollars = self.prices.as_ref().and_then(|price| price(self.model.id(), &usage));
            return Ok(Kept { answer, usage, nanodollars, ms: 0 });
        }
    }

    /// The provider did not say how many tokens it took: unknown is not zero.
    fn counted(&self, request: &ChatRequest, answer: Option<&ChatResponse>) -> Usage {
        let count = |text: &str| self.tokens.count(text) as u64;
        let asked = super::compact::transcript(&request.messages);
        let output_tokens = answer.map_or(0, |answer| {
            let calls = answer.tool_calls.iter().map(|call| count(&call.name) + count(&call.arguments));
            count(&answer.text) + calls.sum::<u64>()
        });
        Usage { input_tokens: count(&asked), output_tokens, ..Usage::default() }
    }
}

/// One attempt.
struct Streamed<'a> {
    host: &'a dyn NodeHost,
    shown: Shown,
    has_begun: bool,
    has_shown: bool,
    usage: Option<Usage>,
}

impl Streamed<'_> {
    async fn run(&mut self, agent: &AgentLoop, request: ChatRequest) -> Result<ChatResponse, ModelError> {
        let mut fold = ChatFold::new(agent.model.id().clone());
        let mut stream = agent.model.stream(request).await?;
        while let Some(delta) = stream.next().await {
            let delta = delta?;
            self.has_begun = true;
            match &delta {
                ChatDelta::Text(text) if self.shown == Shown::Yes && !text.is_empty() => {
                    self.has_shown = true;
                    self.host.emit(item::TOKEN, json!(text));
                }
                ChatDelta::Usage(usage) => self.usage = Some(*usage),
                _ => {}
            }
            fold.push(delta)?;
        }
        fold.finish()
    }
}

/// What a kept call did cost.
fn spent(kept: &Value) -> Vec<(&'static str, u64)> {
    let Ok(kept) = Kept::deserialize(kept) else { return Vec::new() };
    let money = kept.nanodollars.map(|price| (NANODOLLARS, price));
    [(CALLS, 1), (TOKENS, kept.usage.total_tokens())].into_iter().chain(money).collect()
}

pub(super) fn millis(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn to_value(kept: &impl Serialize) -> Result<Value, HostError> {
    serde_json::to_value(kept)
        .map_err(|error| HostError::permanent("SW-N400", format!("a result cannot be kept: {error}")))
}

/// What an earlier execution kept, perhaps by another build.
pub(super) fn read<T: for<'de> Deserialize<'de>>(name: &str, kept: Value) -> Result<T, HostError> {
    serde_json::from_value(kept).map_err(|error| {
        let message = format!(
            "what is kept of the step `{name}` cannot be read: {error}; finish the run with the build that began it, or begin a run of its own"
        );
        HostError::permanent("SW-N400", message)
    })
}
