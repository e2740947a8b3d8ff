//! A letter: written by the model, approved by a person, written again with the person's wish if there is one.

use serde::{Deserialize, Serialize};
use statewright::nodes::ports::purpose;
use statewright::prelude::*;

/// What the nodes share.
#[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
pub struct Letter {
    topic: String,
    draft: String,
    #[reduce(append)]
    wishes: Vec<String>,
    #[reduce(sum)]
    drafts: u32,
    #[reduce(sum)]
    usage: Usage,
}

/// What the person decided.
#[derive(Route)]
pub enum Verdict {
    Send,
    Rewrite,
}

/// The graph. Writing again is bounded, so that the letter is sent some day.
pub fn letter(services: &Services) -> Result<Graph<Letter>, Problems> {
    let services = services.clone();
    let mut g = StateGraph::<Letter>::new("letter");
    let write = g.func("write", move |ctx| write(ctx, services.clone()));
    let approve = g.func("approve", approve);
    g.start(write);
    g.edge(write, approve);
    g.route(approve, VerdictEdges { send: To::END, rewrite: write.to().at_most(3) });
    g.classify(statewright::graphs::classify_model_errors);
    g.build()
}

async fn write(ctx: Ctx<Letter>, services: Services) -> Result<LetterUpdate, NodeError> {
    let Letter { topic, wishes, .. } = &*ctx.state;
    let prompt = format!("Write a short letter. <question>{topic}</question> Wishes: {}", wishes.join("; "));
    let request =
        ChatRequest { purpose: Some(purpose::WRITE.into()), ..ChatRequest::new([Message::user(prompt)]) };
    let called = statewright::graphs::model_call::call_model(&ctx, &services, request).await?;
    let draft = format!("On “{topic}”{}:\n{}", with(wishes), called.text);
    Ok(Letter::update().draft(draft).drafts(1).usage(called.usage))
}

async fn approve(ctx: Ctx<Letter>) -> Result<(LetterUpdate, Verdict), NodeError> {
    let question = format!("Send this letter? Answer yes, or say what to change.\n{}", ctx.state.draft);
    let answer: String = ctx.ask("send", &question).await;
    Ok(match answer.as_str() {
        "yes" => (Letter::update(), Verdict::Send),
        wish => (Letter::update().wishes(wish.to_owned()), Verdict::Rewrite),
    })
}

fn with(wishes: &[String]) -> String {
    wishes.iter().map(|wish| format!(", {wish}")).collect()
}

impl Pipeline for Letter {
    fn ask(question: &str) -> LetterUpdate {
        Letter::update().topic(question.to_owned())
    }

    fn report(&self) -> Report {
        Report { answer: self.draft.clone(), attempts: self.drafts, usage: self.usage, ..Report::default() }
    }
}
