//! A model that plays a script, for tests: replies and errors in order, every call counted and kept.

use std::{
    borrow::Cow,
    collections::VecDeque,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, stream};
use serde_json::json;
use statewright_nodes_ports::{
    BoxFuture, ChatDelta, ChatModel, ChatRequest, ChatStream, FinishReason, ModelError, ModelId, ToolCall,
    Usage,
};

use crate::witness;

/// One reply of a script: a stream of deltas, or an error in place of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    purpose: Option<Cow<'static, str>>,
    result: Result<Vec<Result<ChatDelta, ModelError>>, ModelError>,
}

impl Reply {
    /// A text, streamed word by word, without usage.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let words = text.split_inclusive(' ').map(|word| ChatDelta::Text(word.to_owned()));
        Self::deltas(words.chain([ChatDelta::Finish(FinishReason::Stop)]).map(Ok))
    }

    /// Tool calls, without text.
    #[must_use]
    pub fn tool_calls(calls: impl IntoIterator<Item = ToolCall>) -> Self {
        let calls = (0..).zip(calls).map(|(index, call)| {
            let ToolCall { id, name, arguments } = call;
            ChatDelta::ToolCall { index, id: Some(id), name: Some(name), arguments }
        });
        Self::deltas(calls.chain([ChatDelta::Finish(FinishReason::ToolCalls)]).map(Ok))
    }

    /// An error before anything is streamed.
    #[must_use]
    pub fn error(error: ModelError) -> Self {
        Self { purpose: None, result: Err(error) }
    }

    /// Exactly these deltas; an error in the middle is a stream that breaks.
    #[must_use]
    pub fn deltas(deltas: impl IntoIterator<Item = Result<ChatDelta, ModelError>>) -> Self {
        Self { purpose: None, result: Ok(deltas.into_iter().collect()) }
    }

    /// Only for calls with this purpose.
    #[must_use]
    pub fn for_purpose(self, purpose: impl Into<Cow<'static, str>>) -> Self {
        Self { purpose: Some(purpose.into()), ..self }
    }

    /// With this usage at the end.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        if let Ok(deltas) = &mut self.result {
            deltas.push(Ok(ChatDelta::Usage(usage)));
        }
        self
    }

    fn fits(&self, request: &ChatRequest) -> bool {
        self.purpose.is_none() || self.purpose == request.purpose
    }
}

/// A model that answers each call with the first reply of its script that fits, and takes it from the script.
///
/// ```
/// # use statewright_nodes_models::{Reply, Scripted};
/// # use statewright_nodes_ports::{ChatModel, ChatRequest, Message};
/// # use futures_util::FutureExt;
/// let model = Scripted::new([Reply::text("Hello there")]);
/// let answer = model.complete(ChatRequest::new([Message::user("Hi")])).now_or_never();
/// assert_eq!(answer.ok_or("scripted models answer at once")??.text, "Hello there");
/// assert_eq!(model.calls(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scripted {
    id: ModelId,
    witness: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Reply>,
    requests: Vec<ChatRequest>,
}

impl Scripted {
    /// A model with this script.
    #[must_use]
    pub fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        #[expect(clippy::expect_used, reason = "a constant made of allowed characters")]
        let id = ModelId::new("scripted").expect("a valid model id");
        let state = State { script: script.into_iter().collect(), requests: Vec::new() };
        Self { id, witness: None, state: Mutex::new(state) }
    }

    /// Also appends one JSON line per call to this file, before the call is answered: call number, purpose and
    /// idempotency key.
    #[must_use]
    pub fn with_witness(self, path: impl Into<PathBuf>) -> Self {
        Self { witness: Some(path.into()), ..self }
    }

    /// Adds a reply at the end of the script.
    pub fn push(&self, reply: Reply) {
        self.state().script.push_back(reply);
    }

    /// How many calls were made, failed ones included.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state().requests.len()
    }

    /// How many calls were made for a purpose.
    #[must_use]
    pub fn calls_for(&self, purpose: &str) -> usize {
        self.state().requests.iter().filter(|request| request.purpose.as_deref() == Some(purpose)).count()
    }

    /// All requests so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.state().requests.clone()
    }

    /// How many replies are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.state().script.len()
    }

    fn answer(&self, request: ChatRequest) -> Result<ChatStream, ModelError> {
        let mut state = self.state();
        let call = state.requests.len() as u64 + 1;
        let purpose = request.purpose.as_deref().unwrap_or("none").to_owned();
        if let Some(path) = &self.witness {
            let entry = json!({"call": call, "purpose": purpose, "idempotency_key": request.idempotency_key});
            witness::append(path, &entry).map_err(|error| ModelError::Configuration {
                setting: format!("the witness file {}", path.display()),
                problem: format!("{error}; check that its folder exists and can be written"),
            })?;
        }
        let position = state.script.iter().position(|reply| reply.fits(&request));
        state.requests.push(request);
        let reply = position.and_then(|position| state.script.remove(position));
        let reply = reply.ok_or(ModelError::ScriptExhausted { call, purpose })?;
        reply.result.map(|deltas| stream::iter(deltas).boxed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves the queue and the list whole: each changes in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChatModel for Scripted {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        Box::pin(async move { self.answer(request) })
    }
}
