//! Cuts an expression into numbers, operators and parentheses. Knows nothing of precedence.

use super::error::{CalculatorError, Limit, Place, excerpt};
use super::{MAX_CHARACTERS, MAX_DIGITS};
use std::ops::Range;

/// One piece of an expression and its bytes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Digits with at most one inner point, without commas: `1234.5`.
    Number(String),
    Operator(Operator),
    Open,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
}

impl Operator {
    /// The one way in which expressions are printed.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "×",
            Self::Divide => "÷",
            Self::FloorDivide => "//",
            Self::Remainder => "%",
            Self::Power => "**",
        }
    }
}

pub(crate) fn tokens(source: &str) -> Result<Vec<Token>, CalculatorError> {
    if source.chars().nth(MAX_CHARACTERS).is_some() {
        return Err(CalculatorError::TooLarge { limit: Limit::Characters });
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (kind, length) = token_at(source, at, c)?;
        found.push(Token { kind, span: at..at + length });
        at += length;
    }
    Ok(found)
}

fn token_at(source: &str, at: usize, c: char) -> Result<(TokenKind, usize), CalculatorError> {
    use Operator as O;
    let rest = &source[at..];
    if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|d: char| d.is_ascii_digit())) {
        return number_at(source, at);
    }
    for (text, operator) in [("**", O::Power), ("//", O::FloorDivide)] {
        if rest.starts_with(text) {
            return Ok((TokenKind::Operator(operator), text.len()));
        }
    }
    let kind = match c {
        '+' => TokenKind::Operator(O::Add),
        '-' | '−' | '–' => TokenKind::Operator(O::Subtract),
        '*' | '×' | '·' | '⋅' => TokenKind::Operator(O::Multiply),
        '/' | '÷' | '∕' => TokenKind::Operator(O::Divide),
        '%' => TokenKind::Operator(O::Remainder),
        '(' => TokenKind::Open,
        ')' => TokenKind::Close,
        'x' | 'X' if word_length(rest) == 1 || rest[1..].starts_with(|d: char| d.is_ascii_digit()) => {
            TokenKind::Operator(O::Multiply)
        }
        _ => return Err(unsupported(source, at, c)),
    };
    Ok((kind, c.len_utf8()))
}

fn unsupported(source: &str, at: usize, c: char) -> CalculatorError {
    let length = word_length(&source[at..]).max(c.len_utf8());
    let hint = match c {
        '^' => "for a power write **",
        '√' => "for a square root write ** 0.5",
        '=' | '?' => "give only the expression, without = and without a question",
        '[' | ']' | '{' | '}' => "group with ( and )",
        '$' | '€' | '£' | '¥' => "leave currency signs out",
        _ => "use only numbers, + - × ÷ // % **, and parentheses",
    };
    let span = at..at + length;
    CalculatorError::Unsupported {
        text: excerpt(&source[span.clone()]),
        place: Place::new(source, span),
        hint,
    }
}

/// Bytes of the word (letters, digits, underscores) that `text` starts with.
fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn number_at(source: &str, at: usize) -> Result<(TokenKind, usize), CalculatorError> {
    let rest = &source[at..];
    let is_inner = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
    let mut length = rest.find(|c| !is_inner(c)).unwrap_or(rest.len());
    let mut problem = grouping_problem(&rest[..length]);
    // `0x10` is a hexadecimal number elsewhere; reading it as 0 × 10 would be a silent surprise.
    let tail = &rest[length..];
    if &rest[..length] == "0" && tail.starts_with(['x', 'X']) && word_length(tail) > 1 {
        length += word_length(tail);
        problem = Some("hexadecimal numbers are not supported");
    }
    if let Some(reason) = problem {
        let span = at..at + length;
        return Err(CalculatorError::MalformedNumber {
            text: excerpt(&rest[..length]),
            reason,
            place: Place::new(source, span),
        });
    }
    let mut digits = rest[..length].replace(',', "");
    if digits.starts_with('.') {
        digits.insert(0, '0');
    }
    if digits.len() > MAX_DIGITS {
        return Err(CalculatorError::TooLarge { limit: Limit::Digits });
    }
    Ok((TokenKind::Number(digits), length))
}

/// What is wrong with a text of digits, commas and points.
fn grouping_problem(text: &str) -> Option<&'static str> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    if let Some(fraction) = fraction {
        if fraction.contains('.') {
            return Some("it has more than one decimal point");
        }
        if fraction.contains(',') {
            return Some("a comma stands after the decimal point");
        }
        if fraction.is_empty() {
            return Some("no digit follows the decimal point");
        }
    }
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let mut others = groups.peekable();
    others.peek()?;
    if first.is_empty() || first.len() > 3 || first.starts_with('0') || others.any(|g| g.len() != 3) {
        return Some("its commas do not separate groups of three digits");
    }
    None
}
