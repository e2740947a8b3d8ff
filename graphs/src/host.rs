//! Lends a node of the engine to parts that know no graph, such as the agent loop: their steps become steps and effects of
//! the node, their questions its interrupts.

use std::borrow::Cow;

use serde_json::Value;
use statewright_engine_runtime::{Classified, Classifier, Ctx, EffectError, FailureKind, NodeError};
use statewright_nodes_ports::{BoxFuture, ErrorClass, HostError, HostStep, NodeHost, Work};

use crate::pipeline::classify_model_errors;

/// The node of this context as a host.
///
/// ```
/// # use statewright_engine_runtime::{Ctx, NodeError};
/// # use statewright_graphs::host::CtxHost;
/// # use statewright_nodes_ports::{HostStep, NodeHost};
/// # async fn node<S: Send + Sync>(ctx: Ctx<S>) -> Result<(), NodeError> {
/// let host = CtxHost::new(&ctx);
/// let input = serde_json::json!({});
/// let work = Box::pin(async { Ok(serde_json::json!(4)) });
/// let four = host.step(HostStep::new("four", &input), work).await?;
/// # Ok(()) }
/// ```
pub struct CtxHost<'c, S, I = ()> {
    ctx: &'c Ctx<S, I>,
}

impl<'c, S, I> CtxHost<'c, S, I> {
    /// The node of this context.
    #[must_use]
    pub fn new(ctx: &'c Ctx<S, I>) -> Self {
        Self { ctx }
    }
}

impl<S, I> std::fmt::Debug for CtxHost<'_, S, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CtxHost").field("node", &self.ctx.node()).finish_non_exhaustive()
    }
}

impl<S: Send + Sync, I: Send + Sync> NodeHost for CtxHost<'_, S, I> {
    fn step<'a>(&'a self, step: HostStep<'a>, work: Work<'a>) -> BoxFuture<'a, Result<Value, HostError>> {
        let HostStep { name, input, at_most_once, reserve, spent } = step;
        Box::pin(async move {
            if at_most_once {
                let effect = self.ctx.effect(name).input(input);
                let work = |_key: String| async move { Ok(work.await?) };
                let done = match reserve {
                    [] => effect.run(work).await,
                    _ => effect.reserving(reserve).settling(spent).run(work).await,
                };
                return done.map_err(|error| match error {
                    EffectError::Unknown(unknown) => {
                        HostError { is_unknown: true, ..HostError::permanent("SW-X252", unknown.to_string()) }
                    }
                    EffectError::Failed(error) => host_error(&error),
                });
            }
            let step = self.ctx.step(name).input(input);
            let work = || async move { Ok(work.await?) };
            let done = match reserve {
                [] => step.run(work).await,
                _ => step.reserving(reserve).settling(spent).run(work).await,
            };
            done.map_err(|error| host_error(&error))
        })
    }

    fn ask<'a>(&'a self, name: &'a str, question: Value) -> BoxFuture<'a, Result<Value, HostError>> {
        let answer = self.ctx.ask::<Value, Value>(name, &question);
        Box::pin(async move { Ok(answer.await) })
    }

    fn emit(&self, kind: &'static str, payload: Value) {
        self.ctx.emit(kind, &payload);
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.ctx.idempotency_key())
    }
}

/// An error of the engine, or one of the work that has gone through it.
fn host_error(error: &NodeError) -> HostError {
    const CLASSIFIERS: [Classifier; 2] = [classify_host_errors, classify_model_errors];
    let failure = error.to_failure(&CLASSIFIERS);
    let class =
        if failure.kind == FailureKind::Transient { ErrorClass::Transient } else { ErrorClass::Permanent };
    let retry_after = failure.retry_after_ms.map(std::time::Duration::from_millis);
    HostError { code: failure.code, message: failure.message, class, is_unknown: false, retry_after }
}

/// Recognises what a part that works inside a node failed with: an agent loop, or a step of a host.
pub fn classify_host_errors(error: &(dyn std::error::Error + 'static)) -> Option<Classified> {
    use statewright_nodes_tools::agent::AgentError;
    let (code, class, retry_after) = if let Some(error) = error.downcast_ref::<AgentError>() {
        (error.code().to_owned(), error.class(), error.retry_after())
    } else {
        let error = error.downcast_ref::<HostError>()?;
        (error.code.clone(), error.class, error.retry_after)
    };
    let kind = match class {
        ErrorClass::Transient => FailureKind::Transient,
        ErrorClass::Permanent => FailureKind::Permanent,
    };
    Some(Classified { code: Cow::Owned(code), kind, retry_after })
}
