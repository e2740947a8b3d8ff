//! The model as a tool caller: which tools a question needs, and writing from what they returned.

use serde_json::json;
use statewright_nodes_ports::{ChatRequest, Message, Role, ToolCall, ToolResult, ToolSpec};

use super::{
    Answer, arithmetic,
    prompt::{self, Prompt, Source},
    route, writer,
};

/// Tool names that the rules know.
const CALCULATOR: &str = "calculator";
const DOCS_SEARCH: &str = "docs_search";

pub(super) fn answer(request: &ChatRequest, question: &str) -> Answer {
    let start =
        request.messages.iter().rposition(|message| message.role == Role::User).map_or(0, |at| at + 1);
    let turn = &request.messages[start..];
    let called = |name: &str| turn.iter().flat_map(Message::tool_calls).any(|call| call.name == name);
    let wanted = wanted(question, &request.tools).into_iter().filter(|(tool, _)| !called(&tool.name));
    let calls: Vec<ToolCall> =
        (1..).zip(wanted).map(|(n, (tool, text))| call(turn.len() + n, tool, &text)).collect();
    if calls.is_empty() { Answer::Text(write(turn, question)) } else { Answer::Calls(calls) }
}

/// The tools that the question needs, each with the text to call it with.
fn wanted<'a>(question: &str, tools: &'a [ToolSpec]) -> Vec<(&'a ToolSpec, String)> {
    let offered = |name: &str| tools.iter().find(|tool| tool.name == name);
    let found = arithmetic::find(question);
    let rest = found.as_ref().map_or_else(|| question.to_owned(), |found| found.rest(question));
    let topic = route::has_topic(&rest, found.is_some());
    let calculate = found.and_then(|found| Some((offered(CALCULATOR)?, found.expression)));
    let search = || Some((offered(DOCS_SEARCH)?, rest.trim().to_owned()));
    let search = if topic { search() } else { None };
    calculate.into_iter().chain(search).collect()
}

fn call(number: usize, tool: &ToolSpec, text: &str) -> ToolCall {
    let arguments = json!({argument_name(tool): text}).to_string();
    ToolCall { id: format!("offline_{number}"), name: tool.name.clone(), arguments }
}

/// The argument that takes the text: the one required one, else the first one declared, else the usual name.
fn argument_name(tool: &ToolSpec) -> String {
    let usual = if tool.name == CALCULATOR { "expression" } else { "query" };
    let required = tool.parameters["required"].as_array().and_then(|names| names.first()?.as_str());
    let properties = tool.parameters["properties"].as_object();
    if properties.is_some_and(|properties| properties.contains_key(usual)) {
        return usual.to_owned();
    }
    let first = properties.and_then(|properties| properties.keys().next());
    required.map(str::to_owned).or_else(|| first.cloned()).unwrap_or_else(|| usual.to_owned())
}

fn write(turn: &[Message], question: &str) -> String {
    let calls: Vec<&ToolCall> = turn.iter().flat_map(Message::tool_calls).collect();
    let results: Vec<&ToolResult> = turn.iter().flat_map(Message::tool_results).collect();
    let (failed, fine): (Vec<&ToolResult>, Vec<&ToolResult>) = results.into_iter().partition(|r| r.is_error);
    let (calculated, found): (Vec<&ToolResult>, Vec<&ToolResult>) =
        fine.into_iter().partition(|result| result.name == CALCULATOR);
    let calculation = calculated.last().map(|result| calculation(result, &calls));
    let ids: Vec<String> = (1..=found.len()).map(|n| n.to_string()).collect();
    let sources = found.iter().zip(&ids).flat_map(|(result, id)| match prompt::sources(&result.content) {
        tagged if !tagged.is_empty() => tagged,
        _ => vec![Source { id, text: &result.content }],
    });
    let prompt =
        Prompt { question, calculation: calculation.as_deref(), critique: None, sources: sources.collect() };
    let text = writer::write(&prompt);
    let failures =
        failed.iter().map(|result| format!(" The tool {} failed: {}", result.name, result.content));
    std::iter::once(text).chain(failures).collect()
}

/// `expression = result`, also when the tool returned the bare result.
fn calculation(result: &ToolResult, calls: &[&ToolCall]) -> String {
    let content = result.content.trim();
    if content.contains('=') {
        return content.to_owned();
    }
    let call = calls.iter().find(|call| call.id == result.call_id);
    let arguments = call.and_then(|call| call.arguments_json().ok());
    let expression = arguments.as_ref().and_then(|json| json.as_object()?.values().next()?.as_str());
    expression.map_or_else(|| content.to_owned(), |expression| format!("{expression} = {content}"))
}
