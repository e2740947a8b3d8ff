//! What can be wrong with an expression, where, and what to do. Not the evaluation itself.

use super::{MAX_CHARACTERS, MAX_DIGITS, MAX_EXPONENT, MAX_NESTING};
use std::fmt;
use std::ops::Range;

/// Why an expression has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalculatorError {
    /// Nothing but white space was given.
    #[error("the expression is empty: give arithmetic such as 150 × 223.48")]
    Empty,
    /// A piece of the expression stands where another kind of piece is needed.
    #[error("found {found} where {expected} was expected, {place}\n{hint}")]
    Unexpected {
        /// What stands there, in quotes, or "the end".
        found: String,
        /// What may stand there.
        expected: &'static str,
        /// Where.
        place: Place,
        /// What to do.
        hint: &'static str,
    },
    /// A name, a call or a sign that the calculator does not have.
    #[error("`{text}` is not arithmetic, {place}\n{hint}")]
    Unsupported {
        /// The offending text (at most 40 characters of it).
        text: String,
        /// Where.
        place: Place,
        /// What to do.
        hint: &'static str,
    },
    /// Something that starts like a number but is none.
    #[error("`{text}` is not a number: {reason}, {place}\nwrite numbers as 1234.5 or 1,234.5")]
    MalformedNumber {
        /// The offending text (at most 40 characters of it).
        text: String,
        /// What is wrong with it.
        reason: &'static str,
        /// Where.
        place: Place,
    },
    /// A division, floor division, remainder or negative power of zero.
    #[error("division by zero, {place}\nchange the right side of this operator so that it is not zero")]
    DivisionByZero {
        /// Where the operator stands.
        place: Place,
    },
    /// The expression is larger than the calculator takes.
    #[error("the expression is refused: {limit}; split it into smaller calculations")]
    TooLarge {
        /// Which limit.
        limit: Limit,
    },
    /// A fractional power of a negative number.
    #[error(
        "a fractional power of a negative number is not a real number, {place}\nuse a base that is not negative"
    )]
    NotReal {
        /// Where the operator stands.
        place: Place,
    },
}

impl CalculatorError {
    /// The stable code; its page is `docs/errors/<code>.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "SW-N301",
            Self::Unexpected { .. } => "SW-N302",
            Self::Unsupported { .. } => "SW-N303",
            Self::MalformedNumber { .. } => "SW-N304",
            Self::DivisionByZero { .. } => "SW-N305",
            Self::TooLarge { .. } => "SW-N306",
            Self::NotReal { .. } => "SW-N307",
        }
    }

    /// Where in the expression, if at one place.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Unexpected { place, .. }
            | Self::Unsupported { place, .. }
            | Self::MalformedNumber { place, .. }
            | Self::DivisionByZero { place }
            | Self::NotReal { place } => Some(place),
            Self::Empty | Self::TooLarge { .. } => None,
        }
    }
}

/// The limit that an expression exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// More than [`MAX_CHARACTERS`] characters.
    Characters,
    /// Nested deeper than [`MAX_NESTING`].
    Nesting,
    /// A value with more than [`MAX_DIGITS`] digits.
    Digits,
    /// An exponent above [`MAX_EXPONENT`].
    Exponent,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Characters => write!(f, "it is longer than {MAX_CHARACTERS} characters"),
            Self::Nesting => {
                write!(f, "its parentheses, signs and powers are nested deeper than {MAX_NESTING}")
            }
            Self::Digits => write!(f, "a value in it has more than {MAX_DIGITS} digits"),
            Self::Exponent => write!(f, "an exponent in it is larger than {MAX_EXPONENT}"),
        }
    }
}

/// A place in an expression, with a picture of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes of the expression, end exclusive; empty at its end.
    pub span: Range<usize>,
    /// Column of the first character, counted in characters from 1.
    pub column: usize,
    line: String,
    caret_at: usize,
}

impl Place {
    /// Characters of the expression shown before and after the place.
    const CONTEXT: usize = 40;

    pub(crate) fn new(source: &str, span: Range<usize>) -> Self {
        let before = source.get(..span.start).unwrap_or(source).chars().count();
        let skip = before.saturating_sub(Self::CONTEXT);
        let cleaned = source.chars().map(|c| if c.is_control() { ' ' } else { c });
        let line: String = cleaned.skip(skip).take(2 * Self::CONTEXT).collect();
        Self { span, column: before + 1, line: line.trim_end().to_owned(), caret_at: before - skip }
    }

    /// Two lines: (a part of) the expression, and a caret under the place.
    #[must_use]
    pub fn picture(&self) -> String {
        format!("  {}\n  {}^", self.line, " ".repeat(self.caret_at))
    }
}

/// `at column 7:` and the picture.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at column {}:\n{}", self.column, self.picture())
    }
}

/// The first characters of a text, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
