//! A program with an agent that may do what cannot be taken back: this file is that program, and the test that talks to it.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use statewright::graphs::host::{CtxHost, classify_host_errors};
use statewright::nodes::ports::{
    BoxFuture, ChatDelta, ChatStream, FinishReason, ModelError, ModelId, SideEffect,
};
use statewright::nodes::tools::agent::{AgentInput, AgentLoop};
use statewright::nodes::tools::schemars::{self, JsonSchema};
use statewright::nodes::tools::{ToolCx, Toolbox, function};
use statewright::prelude::*;

/// Set for the program, unset for the test.
const IS_PROGRAM: &str = "STATEWRIGHT_TEST_PROGRAM";

#[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
struct Errand {
    #[state(reset = run)]
    question: String,
    #[state(reset = run)]
    answer: String,
}

impl Pipeline for Errand {
    fn ask(question: &str) -> ErrandUpdate {
        Errand::update().question(question.to_owned())
    }

    fn report(&self) -> Report {
        Report { answer: self.answer.clone(), ..Report::default() }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Letter {
    /// Whom it goes to.
    to: String,
}

/// Sends a letter to the one it is asked about, and then says what came of it.
struct Sends(ModelId);

impl ChatModel for Sends {
    fn id(&self) -> &ModelId {
        &self.0
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        let told = request.messages.last().and_then(|message| message.tool_results().next()).cloned();
        let deltas = match told {
            Some(told) => vec![ChatDelta::Text(told.content), ChatDelta::Finish(FinishReason::Stop)],
            None => {
                let arguments = serde_json::json!({ "to": request.last_user_text() }).to_string();
                let (id, name) = (Some("c".to_owned()), Some("send".to_owned()));
                vec![
                    ChatDelta::ToolCall { index: 0, id, name, arguments },
                    ChatDelta::Finish(FinishReason::ToolCalls),
                ]
            }
        };
        let stream: ChatStream = Box::pin(futures_util::stream::iter(deltas.into_iter().map(Ok)));
        Box::pin(async move { Ok(stream) })
    }
}

fn errand(services: &Services) -> Result<Graph<Errand>, Problems> {
    let services = services.clone();
    let mut g = StateGraph::<Errand>::new("errand");
    let node = g.func("agent", move |ctx: Ctx<Errand>| {
        let services = services.clone();
        async move {
            let send = |letter: Letter, _: ToolCx| async move {
                let mut sent = std::fs::OpenOptions::new().append(true).create(true).open("sent.txt")?;
                writeln!(sent, "{}", letter.to)?;
                Ok::<_, std::io::Error>(format!("sent to {}", letter.to))
            };
            let send = function("send", "Sends a letter.", SideEffect::Irreversible, send);
            let agent =
                AgentLoop::new(services.model, services.tokens).toolbox(Toolbox::new([send.shared()])?);
            let output = agent.run(&CtxHost::new(&ctx), AgentInput::new(&ctx.state.question)).await?;
            Ok::<_, NodeError>(Errand::update().answer(output.text))
        }
    });
    g.start(node);
    g.end(node);
    g.classify(classify_host_errors);
    g.build()
}

fn main() -> ExitCode {
    if std::env::var_os(IS_PROGRAM).is_none() {
        approvals_are_asked_in_the_conversation();
        a_question_that_nobody_answered_is_asked_first_the_next_time();
        return ExitCode::SUCCESS;
    }
    let model = |_| -> Result<Arc<dyn ChatModel>, ModelError> { Ok(Arc::new(Sends(ModelId::new("sends")?))) };
    App::new().without_ready_graphs().graph("errand", errand).model("sends", model).main()
}

fn chat(home: &Path, lines: &[&str]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["chat", "--graph", "errand", "--thread", "t", "-q"]).current_dir(home);
    command.env(IS_PROGRAM, "1").env("STATEWRIGHT_HOME", home);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    child.wait_with_output().unwrap()
}

fn sent(home: &Path) -> String {
    std::fs::read_to_string(home.join("sent.txt")).unwrap_or_default()
}

fn approvals_are_asked_in_the_conversation() {
    let home = tempfile::tempdir().unwrap();
    let lines = ["Ann", "y", "Bob", "n not him", "Cy", "e {\"whom\": \"Di\"}", "e {\"to\": \"Di\"}"];
    let output = chat(home.path(), &lines);
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said.contains("approve send {\"to\":\"Ann\"}? it cannot be taken back"), "{said}");
    assert!(said.contains("A person did not approve this call: not him"), "{said}");
    assert!(said.contains("the last answer did not fit: ") && said.contains("`whom`"), "{said}");
    assert!(said.ends_with("sent to Di\n"), "{said}");
    assert_eq!(sent(home.path()), "Ann\nDi\n");
}

fn a_question_that_nobody_answered_is_asked_first_the_next_time() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(chat(home.path(), &["Ann"]).status.code(), Some(3), "the question is left open");
    assert_eq!(sent(home.path()), "");
    let output = chat(home.path(), &["yes"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout.clone()).unwrap().ends_with("sent to Ann\n"), "{output:?}");
    assert_eq!(sent(home.path()), "Ann\n");
}
