//! One turn of a conversation as a state machine: what comes next, given what the model and the tools said so far.
//!
//! Pure: it calls nothing, reads no clock and draws no random number, so a turn that is begun anew and is given the same
//! answers and results comes to the same place. The calls are made by [`super::drive`].

use std::time::Duration;

use statewright_nodes_ports::{ChatResponse, FinishReason, Message, Part, ToolCall, ToolResult, Usage};

use super::limits::{Limits, Spent, Stopped};
use super::stop_loss::{Fate, Repeat, StopLoss};

/// A turn.
///
/// ```text
/// Ask ──answer with calls──► Act ──results──► Ask … ──text──► over
///  └──empty──► Ask, once                        limits ──► over
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    limits: Limits,
    messages: Vec<Message>,
    spent: Spent,
    /// How often the model was asked; each time has a name of its own.
    asked: u32,
    iterations: u32,
    stop_loss: StopLoss,
    was_empty: bool,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Ask,
    Act(Vec<ToolCall>, Cut),
    Over(End),
}

/// Whether the answer was cut off at the output limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    No,
    Yes,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask the model.
    Model {
        /// Counts the model calls of the turn, from 0.
        number: u32,
        /// Whether it is to answer without tools, because no iteration is left for their results.
        is_last: bool,
    },
    /// Call these tools, which the answer of this model call asks for.
    Tools {
        /// The model call.
        number: u32,
        /// What to do, call by call.
        calls: Vec<Planned>,
    },
    /// Nothing: the turn is over.
    End(End),
}

/// A call of a tool, and what is known about it before the tool is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) call: ToolCall,
    /// Why it is not made; the model is told.
    pub(crate) refused: Option<String>,
    /// Whether an equal call may have taken place already.
    pub(crate) is_unsure: bool,
}

/// What a model call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    /// The answer; nothing if it was empty.
    pub(crate) answer: Option<ChatResponse>,
    pub(crate) usage: Usage,
    pub(crate) nanodollars: Option<u64>,
    pub(crate) ms: u64,
}

/// What a call of a tool came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acted {
    pub(crate) result: ToolResult,
    /// Whether it is unknown whether the call took place.
    pub(crate) is_unknown: bool,
    /// What it spent: its time, and what a loop inside it spent.
    pub(crate) spent: Spent,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// The last text of the model.
    pub(crate) text: String,
    /// Why the model stopped, if it was asked.
    pub(crate) finish: Option<FinishReason>,
    pub(crate) stopped: Option<Stopped>,
    /// Whether it gave an empty answer twice.
    pub(crate) is_empty: bool,
}

impl Turn {
    /// A turn that begins with this message of the user.
    pub(crate) fn new(limits: Limits, question: Message) -> Self {
        Self {
            limits,
            messages: vec![question],
            spent: Spent::default(),
            asked: 0,
            iterations: 0,
            stop_loss: StopLoss::default(),
            was_empty: false,
            state: State::Ask,
        }
    }

    /// Everything that was said in this turn, the question first. Once the turn is over, each call has its result.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(crate) fn into_messages(self) -> Vec<Message> {
        self.messages
    }

    pub(crate) fn spent(&self) -> &Spent {
        &self.spent
    }

    pub(crate) fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The time that calls may still take.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.limits.wall_time.map(|limit| limit.saturating_sub(Duration::from_millis(self.spent.ms)))
    }

    /// What is to be done now. The same until something is reported.
    pub(crate) fn next(&self) -> Next {
        match &self.state {
            State::Over(end) => Next::End(end.clone()),
            State::Ask => match self.used_up() {
                Some(stopped) => Next::End(self.ended(Some(stopped))),
                None => Next::Model {
                    number: self.asked,
                    is_last: self.limits.iterations > 1 && self.iterations + 1 == self.limits.iterations,
                },
            },
            State::Act(calls, cut) => self.plan(calls, *cut),
        }
    }

    /// The model answered, or gave nothing.
    pub(crate) fn answered(&mut self, answered: Answered) {
        let Answered { answer, usage, nanodollars, ms } = answered;
        self.asked += 1;
        self.spent.add(&Spent { model_calls: 1, usage, nanodollars, ms, ..Spent::default() });
        let Some(answer) = answer else {
            if self.was_empty {
                self.state = State::Over(End { is_empty: true, ..self.ended(None) });
            }
            self.was_empty = true;
            return;
        };
        self.was_empty = false;
        let is_last = self.limits.iterations > 1 && self.iterations + 1 == self.limits.iterations;
        self.iterations += 1;
        self.messages.push(message_of(&answer));
        if answer.tool_calls.is_empty() {
            let stopped = is_last.then_some(Stopped::Iterations(self.limits.iterations));
            self.state = State::Over(End { finish: Some(answer.finish), ..self.ended(stopped) });
            return;
        }
        let cut = if answer.finish == FinishReason::Length { Cut::Yes } else { Cut::No };
        self.state = State::Act(answer.tool_calls, cut);
        if let Next::End(end) = self.next() {
            self.close(end);
        }
    }

    /// The planned calls came to this, one for each, in their order.
    pub(crate) fn acted(&mut self, acted: &[Acted]) {
        let Next::Tools { calls, .. } = self.next() else { return };
        for done in acted {
            self.spent.add(&done.spent);
            self.messages.push(Message::tool_result(done.result.clone()));
        }
        let fates: Vec<_> = calls
            .iter()
            .zip(acted)
            .map(|(planned, done)| {
                let fate = match (done.is_unknown, &planned.refused) {
                    (true, _) => Fate::Unknown,
                    (false, Some(_)) => Fate::Refused,
                    (false, None) => Fate::Known,
                };
                (&planned.call, &done.result, fate)
            })
            .collect();
        let stopped = self.stop_loss.note(&self.limits, &fates);
        self.state = match stopped {
            Some(stopped) => State::Over(self.ended(Some(stopped))),
            None => State::Ask,
        };
    }

    /// Something was spent beside the calls of the turn.
    pub(crate) fn spend(&mut self, more: &Spent) {
        self.spent.add(more);
    }

    /// Ends the turn before its next call.
    pub(crate) fn stop(&mut self, stopped: Stopped) {
        let end = self.ended(Some(stopped));
        self.close(end);
    }

    /// Ends the turn with a text that stands in for the model's.
    pub(crate) fn substitute(&mut self, text: String) {
        self.messages.push(Message::assistant(text));
        self.state = State::Over(self.ended(None));
    }

    /// The calls of one answer with what speaks against them, or the end.
    fn plan(&self, calls: &[ToolCall], cut: Cut) -> Next {
        let asked = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        if self.iterations >= self.limits.iterations {
            return Next::End(self.ended(Some(Stopped::Iterations(self.limits.iterations))));
        }
        if self.spent.tool_calls.saturating_add(asked) > self.limits.tool_calls {
            return Next::End(self.ended(Some(Stopped::ToolCalls(self.limits.tool_calls))));
        }
        let mut planned = Vec::with_capacity(calls.len());
        for call in calls {
            let repeat = self.stop_loss.judge(&self.limits, call);
            if repeat == Repeat::Stop {
                return Next::End(self.ended(Some(Stopped::Repeats { tool: call.name.clone() })));
            }
            let refused = match repeat {
                Repeat::Refuse => Some(REPEATED.to_owned()),
                _ if cut == Cut::Yes && call.arguments_json().is_err() => Some(CUT_OFF.to_owned()),
                _ => None,
            };
            planned.push(Planned { call: call.clone(), refused, is_unsure: repeat == Repeat::Unsure });
        }
        Next::Tools { number: self.asked.saturating_sub(1), calls: planned }
    }

    /// What is used up before the next model call.
    fn used_up(&self) -> Option<Stopped> {
        let Limits { iterations, tokens, nanodollars, wall_time, .. } = &self.limits;
        if self.iterations >= *iterations {
            return Some(Stopped::Iterations(*iterations));
        }
        if let Some(limit) = tokens.filter(|limit| self.spent.usage.total_tokens() >= *limit) {
            return Some(Stopped::Tokens(limit));
        }
        if let Some(limit) = nanodollars.filter(|limit| self.spent.nanodollars.unwrap_or(0) >= *limit) {
            return Some(Stopped::Cost(limit));
        }
        let ms = wall_time.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        ms.filter(|limit| self.spent.ms >= *limit).map(Stopped::WallTime)
    }

    fn ended(&self, stopped: Option<Stopped>) -> End {
        let texts = self.messages.iter().skip(1).rev();
        let text = texts.map(|message| message.text().into_owned()).find(|text| !text.trim().is_empty());
        End { text: text.unwrap_or_default(), finish: None, stopped, is_empty: false }
    }

    /// Gives each call that is still open a result, so that the conversation can go on later.
    fn close(&mut self, end: End) {
        if let State::Act(calls, _) = &self.state {
            let why = end.stopped.as_ref().map_or_else(String::new, ToString::to_string);
            let results = calls.iter().map(|call| failed(call, format!("This call was not made: {why}.")));
            let results: Vec<Message> = results.map(Message::tool_result).collect();
            self.messages.extend(results);
        }
        self.state = State::Over(end);
    }
}

const REPEATED: &str = "SW-N396: this very call was made several times and its result stays the same, so it is not \
    made again. Use what you have, or do something else.";

const CUT_OFF: &str = "SW-N399: your answer reached the output limit before this call was complete, so it is not made. \
    Ask again with shorter arguments.";

/// A result that tells the model of a failure.
pub(crate) fn failed(call: &ToolCall, content: impl Into<String>) -> ToolResult {
    ToolResult { call_id: call.id.clone(), name: call.name.clone(), content: content.into(), is_error: true }
}

/// An answer as it goes back to the model: what it thought, said and asked for.
fn message_of(answer: &ChatResponse) -> Message {
    let mut message = Message::assistant_calls(answer.text.clone(), answer.tool_calls.iter().cloned());
    message.parts.splice(0..0, answer.reasoning.iter().cloned().map(Part::Reasoning));
    message
}

#[cfg(test)]
mod tests {
    use statewright_nodes_ports::ModelId;

    use super::*;

    /// Everything that a model may do, as far as the machine can tell it apart.
    const ANSWERS: &[&str] = &["text", "empty", "a", "b", "ab", "cut", "long"];
    /// Everything that tools may do: the same, something else each time, a failure, nobody knows.
    const RESULTS: &[&str] = &["same", "other", "fails", "unknown"];

    fn limits() -> Limits {
        Limits { iterations: 4, tool_calls: 5, ..Limits::default() }
    }

    fn answered(kind: &str) -> Answered {
        let call = |name: &str, arguments: &str| ToolCall {
            id: format!("id_{name}"),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let (text, tool_calls, finish) = match kind {
            "text" => ("Four.", vec![], FinishReason::Stop),
            "a" => ("", vec![call("a", "{\"x\": 1, \"y\": 2}")], FinishReason::ToolCalls),
            "b" => ("Let me see.", vec![call("b", "{}")], FinishReason::ToolCalls),
            "ab" => ("", vec![call("a", "{\"y\": 2, \"x\": 1}"), call("b", "")], FinishReason::ToolCalls),
            "cut" => ("", vec![call("a", "{\"x\": ")], FinishReason::Length),
            "long" => ("Four, and", vec![], FinishReason::Length),
            _ => return Answered { answer: None, usage: Usage::default(), nanodollars: None, ms: 1 },
        };
        let (text, model) = (text.to_owned(), ModelId::new("m").unwrap());
        let answer = ChatResponse { text, tool_calls, reasoning: Vec::new(), usage: None, finish, model };
        let usage = Usage { input_tokens: 10, output_tokens: 1, ..Usage::default() };
        Answered { answer: Some(answer), usage, nanodollars: Some(5), ms: 2 }
    }

    fn acted(planned: &Planned, kind: &str, round: usize) -> Acted {
        let Planned { call, refused, .. } = planned;
        let result = match (refused, kind) {
            (Some(words), _) => failed(call, words),
            (None, "fails" | "unknown") => failed(call, "no"),
            (None, kind) => {
                let content = if kind == "other" { round.to_string() } else { "yes".to_owned() };
                ToolResult { call_id: call.id.clone(), name: call.name.clone(), content, is_error: false }
            }
        };
        let is_unknown = refused.is_none() && kind == "unknown";
        Acted { result, is_unknown, spent: Spent { tool_calls: 1, ms: 1, ..Spent::default() } }
    }

    /// What holds at every moment of every turn.
    fn check(turn: &Turn) {
        assert_eq!(turn.next(), turn.next(), "looking changes nothing");
        assert!(turn.iterations() <= limits().iterations && turn.spent().tool_calls <= limits().tool_calls);
        let ends = matches!(turn.next(), Next::End(_));
        let acts = matches!(turn.next(), Next::Tools { .. });
        let mut open: Vec<&str> = Vec::new();
        for message in turn.messages() {
            for result in message.tool_results() {
                assert!(!open.is_empty() && open.remove(0) == result.call_id, "a result without its call");
            }
            if message.role != statewright_nodes_ports::Role::Tool {
                assert!(open.is_empty(), "a call without its result");
            }
            open.extend(message.tool_calls().map(|call| call.id.as_str()));
        }
        assert_eq!(!open.is_empty(), acts, "calls are open only while they are to be made");
        assert!(!(ends && acts));
    }

    fn walk(turn: &Turn, round: usize, ends: &mut usize) {
        check(turn);
        match turn.next() {
            Next::End(end) => {
                assert!(end.is_empty || end.stopped.is_some() || end.finish.is_some(), "an end has a reason");
                *ends += 1;
            }
            Next::Model { .. } => {
                // An empty answer is asked for again at most once, so no turn is longer than this.
                assert!(round <= 4 * limits().iterations as usize + 2, "the turn goes on for ever");
                for kind in ANSWERS {
                    let mut next = turn.clone();
                    next.answered(answered(kind));
                    walk(&next, round + 1, ends);
                }
            }
            Next::Tools { calls, .. } => {
                for kind in RESULTS {
                    let mut next = turn.clone();
                    let done: Vec<Acted> = calls.iter().map(|planned| acted(planned, kind, round)).collect();
                    next.acted(&done);
                    walk(&next, round + 1, ends);
                }
            }
        }
    }

    #[test]
    fn every_turn_ends_with_each_call_answered() {
        let mut ends = 0;
        walk(&Turn::new(limits(), Message::user("?")), 0, &mut ends);
        assert!(ends > 10_000, "{ends} ways to an end");
    }

    /// A model that does the same again and again, and tools that do.
    fn repeated(kind: &str, result: &str, limits: Limits) -> (Turn, End) {
        let mut turn = Turn::new(limits, Message::user("?"));
        for round in 0..1_000 {
            match turn.next() {
                Next::End(end) => return (turn, end),
                Next::Model { .. } => turn.answered(answered(kind)),
                Next::Tools { calls, .. } => {
                    let done: Vec<Acted> =
                        calls.iter().map(|planned| acted(planned, result, round)).collect();
                    turn.acted(&done);
                }
            }
        }
        panic!("the turn goes on for ever");
    }

    #[test]
    fn a_model_that_repeats_one_call_is_told_and_then_stopped() {
        let (turn, end) = repeated("a", "same", Limits::default());
        assert_eq!(end.stopped, Some(Stopped::Repeats { tool: "a".to_owned() }));
        assert_eq!(turn.spent().tool_calls, 4, "three calls and one that was refused");
        let told = turn.messages().iter().flat_map(Message::tool_results).filter(|result| result.is_error);
        assert_eq!(told.filter(|result| result.content.contains("SW-N396")).count(), 1);
    }

    #[test]
    fn a_call_whose_result_changes_may_be_repeated_until_the_iterations_end() {
        let (turn, end) = repeated("a", "other", Limits::default());
        assert_eq!(end.stopped, Some(Stopped::Iterations(25)));
        assert_eq!(
            (turn.iterations(), turn.spent().tool_calls),
            (25, 24),
            "the last answer is asked for without tools"
        );
    }

    #[test]
    fn identical_failures_stop_the_turn() {
        let (turn, end) = repeated("ab", "fails", Limits::default());
        let stopped = Stopped::Failures { tool: "a".to_owned(), failure: "no".to_owned(), times: 3 };
        assert_eq!((end.stopped, turn.iterations()), (Some(stopped), 3));
    }

    #[test]
    fn each_limit_stops_the_turn_with_its_own_code() {
        let none = Limits { identical_calls: 1_000, ..Limits::default() };
        let cases = [
            (Limits { tool_calls: 3, ..none.clone() }, "SW-N392", 3),
            (Limits { tokens: Some(25), ..none.clone() }, "SW-N393", 3),
            (Limits { nanodollars: Some(9), ..none.clone() }, "SW-N394", 2),
            (Limits { wall_time: Some(Duration::from_millis(8)), ..none.clone() }, "SW-N395", 3),
            (Limits { iterations: 1, ..none }, "SW-N391", 0),
        ];
        for (limits, code, calls) in cases {
            let (turn, end) = repeated("a", "same", limits);
            let found = end.stopped.as_ref().map(Stopped::code);
            assert_eq!((found, turn.spent().tool_calls), (Some(code), calls));
        }
    }

    #[test]
    fn an_empty_answer_is_asked_for_once_more() {
        let (turn, end) = repeated("empty", "same", Limits::default());
        assert!(end.is_empty);
        assert_eq!((turn.spent().model_calls, turn.iterations()), (2, 0));
    }

    #[test]
    fn an_equal_call_after_an_unknown_outcome_is_marked() {
        let mut turn = Turn::new(Limits::default(), Message::user("?"));
        for expected in [false, true] {
            turn.answered(answered("a"));
            let Next::Tools { calls, .. } = turn.next() else { panic!("calls") };
            assert_eq!(calls[0].is_unsure, expected);
            turn.acted(&[acted(&calls[0], "unknown", 0)]);
        }
    }

    #[test]
    fn a_call_that_was_cut_off_is_not_made() {
        let mut turn = Turn::new(Limits::default(), Message::user("?"));
        turn.answered(answered("cut"));
        let Next::Tools { calls, .. } = turn.next() else { panic!("calls") };
        assert!(calls[0].refused.as_deref().is_some_and(|words| words.contains("SW-N399")), "{calls:?}");
    }
}
