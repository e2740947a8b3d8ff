//! What a question asks for, by rules: arithmetic, something to look up, both or neither, and in what order.
//!
//! Dates, versions, times and ranges of years are not arithmetic, whatever digits and signs they have. Nothing is
//! computed here but to see whether arithmetic is well formed.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use statewright_nodes_tools::calculator::{CalculatorError, evaluate};

use crate::facts;

/// How a question is to be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Look something up.
    Research,
    /// Compute something.
    Calculate,
    /// Both, at the same time: the calculation needs nothing but the question.
    Both,
    /// Look something up, then compute with what was found.
    ResearchThenCalculate,
    /// Neither: a greeting, or nothing that says what is meant.
    #[default]
    Neither,
}

impl Plan {
    /// Whether documents are searched.
    #[must_use]
    pub fn researches(self) -> bool {
        matches!(self, Plan::Research | Plan::Both | Plan::ResearchThenCalculate)
    }

    /// Whether something is computed.
    #[must_use]
    pub fn calculates(self) -> bool {
        matches!(self, Plan::Calculate | Plan::Both | Plan::ResearchThenCalculate)
    }

    /// The plan for a question.
    ///
    /// ```
    /// use statewright_graphs::question::Plan;
    /// assert_eq!(Plan::of("What is 150 × 223.48?"), Plan::Calculate);
    /// assert_eq!(Plan::of("Was version 1.2-3 released before 2024-05-01?"), Plan::Research);
    /// ```
    #[must_use]
    pub fn of(question: &str) -> Self {
        let arithmetic = Arithmetic::of(question);
        let rest = match written(question) {
            Some(span) => format!("{} {}", &question[..span.start], &question[span.end..]),
            None => question.to_owned(),
        };
        let has_topic = words(&rest).any(|word| is_topic(&word, arithmetic != Arithmetic::None));
        match (arithmetic, has_topic) {
            (Arithmetic::None, false) => Plan::Neither,
            (Arithmetic::None, true) => Plan::Research,
            (Arithmetic::Complete, false) => Plan::Calculate,
            (Arithmetic::Complete, true) => Plan::Both,
            (Arithmetic::NeedsNumber, _) => Plan::ResearchThenCalculate,
        }
    }
}

/// The expression that the question writes in signs (`150 × 223.48`), or what is wrong with it.
///
/// `None` if there is none, or one that is also written in words (`150 × 2 plus 10`) or in a notation that the
/// calculator does not have (`15% of 80`, `√16`, `2^10`, `$5 × 2`): a model has to find that one.
#[must_use]
pub fn expression(question: &str) -> Option<Result<&str, CalculatorError>> {
    let span = written(question)?;
    let text = &question[span.clone()];
    if goes_on_beside(question, &span) {
        return None;
    }
    match evaluate(text) {
        Ok(_) => Some(Ok(text)),
        Err(_) if text.contains(['%', '^', '√']) || text.contains(CURRENCIES) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Whether the question computes with more than the expression at `span`, so that its value alone would be wrong.
fn goes_on_beside(question: &str, span: &Range<usize>) -> bool {
    let is_beside = |piece: &Piece<'_>| piece.range.end <= span.start || span.end <= piece.range.start;
    let lower = question.to_lowercase();
    // Lower case can change lengths, so pieces are told apart before their case is.
    let beside: Vec<String> =
        pieces(question).filter(is_beside).map(|piece| piece.core.to_lowercase()).collect();
    let is_sign = |piece: &String| {
        !is_opaque(piece)
            && piece.chars().all(is_arithmetic)
            && piece.contains(['+', '*', '×', '÷', '/', '^', '√'])
    };
    let text = format!(" {} ", beside.join(" "));
    let has = |phrase: &&str| text.contains(&format!(" {phrase} "));
    beside.iter().any(|piece| is_sign(piece) || BESIDE_NUMBER.contains(&piece.as_str()))
        || UNARY.iter().chain(BINARY).any(has)
        || lower.contains("sqrt(")
}

/// Whether an expression that a model read out of a question fails because of the question itself: its numbers are the
/// question's, and it is either written there or well formed, so that no other reading of the question would help.
#[must_use]
pub fn is_to_blame(question: &str, expression: &str, error: &CalculatorError) -> bool {
    let numbers = facts::numbers(question);
    let is_own = facts::written_numbers(expression).all(|number| numbers.contains(&facts::plain(number)));
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let is_well_formed = matches!(
        error,
        CalculatorError::DivisionByZero { .. }
            | CalculatorError::TooLarge { .. }
            | CalculatorError::NotReal { .. }
    );
    let is_written = !expression.trim().is_empty() && squeezed(question).contains(&squeezed(expression));
    is_own && (is_well_formed || is_written)
}

/// The words of a text in lower case, without the signs around them.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let edge = |c: char| !c.is_alphanumeric();
    let apart = |c: char| c.is_whitespace() || matches!(c, '/' | '—' | '’' | '\'' | '(' | ')' | '`');
    text.split(apart).map(move |word| word.trim_matches(edge).to_lowercase()).filter(|word| !word.is_empty())
}

/// Whether a word in lower case says nothing about what a text is about.
#[must_use]
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.contains(&word)
}

fn is_topic(word: &str, beside_arithmetic: bool) -> bool {
    let is_number = !word.chars().any(char::is_alphabetic);
    let only_asks = beside_arithmetic && ARITHMETIC_WORDS.contains(&word);
    !(is_number || only_asks || is_stop_word(word) || SMALL_TALK.contains(&word))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    None,
    /// All numbers stand in the question.
    Complete,
    /// At least one has to be found.
    NeedsNumber,
}

impl Arithmetic {
    fn of(question: &str) -> Self {
        if written(question).is_some() {
            return Arithmetic::Complete;
        }
        let lower = question.to_lowercase();
        let pieces: Vec<&str> = pieces(&lower).map(|piece| piece.core).collect();
        let numbers = pieces.iter().filter(|piece| starts_with_number(piece)).count();
        let text = format!(" {} ", pieces.join(" "));
        let has = |phrase: &&str| text.contains(&format!(" {phrase} "));
        let is_unary = UNARY.iter().any(&has) || text.contains('√') || text.contains("sqrt(");
        let is_binary = BINARY.iter().any(has) || text.contains("% of ");
        let near_number = |at: usize| {
            let near =
                |at: Option<usize>| at.and_then(|at| pieces.get(at)).is_some_and(|p| starts_with_number(p));
            near(at.checked_sub(1)) || near(Some(at + 1))
        };
        let operators = || pieces.iter().enumerate().filter(|(_, piece)| BESIDE_NUMBER.contains(piece));
        let operates = operators().any(|(at, _)| near_number(at));
        // `2 × 3 × the price`: what stands behind the operator has to be found.
        let lacks = operators().any(|(at, _)| {
            near_number(at) && pieces.get(at + 1).is_some_and(|next| !starts_with_number(next))
        });
        let asks = numbers > 0 && pieces.iter().any(|piece| ASKS.contains(piece));
        match (is_unary, is_binary || operates || asks) {
            (false, false) => Arithmetic::None,
            (_, true) if lacks => Arithmetic::NeedsNumber,
            (true, _) if numbers >= 1 => Arithmetic::Complete,
            (_, true) if numbers >= 2 => Arithmetic::Complete,
            _ => Arithmetic::NeedsNumber,
        }
    }
}

/// A word between spaces, without the punctuation around it.
struct Piece<'a> {
    core: &'a str,
    range: Range<usize>,
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut from = 0;
    text.split_inclusive(|c: char| c.is_whitespace() || c == '=').filter_map(move |chunk| {
        let start = from;
        from += chunk.len();
        let opened = chunk.trim_start_matches(['"', '\'', '“', '‘', '[']);
        let core = opened.trim_end_matches(|c: char| c.is_whitespace() || "?!.,;:=\"'”’]".contains(c));
        let start = start + chunk.len() - opened.len();
        (!core.is_empty()).then(|| Piece { core, range: start..start + core.len() })
    })
}

fn starts_with_number(piece: &str) -> bool {
    let digits = piece.trim_start_matches(['(', '$', '€', '£', '¥', '-', '−', '.']);
    digits.starts_with(|c: char| c.is_ascii_digit()) && !is_opaque(piece)
}

/// The bytes of the first arithmetic that is written in signs: numbers with an operator between them, or an operator
/// that lacks a number and cannot mean anything else.
fn written(question: &str) -> Option<Range<usize>> {
    let mut run: Option<Range<usize>> = None;
    for piece in pieces(question) {
        let belongs = !is_opaque(piece.core) && piece.core.chars().all(is_arithmetic);
        let ends_here = question[piece.range.end..].starts_with([',', ';', ':', '?', '!', '.', '=']);
        if belongs {
            let start = run.take().map_or(piece.range.start, |run| run.start);
            run = Some(start..piece.range.end);
        }
        if (!belongs || ends_here)
            && let Some(found) = run.take().and_then(|run| arithmetic_in(question, run, !belongs))
        {
            return Some(found);
        }
    }
    run.and_then(|run| arithmetic_in(question, run, false))
}

/// The arithmetic in a run of numbers and signs, without dashes and parentheses of the prose around it.
fn arithmetic_in(question: &str, run: Range<usize>, before_word: bool) -> Option<Range<usize>> {
    let (mut start, mut end) = (run.start, run.end);
    for dash in ["- ", "– ", "— ", "* ", "+ ", "/ "] {
        start += if question[start..end].starts_with(dash) { dash.len() } else { 0 };
    }
    if before_word {
        end = start + question[start..end].trim_end_matches([' ', '-', '–', 'x']).len();
    }
    let after_word = question[..start].trim_end().ends_with(char::is_alphanumeric);
    let operators = ['×', '÷', '*', '/', '+', '·', '∕'];
    if before_word && question[..end].ends_with(operators)
        || after_word && question[start..end].starts_with(operators)
    {
        // One side is a word: `150 × the price`, `3 apples × 2`.
        return None;
    }
    let balance = |text: &str| text.matches('(').count() as i64 - text.matches(')').count() as i64;
    if balance(question) == 0 {
        // The other one of the pair stands in the prose.
        while balance(&question[start..end]) > 0 && question[start..end].starts_with('(') {
            start += 1;
        }
        while balance(&question[start..end]) < 0 && question[start..end].ends_with(')') {
            end -= 1;
        }
    }
    let text = &question[start..end];
    let numbers = text
        .split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',')))
        .filter(|n| !n.is_empty())
        .count();
    let has_operator = text.trim_start_matches(['-', '−', '+']).contains(is_operator);
    let is_unmistakable = text.contains(['×', '÷', '*']) && !before_word;
    (has_operator && (numbers >= 2 || numbers == 1 && is_unmistakable)).then_some(start..end)
}

fn is_arithmetic(c: char) -> bool {
    c.is_ascii_digit()
        || is_operator(c)
        || matches!(c, '.' | ',' | '(' | ')' | '√')
        || CURRENCIES.contains(&c)
}

fn is_operator(c: char) -> bool {
    matches!(c, '+' | '-' | '−' | '–' | '*' | '×' | '·' | '⋅' | 'x' | 'X' | '/' | '÷' | '∕' | '%' | '^')
}

/// Whether a word is something other than arithmetic, whatever digits and signs it has.
fn is_opaque(word: &str) -> bool {
    let is_product = || {
        let mut factors = word.split(['x', 'X']);
        word != "x"
            && word != "X"
            && !word.starts_with("0x")
            && factors
                .all(|f| f.starts_with(|c: char| c.is_ascii_digit()) && !f.contains(char::is_alphabetic))
    };
    let is_sign = word == "x" || word == "X";
    let has_letters = word.contains(char::is_alphabetic);
    (has_letters && !is_sign && !is_product()) || is_version(word) || is_date_or_time(word)
}

/// `1.2.3`, `192.168.0.1`, `1.2-3`, `1.2.3-4`.
fn is_version(word: &str) -> bool {
    let (upstream, revision) = word.split_once('-').map_or((word, None), |(front, back)| (front, Some(back)));
    let is_numbers = upstream.split('.').all(is_digits) && revision.is_none_or(is_digits);
    match upstream.matches('.').count() {
        0 => false,
        1 => is_numbers && revision.is_some(),
        _ => is_numbers,
    }
}

/// `2024-05-01`, `1/5/2024`, `2024-05`, `2019-2021`, `10:30`, `24/7`.
fn is_date_or_time(word: &str) -> bool {
    if word == "24/7" || word.contains(':') {
        return true;
    }
    let is_year =
        |part: &str| part.len() == 4 && part.parse().is_ok_and(|year: u16| (1900..=2100).contains(&year));
    let is_short = |part: &str| is_digits(part) && part.len() <= 2;
    ['-', '/', '.', '–'].into_iter().any(|separator| {
        match word.split(separator).collect::<Vec<_>>().as_slice() {
            [year, month, day] | [day, month, year] if is_year(year) => is_short(month) && is_short(day),
            [year, other] if separator != '/' && separator != '.' && is_year(year) => {
                is_year(other)
                    || other.len() == 2 && other.parse().is_ok_and(|month: u8| (1..=12).contains(&month))
            }
            _ => false,
        }
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

const CURRENCIES: [char; 4] = ['$', '€', '£', '¥'];

/// Phrases that compute with one number.
const UNARY: &[&str] =
    &["square root of", "squared", "cubed", "double the", "twice the", "half of", "half the"];

/// Phrases that compute with two numbers, wherever they stand.
const BINARY: &[&str] = &[
    "multiplied by",
    "multiplied with",
    "divided by",
    "percent of",
    "per cent of",
    "sum of",
    "product of",
    "difference between",
    "quotient of",
    "average of",
    "to the power of",
    "raised to",
];

/// Words that compute only beside a number: `how many times does it retry` is no arithmetic.
const BESIDE_NUMBER: &[&str] = &[
    "times", "plus", "minus", "mod", "modulo", "x", "×", "*", "÷", "add", "subtract", "multiply", "divide",
    "+", "/",
];

/// Words that ask for a calculation, if there is a number to calculate with.
const ASKS: &[&str] = &["calculate", "compute", "evaluate"];

/// Words that, beside arithmetic, only ask for its value.
const ARITHMETIC_WORDS: &[&str] = &[
    "add",
    "added",
    "answer",
    "average",
    "calculate",
    "calculation",
    "cent",
    "compute",
    "cubed",
    "difference",
    "divide",
    "divided",
    "double",
    "equal",
    "equals",
    "evaluate",
    "exact",
    "exactly",
    "expression",
    "half",
    "minus",
    "mod",
    "modulo",
    "multiplied",
    "multiply",
    "number",
    "per",
    "percent",
    "percentage",
    "plus",
    "power",
    "product",
    "quotient",
    "raised",
    "result",
    "root",
    "sqrt",
    "square",
    "squared",
    "subtract",
    "sum",
    "times",
    "total",
    "twice",
    "value",
    "worth",
    "x",
];

/// Words of greetings and thanks: nothing to look up.
const SMALL_TALK: &[&str] = &[
    "afternoon",
    "bye",
    "evening",
    "goodbye",
    "good",
    "hello",
    "hey",
    "hi",
    "morning",
    "night",
    "ok",
    "okay",
    "thank",
    "thanks",
    "yes",
];

const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been",
    "before", "being", "but", "by", "can", "could", "did", "do", "does", "don", "each", "explain", "find",
    "for", "from", "get", "give", "had", "has", "have", "he", "her", "here", "his", "how", "i", "if", "in",
    "into", "is", "it", "its", "just", "know", "let", "like", "ll", "make", "many", "may", "me", "mean",
    "means", "might", "more", "most", "much", "must", "my", "need", "no", "nor", "not", "now", "of", "off",
    "on", "one", "only", "or", "other", "our", "out", "over", "please", "re", "s", "say", "shall", "she",
    "should", "so", "some", "such", "t", "tell", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "to", "too", "until", "up", "us", "ve", "very", "was", "we", "were",
    "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will", "with", "would", "you",
    "your",
];
