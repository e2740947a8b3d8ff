//! Keeps a conversation within the window of its model: the oldest whole turns go first, a call is never parted from its
//! result, and what the system and the user say now always stays. Pure.

use std::ops::Range;

use statewright_nodes_ports::{Message, Part, Role, TokenCounter, ToolSpec};

/// What each message costs beside its text.
const MESSAGE_TOKENS: usize = 4;
/// The least that is left of a result that is cut, in bytes.
const RESULT_BYTES_MIN: usize = 200;

/// A conversation as it is sent: system messages, perhaps a note on what was left out, then turns, the last of which is
/// the present one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    messages: Vec<Message>,
    /// How many messages at the beginning always stay: the system's.
    head: usize,
    /// Whether the message behind the head is the note.
    has_note: bool,
    /// Where the present question stands.
    question: usize,
    /// How many messages were left out so far.
    left_out: usize,
}

/// What has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leave {
    /// The messages, oldest first; whole turns, or whole exchanges of the present one.
    range: Vec<Range<usize>>,
}

impl View {
    /// `history` and `question` are what the user and the model said; `system` goes before them.
    pub(crate) fn new(system: Option<&str>, history: &[Message], question: Message) -> Self {
        let head: Vec<Message> = system.map(Message::system).into_iter().collect();
        let (head_len, question_at) = (head.len(), head.len() + history.len());
        let messages = head.into_iter().chain(history.iter().cloned()).chain([question]).collect();
        Self { messages, head: head_len, has_note: false, question: question_at, left_out: 0 }
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(crate) fn extend(&mut self, more: impl IntoIterator<Item = Message>) {
        self.messages.extend(more);
    }

    /// The tokens of everything that is sent.
    pub(crate) fn tokens(&self, tools: &[ToolSpec], counter: &dyn TokenCounter) -> usize {
        tools_tokens(tools, counter)
            + self.messages.iter().map(|message| tokens_of(message, counter)).sum::<usize>()
    }

    /// Whether `limit` tokens are certainly enough, found out without counting: no token is shorter than a byte.
    pub(crate) fn surely_fits(&self, tools: &[ToolSpec], limit: usize) -> bool {
        bytes_of(&self.messages, tools) + MESSAGE_TOKENS * self.messages.len() <= limit
    }

    /// What to leave out so that the rest comes to at most `target` tokens, as far as that is possible.
    pub(crate) fn plan(&self, tools: &[ToolSpec], counter: &dyn TokenCounter, target: usize) -> Leave {
        let mut total = self.tokens(tools, counter);
        let mut range = Vec::new();
        for unit in self.units() {
            if total <= target {
                break;
            }
            total -=
                self.messages[unit.clone()].iter().map(|message| tokens_of(message, counter)).sum::<usize>();
            range.push(unit);
        }
        Leave { range }
    }

    /// The messages that a plan leaves out, and what an earlier summary said of those before them.
    pub(crate) fn leaving(&self, leave: &Leave) -> Vec<Message> {
        let note = self.has_note.then(|| self.messages[self.head].clone());
        let leaving = leave.range.iter().flat_map(|unit| self.messages[unit.clone()].iter().cloned());
        note.into_iter().chain(leaving).collect()
    }

    /// Leaves them out. `summary` stands in for them; without one, the note only says how many there were.
    pub(crate) fn leave(&mut self, leave: &Leave, summary: Option<&str>) {
        let gone = |at: usize| leave.range.iter().any(|unit| unit.contains(&at));
        let count: usize = leave.range.iter().map(Range::len).sum();
        if count == 0 {
            return;
        }
        self.left_out += count;
        let note = match summary {
            Some(summary) => {
                format!("A summary of {} earlier messages of this conversation:\n{summary}", self.left_out)
            }
            None => format!("({} earlier messages of this conversation are left out here.)", self.left_out),
        };
        let skip = self.head + usize::from(self.has_note);
        let before = (skip..self.question).filter(|at| gone(*at)).count();
        let mut messages: Vec<Message> = self.messages[..self.head].to_vec();
        messages.push(Message::user(note));
        let kept = self.messages.iter().enumerate().skip(skip).filter(|(at, _)| !gone(*at));
        messages.extend(kept.map(|(_, message)| message.clone()));
        self.question = self.question - before + usize::from(!self.has_note);
        self.has_note = true;
        self.messages = messages;
    }

    /// Shortens the results of tools until everything fits, if it can be made to fit.
    pub(crate) fn squeeze(&mut self, tools: &[ToolSpec], counter: &dyn TokenCounter, limit: usize) -> bool {
        let longest = self.messages.iter().flat_map(Message::tool_results).map(|result| result.content.len());
        let mut bytes = longest.max().unwrap_or(0);
        while self.tokens(tools, counter) > limit {
            if bytes <= RESULT_BYTES_MIN {
                return false;
            }
            bytes = (bytes / 2).max(RESULT_BYTES_MIN);
            for part in self.messages.iter_mut().flat_map(|message| &mut message.parts) {
                if let Part::ToolResult(result) = part {
                    result.content = shortened(&result.content, bytes);
                }
            }
        }
        true
    }

    /// What can be left out, oldest first: turns before the present one, then its exchanges but the last.
    fn units(&self) -> Vec<Range<usize>> {
        let begins = self.head + usize::from(self.has_note);
        let starts = |range: Range<usize>, role: Role| -> Vec<usize> {
            range.filter(|at| self.messages[*at].role == role).collect()
        };
        let mut turns = starts(begins..self.question, Role::User);
        // A history that begins in the middle of a turn begins with what is left of it.
        if begins < self.question && turns.first() != Some(&begins) {
            turns.insert(0, begins);
        }
        turns.push(self.question);
        let exchanges = starts(self.question + 1..self.messages.len(), Role::Assistant);
        let pairs = |starts: &[usize]| -> Vec<Range<usize>> {
            starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
        };
        [pairs(&turns), pairs(&exchanges)].concat()
    }
}

/// The bytes of everything that is sent.
pub(crate) fn bytes_of(messages: &[Message], tools: &[ToolSpec]) -> usize {
    let messages: usize = messages.iter().flat_map(|message| &message.parts).map(part_bytes).sum();
    messages + tools.iter().map(spec_bytes).sum::<usize>()
}

fn part_bytes(part: &Part) -> usize {
    match part {
        Part::Text(text) => text.len(),
        Part::ToolCall(call) => call.name.len() + call.arguments.len(),
        Part::ToolResult(result) => result.content.len(),
        Part::Reasoning(reasoning) => reasoning.text.len(),
        // Pictures are priced by their size in pixels, which nobody here knows.
        _ => IMAGE_TOKENS,
    }
}

fn spec_bytes(tool: &ToolSpec) -> usize {
    tool.name.len() + tool.description.len() + tool.parameters.to_string().len()
}

/// What a picture is taken to cost.
const IMAGE_TOKENS: usize = 1_500;

fn tools_tokens(tools: &[ToolSpec], counter: &dyn TokenCounter) -> usize {
    let count = |tool: &ToolSpec| {
        counter.count(&tool.name)
            + counter.count(&tool.description)
            + counter.count(&tool.parameters.to_string())
    };
    tools.iter().map(count).sum()
}

fn tokens_of(message: &Message, counter: &dyn TokenCounter) -> usize {
    let part = |part: &Part| match part {
        Part::Text(text) => counter.count(text),
        Part::ToolCall(call) => counter.count(&call.name) + counter.count(&call.arguments),
        Part::ToolResult(result) => counter.count(&result.content),
        Part::Reasoning(reasoning) => counter.count(&reasoning.text),
        _ => IMAGE_TOKENS,
    };
    MESSAGE_TOKENS + message.parts.iter().map(part).sum::<usize>()
}

/// The beginning and the end of a text that is longer than so many bytes, with a word on what is missing between them.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(bytes_max / 4 * 3);
    let tail = text.ceil_char_boundary(text.len() - bytes_max / 8);
    let missing = tail - head;
    format!("{}\n[… {missing} bytes are left out here …]\n{}", &text[..head], &text[tail..])
}

/// A conversation as plain text, for whoever summarises it.
pub(crate) fn transcript(messages: &[Message]) -> String {
    let mut lines = String::new();
    for message in messages {
        let speaker = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        for part in &message.parts {
            let words = match part {
                Part::Text(text) => text.clone(),
                Part::ToolCall(call) => format!("calls {} with {}", call.name, call.arguments),
                Part::ToolResult(result) => format!("{} gave {}", result.name, result.content),
                _ => continue,
            };
            lines.push_str(&format!("{speaker}: {words}\n"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use statewright_nodes_ports::{ToolCall, ToolResult};

    use super::*;

    struct Words;

    impl TokenCounter for Words {
        fn count(&self, text: &str) -> usize {
            text.split_whitespace().count()
        }

        fn name(&self) -> &'static str {
            "words"
        }
    }

    /// A turn that was over: a question, some exchanges of so many calls each, an answer.
    fn turn(number: usize, exchanges: &[usize], words: usize) -> Vec<Message> {
        let text = |what: &str| format!("{what}{number} {}", "word ".repeat(words));
        let mut messages = vec![Message::user(text("q"))];
        messages
            .extend(exchanges.iter().enumerate().flat_map(|(at, calls)| exchange(number, at, *calls, words)));
        messages.push(Message::assistant(text("a")));
        messages
    }

    fn exchange(turn: usize, at: usize, calls: usize, words: usize) -> Vec<Message> {
        let id = |call: usize| format!("{turn}.{at}.{call}");
        let asked =
            (0..calls).map(|n| ToolCall { id: id(n), name: "t".to_owned(), arguments: "{}".to_owned() });
        let results = (0..calls).map(|n| {
            let content = format!("r{} {}", id(n), "word ".repeat(words));
            Message::tool_result(ToolResult {
                call_id: id(n),
                name: "t".to_owned(),
                content,
                is_error: false,
            })
        });
        std::iter::once(Message::assistant_calls("", asked)).chain(results).collect()
    }

    fn calls_of(messages: &[Message]) -> Vec<&str> {
        messages.iter().flat_map(Message::tool_calls).map(|call| call.id.as_str()).collect()
    }

    fn results_of(messages: &[Message]) -> Vec<&str> {
        messages.iter().flat_map(Message::tool_results).map(|result| result.call_id.as_str()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn compaction_keeps_pairs_the_system_and_the_question(
            history in prop::collection::vec((prop::collection::vec(1_usize..4, 0..3), 0_usize..30), 0..6),
            present in prop::collection::vec((1_usize..4, 0_usize..30), 0..5),
            targets in prop::collection::vec(20_usize..400, 1..4),
            summarised in any::<bool>(),
        ) {
            let said: Vec<Message> =
                history.iter().enumerate().flat_map(|(at, (exchanges, words))| turn(at, exchanges, *words)).collect();
            let question = Message::user("the question now");
            let mut view = View::new(Some("the system"), &said, question.clone());
            let now: Vec<Vec<Message>> =
                present.iter().enumerate().map(|(at, (calls, words))| exchange(99, at, *calls, *words)).collect();
            view.extend(now.iter().flatten().cloned());
            let all = view.messages().to_vec();
            for target in targets {
                let leave = view.plan(&[], &Words, target);
                let before = view.messages().len();
                let leaving = view.leaving(&leave).len();
                let had_note = view.has_note;
                view.leave(&leave, summarised.then_some("in short"));
                let left = view.messages();

                prop_assert_eq!(left[0].text(), "the system");
                prop_assert_eq!(&left[view.question], &question);
                prop_assert_eq!(calls_of(left), results_of(left), "a call was parted from its result");
                if let Some(last) = now.last() {
                    prop_assert!(left.ends_with(last), "the last exchange was left out");
                }
                // What is left is what there was, in its order, and the note.
                let own: Vec<&Message> =
                    left.iter().enumerate().filter(|(at, _)| !(view.has_note && *at == 1)).map(|(_, m)| m).collect();
                let mut rest = all.iter();
                prop_assert!(own.iter().all(|message| rest.any(|known| known == *message)), "the order changed");
                // Nothing goes that need not, and what may go has gone if it had to.
                if leave.range.is_empty() {
                    prop_assert_eq!(left.len(), before);
                } else {
                    prop_assert_eq!(left.len(), before - leaving + usize::from(had_note) + usize::from(!had_note));
                }
                prop_assert!(view.tokens(&[], &Words) <= target + 20 || view.units().is_empty());
            }
        }

        #[test]
        fn a_shortened_text_is_bounded_and_keeps_both_ends(text in "\\PC{0,2000}", most in 512_usize..1_000) {
            let short = shortened(&text, most);
            prop_assert!(short.len() <= most);
            if text.len() <= most {
                prop_assert_eq!(&short, &text);
            } else {
                prop_assert!(short.contains("bytes are left out here"));
                prop_assert_eq!(short.chars().next(), text.chars().next());
                prop_assert_eq!(short.chars().last(), text.chars().last());
            }
        }
    }

    #[test]
    fn results_are_squeezed_when_nothing_else_can_go() {
        let mut view = View::new(Some("s"), &[], Message::user("q"));
        view.extend(exchange(0, 0, 2, 5_000));
        assert!(view.units().is_empty());
        assert!(view.squeeze(&[], &Words, 500));
        assert!(view.tokens(&[], &Words) <= 500);
        assert_eq!(calls_of(view.messages()), results_of(view.messages()));

        let mut view = View::new(Some(&"word ".repeat(600)), &[], Message::user("q"));
        assert!(!view.squeeze(&[], &Words, 500), "a system prompt is not shortened");
    }
}
