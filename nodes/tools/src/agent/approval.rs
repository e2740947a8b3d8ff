//! Approvals: which calls a person has to allow, what the person is asked, and what the answer means.

use serde_json::{Value, json};
use statewright_nodes_ports::{NodeHost, SideEffect, ToolCall};

use super::error::AgentError;
use crate::Toolbox;

/// Which calls of tools a person has to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approvals {
    /// Those of tools with this side effect or a stronger one.
    From(SideEffect),
    /// None, but those that a hook asks about or that may have happened already.
    None,
}

impl Default for Approvals {
    fn default() -> Self {
        Self::From(SideEffect::Irreversible)
    }
}

impl Approvals {
    pub(crate) fn cover(self, side_effect: SideEffect) -> bool {
        match self {
            Self::From(least) => side_effect >= least,
            Self::None => false,
        }
    }
}

/// What was said to a question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Approval {
    Approved,
    /// With these arguments in place of the model's.
    Edited(Value),
    Denied(String),
}

/// How often an answer that means nothing is asked for again.
const ASKED_MAX: u32 = 10;

/// Asks until the answer means something. Edited arguments have to fit the tool's schema like those of a model.
pub(crate) async fn ask(
    host: &dyn NodeHost,
    toolbox: &Toolbox,
    name: &str,
    call: &ToolCall,
    why: &str,
) -> Result<Approval, AgentError> {
    let arguments = call.arguments_json().unwrap_or_default();
    let mut problem: Option<String> = None;
    for round in 1..=ASKED_MAX {
        let question = json!({
            "approve": call.name, "arguments": arguments, "why": why, "problem": problem,
            "answers": ["approve", {"deny": "REASON"}, {"edit": {"ARGUMENT": "VALUE"}}],
        });
        let name = if round == 1 { name.to_owned() } else { format!("{name}/{round}") };
        let answer = host.ask(&name, question).await.map_err(AgentError::Host)?;
        match read(&answer).and_then(|approval| checked(toolbox, call, approval)) {
            Ok(approval) => return Ok(approval),
            Err(words) => problem = Some(words),
        }
    }
    Ok(Approval::Denied(problem.unwrap_or_default()))
}

fn read(answer: &Value) -> Result<Approval, String> {
    let denied = |reason: &str| Approval::Denied(reason.trim().to_owned());
    match answer {
        Value::Bool(true) => Ok(Approval::Approved),
        Value::Bool(false) => Ok(denied("")),
        Value::String(word) => match word.trim().to_lowercase().as_str() {
            "approve" | "approved" | "yes" | "y" => Ok(Approval::Approved),
            "deny" | "denied" | "no" | "n" => Ok(denied("")),
            _ => Err(format!("`{word}` is no answer; {ANSWERS}")),
        },
        Value::Object(fields) => match (fields.get("deny"), fields.get("edit"), fields.len()) {
            (Some(Value::String(reason)), None, 1) => Ok(denied(reason)),
            (None, Some(arguments @ Value::Object(_)), 1) => Ok(Approval::Edited(arguments.clone())),
            _ => Err(ANSWERS.to_owned()),
        },
        _ => Err(ANSWERS.to_owned()),
    }
}

const ANSWERS: &str =
    "answer with \"approve\", {\"deny\": \"REASON\"} or {\"edit\": {…the whole arguments…}}";

fn checked(toolbox: &Toolbox, call: &ToolCall, approval: Approval) -> Result<Approval, String> {
    if let Approval::Edited(arguments) = &approval {
        let edited = ToolCall { arguments: arguments.to_string(), ..call.clone() };
        toolbox.check(&edited).map_err(|error| error.message)?;
    }
    Ok(approval)
}
