//! The offline model through its port: deterministic, streamed, with real counts that load the tokenizer last.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use statewright_nodes_models::{
    Offline, OpenAi, OpenAiConfig, offline,
    wire::{WireOptions, WireServer, WordCounter},
};
use statewright_nodes_ports::{
    ChatDelta, ChatModel, ChatRequest, FinishReason, Message, ModelId, TokenCounter, ToolCall, ToolResult,
    ToolSpec, Usage, purpose,
};

const SOURCE: &str = "<source id=\"1\" doc=\"docs/a.md\" start=\"0\" end=\"90\">After a crash the engine resumes from \
    the journal. Bananas are yellow.</source>";

fn model() -> Offline {
    Offline::new(Arc::new(WordCounter))
}

fn ask(request: &ChatRequest) -> statewright_nodes_ports::ChatResponse {
    model().complete(request.clone()).now_or_never().unwrap().unwrap()
}

fn request(purpose: &'static str, user: &str) -> ChatRequest {
    ChatRequest { purpose: Some(purpose.into()), ..ChatRequest::new([Message::user(user)]) }
}

#[test]
fn every_purpose_has_its_rule() {
    let cases = [
        (purpose::ROUTE, "<question>What is 150 × 223.48?</question>", "calculate"),
        (purpose::EXTRACT_EXPRESSION, "<question>What is 150 × 223.48?</question>", "150 * 223.48"),
        (purpose::EXTRACT_EXPRESSION, "<question>What is 150 × × 2?</question>", "150 × × 2"),
        (purpose::EXTRACT_EXPRESSION, "<question>Why?</question>", "NONE"),
        (purpose::REVIEW, "draft", offline::NO_REVIEW),
        (purpose::WRITE, "<question>Why?</question>", offline::NO_ANSWER),
        ("some other purpose", "<question>Why?</question>", offline::NO_ANSWER),
    ];
    for (purpose, user, expected) in cases {
        assert_eq!(ask(&request(purpose, user)).text, expected, "{purpose}: {user}");
    }
}

#[test]
fn the_tokenizer_is_not_used_before_the_text_is_out() {
    struct Counting(AtomicUsize);
    impl TokenCounter for Counting {
        fn count(&self, text: &str) -> usize {
            self.0.fetch_add(1, Ordering::Relaxed);
            text.split_whitespace().count()
        }
        fn name(&self) -> &'static str {
            "counting"
        }
    }
    let counter = Arc::new(Counting(AtomicUsize::new(0)));
    let model = Offline::new(Arc::clone(&counter) as Arc<dyn TokenCounter>);
    let question = format!("<question>How does the engine resume after a crash?</question>{SOURCE}");
    let mut stream = model.stream(request(purpose::WRITE, &question)).now_or_never().unwrap().unwrap();
    let mut words = Vec::new();
    loop {
        assert_eq!(counter.0.load(Ordering::Relaxed), 0, "after {words:?}");
        match stream.next().now_or_never().unwrap().unwrap().unwrap() {
            ChatDelta::Text(word) => words.push(word),
            ChatDelta::Finish(reason) => break assert_eq!(reason, FinishReason::Stop),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(words.concat(), "After a crash the engine resumes from the journal. [1]");
    assert_eq!(words.len(), 10);
    let usage = stream.next().now_or_never().unwrap().unwrap().unwrap();
    let input_tokens = question.split_whitespace().count() as u64;
    assert_eq!(usage, ChatDelta::Usage(Usage { input_tokens, output_tokens: 10, ..Usage::default() }));
    assert_eq!(stream.next().now_or_never(), Some(None));
}

#[test]
fn the_same_request_gives_the_same_deltas() {
    let question = format!("<question>What of the engine, the journal and 2 + 2?</question>{SOURCE}{SOURCE}");
    for purpose in [purpose::WRITE, purpose::ROUTE, purpose::EXTRACT_EXPRESSION, purpose::REVIEW] {
        let deltas = || -> Vec<_> {
            let stream = model().stream(request(purpose, &question)).now_or_never().unwrap().unwrap();
            stream.collect::<Vec<_>>().now_or_never().unwrap()
        };
        assert_eq!(deltas(), deltas(), "{purpose}");
    }
}

fn tool(name: &str, argument: &str) -> ToolSpec {
    let parameters =
        json!({"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]});
    ToolSpec { name: name.to_owned(), description: "a tool".to_owned(), parameters }
}

fn with_tools(messages: impl IntoIterator<Item = Message>) -> ChatRequest {
    let tools = vec![tool("docs_search", "query"), tool("calculator", "expr")];
    ChatRequest { tools, ..ChatRequest::new(messages) }
}

#[test]
fn tools_are_chosen_by_what_the_question_needs() {
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("What is 25 × 4?", &[("calculator", r#"{"expr":"25 * 4"}"#)]),
        ("Who wrote the journal?", &[("docs_search", r#"{"query":"Who wrote the journal?"}"#)]),
        (
            "2 + 2 and the journal",
            &[("calculator", r#"{"expr":"2 + 2"}"#), ("docs_search", r#"{"query":"and the journal"}"#)],
        ),
        ("Hello!", &[]),
    ];
    for (question, expected) in cases {
        let response = ask(&with_tools([Message::user(question)]));
        let calls: Vec<_> =
            response.tool_calls.iter().map(|c| (c.name.as_str(), c.arguments.as_str())).collect();
        assert_eq!(calls, expected, "{question}");
        let finish = if expected.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        assert_eq!(response.finish, finish, "{question}");
    }
}

#[test]
fn an_answer_is_written_from_tool_results() {
    let question = Message::user("2 + 2 and how the engine resumes after a crash");
    let calls = ask(&with_tools([question.clone()])).tool_calls;
    let result = |call: &ToolCall, content: &str, is_error| {
        Message::tool_result(ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            content: content.to_owned(),
            is_error,
        })
    };
    let turn = |sum: Message, found: Message| {
        ask(&with_tools([question.clone(), Message::assistant_calls("", calls.clone()), sum, found])).text
    };
    let text = turn(result(&calls[0], "4", false), result(&calls[1], SOURCE, false));
    assert_eq!(text, "2 + 2 = 4. After a crash the engine resumes from the journal. [1]");
    let text = turn(result(&calls[0], "4", false), result(&calls[1], "folder missing", true));
    assert_eq!(text, "2 + 2 = 4. The tool docs_search failed: folder missing");
}

#[tokio::test]
async fn it_answers_the_same_behind_an_endpoint() {
    let options = WireOptions { model: Some(Arc::new(model())), ..WireOptions::default() };
    let server = WireServer::start(options).await.unwrap();
    let remote = OpenAi::new(OpenAiConfig::new(server.base_url(), ModelId::new("m").unwrap())).unwrap();
    let question = Message::user(format!("<question>Is 150 × 2 what the engine resumes?</question>{SOURCE}"));
    let prompts = [
        (purpose::WRITE, "Write the answer from the sources."),
        (purpose::ROUTE, "Answer with one of research, calculate, both, neither."),
        (purpose::EXTRACT_EXPRESSION, "Answer with one arithmetic expression, or NONE."),
    ];
    for (purpose, system) in prompts {
        let request = ChatRequest {
            purpose: Some(purpose.into()),
            ..ChatRequest::new([Message::system(system), question.clone()])
        };
        let (near, far) = (ask(&request), remote.complete(request).await.unwrap());
        assert_eq!((near.text, near.usage), (far.text, far.usage), "{purpose}");
    }
    let near = ask(&with_tools([question.clone()]));
    let far = remote.complete(with_tools([question])).await.unwrap();
    assert_eq!(near.tool_calls, far.tool_calls);
}
