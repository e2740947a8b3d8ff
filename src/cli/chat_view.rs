//! What a person sees of a turn: in a terminal the text as it is written and the tools as they are called, elsewhere the
//! answer alone.

use serde_json::Value;
use statewright_engine_runtime::RunEvent;
use statewright_graphs::Report;
use statewright_nodes_ports::item;

use super::output::{Output, shortened};
use super::{Shell, show};

pub(crate) struct ChatView<'a> {
    out: &'a Output,
    /// The text that was streamed and is still true.
    draft: String,
}

impl<'a> ChatView<'a> {
    pub(crate) fn new(out: &'a Output) -> Self {
        Self { out, draft: String::new() }
    }

    pub(crate) fn event(&mut self, event: &RunEvent) {
        let RunEvent::Item(sent) = event else { return };
        if !self.out.live() {
            return;
        }
        match (&*sent.kind, &sent.payload) {
            (item::TOKEN, Value::String(text)) => {
                self.draft.push_str(text);
                self.out.text(text);
            }
            (item::ATTEMPT_RESET, _) => self.end_draft(),
            (item::TOOL_CALL, call) => {
                self.end_draft();
                let (name, arguments) = (text(call, "name"), text(call, "arguments"));
                self.out.line(&self.out.dim(&format!("  {name} {}", shortened(arguments, 100))));
            }
            (item::TOOL_RESULT, result) => {
                let sign = if result["is_error"] == true { "✗" } else { "→" };
                self.out
                    .line(&self.out.dim(&format!("  {sign} {}", shortened(text(result, "content"), 100))));
            }
            _ => {}
        }
    }

    /// Text that was streamed and is not the answer stays above it.
    fn end_draft(&mut self) {
        if !self.draft.is_empty() {
            self.out.text("\n");
            self.draft.clear();
        }
    }

    /// Leaves the cursor at the beginning of a line.
    pub(crate) fn end(&self) {
        if !self.draft.is_empty() && !self.draft.ends_with('\n') {
            self.out.text("\n");
        }
    }

    /// The answer, unless it stands there already, and what belongs to it.
    pub(crate) fn answer(&self, shell: &Shell<'_>, report: &Report) {
        if self.draft.trim() != report.answer.trim() {
            self.out.line(report.answer.trim());
        }
        if !self.out.quiet {
            show::details(shell, report);
        }
    }
}

/// A question as a person reads it.
pub(crate) fn words(question: &Value, name: &str) -> String {
    let Some(tool) = question.get("approve").and_then(Value::as_str) else {
        return show::words(question, name);
    };
    let arguments = question.get("arguments").map_or_else(String::new, |arguments| format!(" {arguments}"));
    let problem = question.get("problem").and_then(Value::as_str);
    let problem =
        problem.map_or_else(String::new, |problem| format!("\n  the last answer did not fit: {problem}"));
    format!("approve {tool}{arguments}? {}{problem}", text(question, "why"))
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
