//! What the tests share: the host, models, tools.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::Value;
use statewright_nodes_models::{Reply, Scripted};
use statewright_nodes_ports::{
    BoxFuture, ChatDelta, ChatModel, ChatRequest, ChatStream, FinishReason, HostError, HostStep, Message,
    ModelError, ModelId, NodeHost, SideEffect, TokenCounter, Tool, ToolCall, Usage, Work,
};
use statewright_nodes_tools::agent::{AgentError, AgentInput, AgentLoop, AgentOutput};
use statewright_nodes_tools::{NoArguments, ToolCx, Toolbox, function, schemars};

/// Where the host dies: at the n-th piece of work that it is given, before it is done or before it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    Before(usize),
    After(usize),
}

/// Keeps steps, answers questions that have an answer, and never resolves where it dies or rests.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) kept: Mutex<BTreeMap<String, (Value, Option<Value>)>>,
    pub(crate) answers: Mutex<BTreeMap<String, Value>>,
    pub(crate) asked: Mutex<BTreeMap<String, Value>>,
    pub(crate) items: Mutex<Vec<(&'static str, Value)>>,
    pub(crate) reserved: Mutex<BTreeMap<String, Vec<(String, u64)>>>,
    pub(crate) spent: Mutex<BTreeMap<String, Vec<(&'static str, u64)>>>,
    pub(crate) death: Mutex<Option<Death>>,
    used: Mutex<BTreeSet<String>>,
    worked: AtomicUsize,
}

impl Host {
    /// The names of the steps that are kept.
    pub(crate) fn steps(&self) -> Vec<String> {
        self.kept.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn answer(&self, name: &str, answer: Value) {
        self.answers.lock().unwrap().insert(name.to_owned(), answer);
    }

    /// Runs a loop in this host, from the top. `None` if it died or rests.
    pub(crate) fn run(&self, agent: &AgentLoop, question: &str) -> Option<Result<AgentOutput, AgentError>> {
        self.used.lock().unwrap().clear();
        agent.run(self, AgentInput::new(question)).now_or_never()
    }

    /// Runs a loop that comes to an end.
    pub(crate) fn end(&self, agent: &AgentLoop, question: &str) -> AgentOutput {
        let Some(ended) = self.run(agent, question) else { panic!("the loop rests") };
        ended.unwrap()
    }

    fn dies(&self, at: impl Fn(usize) -> Death) -> bool {
        let mut death = self.death.lock().unwrap();
        let now = *death == Some(at(self.worked.load(Ordering::SeqCst)));
        if now {
            *death = None;
        }
        now
    }
}

impl NodeHost for Host {
    fn step<'a>(&'a self, step: HostStep<'a>, work: Work<'a>) -> BoxFuture<'a, Result<Value, HostError>> {
        Box::pin(async move {
            assert!(self.used.lock().unwrap().insert(step.name.to_owned()), "`{}` is used twice", step.name);
            let kept = self.kept.lock().unwrap().get(step.name).cloned();
            if let Some((input, result)) = kept {
                assert_eq!(&input, step.input, "`{}` is kept for another input", step.name);
                let unknown =
                    || HostError { is_unknown: true, ..HostError::permanent("SW-X252", "nobody knows") };
                return result.ok_or_else(unknown);
            }
            self.worked.fetch_add(1, Ordering::SeqCst);
            if self.dies(Death::Before) {
                std::future::pending::<()>().await;
            }
            let name = step.name.to_owned();
            if step.at_most_once {
                self.kept.lock().unwrap().insert(name.clone(), (step.input.clone(), None));
            }
            let reserved = step.reserve.iter().map(|(unit, most)| ((*unit).to_owned(), *most)).collect();
            self.reserved.lock().unwrap().insert(name.clone(), reserved);
            let result = work.await?;
            if self.dies(Death::After) {
                std::future::pending::<()>().await;
            }
            self.spent.lock().unwrap().insert(name.clone(), (step.spent)(&result));
            self.kept.lock().unwrap().insert(name, (step.input.clone(), Some(result.clone())));
            Ok(result)
        })
    }

    fn ask<'a>(&'a self, name: &'a str, question: Value) -> BoxFuture<'a, Result<Value, HostError>> {
        Box::pin(async move {
            let answer = self.answers.lock().unwrap().get(name).cloned();
            self.asked.lock().unwrap().insert(name.to_owned(), question);
            match answer {
                Some(answer) => Ok(answer),
                None => std::future::pending().await,
            }
        })
    }

    fn emit(&self, kind: &'static str, payload: Value) {
        self.items.lock().unwrap().push((kind, payload));
    }

    fn key(&self, name: &str) -> String {
        format!("key/{name}")
    }
}

/// Counts words.
pub(crate) struct Words;

impl TokenCounter for Words {
    fn count(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn name(&self) -> &'static str {
        "words"
    }
}

/// A model that says what a function of the conversation says, and notes the keys that it was called with.
pub(crate) struct Acting {
    id: ModelId,
    pub(crate) keys: Mutex<Vec<String>>,
    pub(crate) requests: Mutex<Vec<ChatRequest>>,
    says: Box<dyn Fn(&ChatRequest) -> Say + Send + Sync>,
}

pub(crate) enum Say {
    Text(&'static str),
    Calls(Vec<ToolCall>),
}

impl Acting {
    pub(crate) fn new(says: impl Fn(&ChatRequest) -> Say + Send + Sync + 'static) -> Arc<Self> {
        let id = ModelId::new("acting").unwrap();
        Arc::new(Self { id, keys: Mutex::default(), requests: Mutex::default(), says: Box::new(says) })
    }
}

impl ChatModel for Acting {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        self.keys.lock().unwrap().push(request.idempotency_key.clone().unwrap_or_default());
        let mut deltas = match (self.says)(&request) {
            Say::Text(text) => vec![ChatDelta::Text(text.to_owned()), ChatDelta::Finish(FinishReason::Stop)],
            Say::Calls(calls) => (0..)
                .zip(calls)
                .map(|(index, call)| {
                    let ToolCall { id, name, arguments } = call;
                    ChatDelta::ToolCall { index, id: Some(id), name: Some(name), arguments }
                })
                .chain([ChatDelta::Finish(FinishReason::ToolCalls)])
                .collect(),
        };
        deltas.push(ChatDelta::Usage(Usage { input_tokens: 100, output_tokens: 10, ..Usage::default() }));
        self.requests.lock().unwrap().push(request);
        Box::pin(async move { Ok(stream::iter(deltas).map(Ok).boxed()) })
    }
}

/// How many results of tools the model has before it.
pub(crate) fn results(request: &ChatRequest) -> usize {
    request.messages.iter().flat_map(Message::tool_results).count()
}

pub(crate) fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

/// What tools did, call by call.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct Number {
    /// The number.
    pub(crate) n: u32,
}

/// A tool that notes that it was called, and gives the double.
pub(crate) fn double(name: &str, side_effect: SideEffect, log: &Log) -> Arc<dyn Tool> {
    let (log, own) = (log.clone(), name.to_owned());
    let call = move |args: Number, cx: ToolCx| {
        log.lock().unwrap().push(format!("{own}({}) {}", args.n, cx.key));
        async move { (2 * args.n).to_string() }
    };
    function(name, "Doubles a number.", side_effect, call).shared()
}

/// A tool without arguments that gives this.
pub(crate) fn gives(
    name: &str,
    result: impl Fn() -> Result<String, String> + Send + Sync + 'static,
) -> Arc<dyn Tool> {
    let call = move |_: NoArguments, _: ToolCx| {
        let result = result();
        async move { result }
    };
    function(name, "Gives something.", SideEffect::Read, call).shared()
}

pub(crate) fn agent(model: Arc<dyn ChatModel>, tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> AgentLoop {
    AgentLoop::new(model, Arc::new(Words)).toolbox(Toolbox::new(tools).unwrap())
}

pub(crate) fn scripted(replies: impl IntoIterator<Item = Reply>) -> Arc<Scripted> {
    Arc::new(Scripted::new(replies))
}

/// What the model was told by its tools: whether it was a failure, and the words.
pub(crate) fn told(output: &AgentOutput) -> Vec<(bool, String)> {
    let results = output.messages.iter().flat_map(Message::tool_results);
    results.map(|result| (result.is_error, result.content.clone())).collect()
}
