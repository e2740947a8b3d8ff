//! What of a run goes into the log: ids, kinds, counts and codes. What was asked and said, and errors in full, only where
//! `--log-content` lets them; secrets never, see `logging`.

use statewright_engine_runtime::RunEvent;

/// That a run begins.
pub(crate) fn asked(question: &str, with_content: bool) {
    if with_content {
        tracing::info!(question, "asked");
    } else {
        tracing::info!(bytes = question.len(), "asked");
    }
}

/// That something happened in a run.
pub(crate) fn event(event: &RunEvent, with_content: bool) {
    let mut event = event;
    let mut depth = 0_u32;
    while let RunEvent::Within { event: inner, .. } = event {
        event = inner;
        depth += 1;
    }
    let name = name(event);
    match event {
        RunEvent::NodeStarted { activation, attempt, .. } => {
            tracing::debug!(event = name, depth, %activation, attempt);
        }
        RunEvent::NodeFinished { activation, .. } | RunEvent::Budget { activation, .. } => {
            tracing::debug!(event = name, depth, %activation);
        }
        RunEvent::NodeFailed { activation, attempt, failure, .. } if with_content => {
            let code = &*failure.code;
            tracing::warn!(event = name, depth, %activation, attempt, code, "{failure}");
        }
        RunEvent::NodeFailed { activation, attempt, failure, .. } => {
            tracing::debug!(event = name, depth, %activation, attempt, code = &*failure.code);
        }
        RunEvent::Asked(question) => {
            tracing::debug!(event = name, depth, activation = %question.activation, question = question.name);
        }
        RunEvent::Committed { superstep, seq } => {
            tracing::debug!(event = name, depth, superstep, seq = %seq);
        }
        RunEvent::Item(item) if with_content => {
            tracing::debug!(event = name, depth, activation = %item.activation, kind = &*item.kind, payload = %item.payload);
        }
        RunEvent::Item(item) => {
            tracing::debug!(event = name, depth, activation = %item.activation, kind = &*item.kind);
        }
        RunEvent::Lagged { missed } => tracing::debug!(event = name, depth, missed),
        _ => tracing::debug!(event = name, depth),
    }
}

fn name(event: &RunEvent) -> &'static str {
    match event {
        RunEvent::Opened { .. } => "opened",
        RunEvent::NodeStarted { .. } => "node_started",
        RunEvent::NodeFinished { .. } => "node_finished",
        RunEvent::NodeFailed { .. } => "node_failed",
        RunEvent::Asked(_) => "asked",
        RunEvent::Judged(_) => "judged",
        RunEvent::Budget { .. } => "budget",
        RunEvent::Undo { .. } => "undo",
        RunEvent::EdgeTaken(_) => "edge_taken",
        RunEvent::Committed { .. } => "committed",
        RunEvent::Within { .. } => "within",
        RunEvent::Item(_) => "item",
        RunEvent::Stopped(_) => "stopped",
        RunEvent::Lagged { .. } => "lagged",
        _ => "other",
    }
}
