//! Finds claims such as `150 × 223.48 = 33,522` in prose and recomputes them.
//!
//! It reads arithmetic only: words, units and variables end an expression, and `x = 5` is no claim.

use super::error::CalculatorError;
use super::number::{Rational, shift};
use super::parser::{Expression, parse};
use super::{Calculation, calculate};
use num_traits::Signed;
use std::ops::Range;

/// Most bytes of prose looked at on each side of a sign such as `=`.
const SIDE_BYTES: usize = 400;
/// Most claims returned for one text.
const CLAIMS_MAX: usize = 200;
/// Most places of one text at which reading an expression is tried.
const TRIES_MAX: usize = 20_000;
/// What may connect an expression with its claimed value.
const CONNECTIVES: [(&str, bool); 7] = [
    ("==", false),
    ("=", false),
    ("≈", true),
    ("≅", true),
    ("equals", false),
    ("is", false),
    ("makes", false),
];
const CURRENCIES: [char; 4] = ['$', '€', '£', '¥'];

/// One claim in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// Bytes of the text from the start of the expression to the end of the claimed value.
    pub span: Range<usize>,
    /// The expression, as written.
    pub expression: String,
    /// The claimed value, as written (a number, or another expression).
    pub claimed: String,
    /// What recomputing found.
    pub verdict: Verdict,
}

impl Claim {
    /// Whether the claimed value is the result, or a correct rounding of it.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self.verdict, Verdict::Exact | Verdict::Rounded(_))
    }
}

/// What recomputing a claim found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The claimed value is the result.
    Exact,
    /// The claimed value is the result, correctly rounded: to the decimals that it shows or, after `≈`, to
    /// the digits before its trailing zeros.
    Rounded(Calculation),
    /// The claimed value is something else than the result, which is given.
    Wrong(Calculation),
    /// One of the two sides cannot be computed.
    NotComputable(CalculatorError),
}

/// Finds every claim `expression = value` in a text and recomputes it, in the order of the text.
///
/// A claim has at least one operator on its left side. Its signs are `=`, `≈` or the words `equals`, `is`,
/// `makes`; bold or code marks and currency signs around the sides are skipped. At most 200 claims are
/// returned, and the search ends after 20,000 places that looked like an expression but are none. Both sides
/// stand on one line each and have at most 400 bytes; longer ones are not claims.
///
/// ```
/// use statewright_nodes_tools::calculator::find_expressions;
///
/// let claims = find_expressions("So 150 × 223.48 = **33,522**, and 2 + 2 is 5.");
/// assert!(claims[0].holds());
/// assert!(!claims[1].holds());
/// assert_eq!(claims[1].claimed, "5");
/// ```
#[must_use]
pub fn find_expressions(text: &str) -> Vec<Claim> {
    let mut claims = Vec::new();
    // The earliest byte at which the next left side may start: behind the last connective.
    let mut from = 0;
    let mut at = 0;
    let mut tries = TRIES_MAX;
    while at < text.len() && claims.len() < CLAIMS_MAX && tries > 0 {
        let Some((length, approximate)) = connective_at(text, at) else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let after = at + length;
        claims.extend(claim_at(text, from, at..after, approximate, &mut tries));
        (from, at) = (after, after);
    }
    claims
}

fn connective_at(text: &str, at: usize) -> Option<(usize, bool)> {
    let rest = &text[at..];
    let (sign, approximate) = CONNECTIVES.into_iter().find(|(sign, _)| rest.starts_with(sign))?;
    let is_word = sign.starts_with(|c: char| c.is_alphabetic());
    let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if is_word && (joined(text[..at].chars().next_back()) || joined(rest[sign.len()..].chars().next())) {
        return None;
    }
    Some((sign.len(), approximate))
}

fn claim_at(
    text: &str,
    from: usize,
    sign: Range<usize>,
    approximate: bool,
    tries: &mut usize,
) -> Option<Claim> {
    let (left, expression) = left_side(text, from, sign.start, tries)?;
    let (right, value) = right_side(text, sign.end, tries)?;
    let expression_text = &text[left.clone()];
    let claimed_text = &text[right.clone()];
    let verdict = match (calculate(&expression, expression_text), calculate(&value, claimed_text)) {
        (Err(error), _) | (_, Err(error)) => Verdict::NotComputable(error),
        (Ok(actual), Ok(claimed)) => judge(actual, &claimed, approximate),
    };
    Some(Claim {
        span: left.start..right.end,
        expression: expression_text.to_owned(),
        claimed: claimed_text.to_owned(),
        verdict,
    })
}

fn judge(actual: Calculation, claimed: &Calculation, approximate: bool) -> Verdict {
    let distance = (actual.ratio() - claimed.ratio()).abs();
    let is_same = actual.ratio() == claimed.ratio();
    if is_same && actual.exact {
        return Verdict::Exact;
    }
    let twice = distance * num_bigint::BigInt::from(2);
    if is_same || rounding_unit(&claimed.expression, approximate).is_some_and(|unit| twice <= unit) {
        return Verdict::Rounded(actual);
    }
    if actual.value == claimed.value { Verdict::Rounded(actual) } else { Verdict::Wrong(actual) }
}

/// One unit in the last place of a claimed number; none if it may not be a rounded one.
fn rounding_unit(number: &str, approximate: bool) -> Option<Rational> {
    let digits = number.trim_start_matches('-');
    if digits.contains(|c: char| !(c.is_ascii_digit() || c == '.')) {
        return None;
    }
    let places = match digits.split_once('.') {
        Some((_, fraction)) => -i64::try_from(fraction.len()).ok()?,
        None if approximate => i64::try_from(digits.len() - digits.trim_end_matches('0').len()).ok()?,
        None => return None,
    };
    Some(shift(&Rational::from_integer(1.into()), places))
}

/// The longest expression with an operator that ends just before the byte `end`.
fn left_side(text: &str, from: usize, end: usize, tries: &mut usize) -> Option<(Range<usize>, Expression)> {
    let end = text[..end].trim_end_matches(is_decoration).len();
    let mut start = end;
    for (at, c) in text[..end].char_indices().rev() {
        if at < from || c == '\n' || !may_stand_in_expression(text, at, c) {
            break;
        }
        // Computing only the end of an expression would call a correct claim wrong.
        if end - at > SIDE_BYTES {
            return None;
        }
        start = at;
    }
    let window = without_currency(&text[start..end]);
    for (at, c) in window.char_indices() {
        // The window has spaces for the bytes of a currency sign, so a place in it may lie inside one in the text.
        if !text.is_char_boundary(start + at) {
            continue;
        }
        let before = text[..start + at].chars().next_back();
        if !may_start(c, before, &window[at + c.len_utf8()..]) {
            continue;
        }
        *tries = tries.checked_sub(1)?;
        if let Ok(expression) = parse(&window[at..])
            && has_operator(&expression)
        {
            return Some((start + at..end, expression));
        }
    }
    None
}

fn has_operator(expression: &Expression) -> bool {
    match expression {
        Expression::Number(_) => false,
        Expression::Negative(inner) => has_operator(inner),
        Expression::Binary { .. } => true,
    }
}

/// The longest expression, or number, that starts just after the byte `from`.
fn right_side(text: &str, from: usize, tries: &mut usize) -> Option<(Range<usize>, Expression)> {
    let rest = &text[from..];
    let start = from + (rest.len() - rest.trim_start_matches(|c| is_decoration(c) || c == '~').len());
    // White space may pass a line end before the value, but decoration of another paragraph is not a value.
    if text[from..start].matches('\n').count() > 1 {
        return None;
    }
    let mut end = start;
    for (at, c) in text[start..].char_indices() {
        if at > SIDE_BYTES || c == '\n' || !may_stand_in_expression(text, start + at, c) {
            break;
        }
        end = start + at + c.len_utf8();
    }
    let window = without_currency(&text[start..end]);
    let ends = window.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
    for length in ends {
        if !window[..length].ends_with(|c: char| c.is_ascii_digit() || c == ')') {
            continue;
        }
        *tries = tries.checked_sub(1)?;
        if let Ok(expression) = parse(&window[..length]) {
            let joined = text[start + length..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
            return (!joined).then_some((start..start + length, expression));
        }
    }
    None
}

/// Marks that stand around a side and mean nothing here; a value may carry its currency.
fn is_decoration(c: char) -> bool {
    c.is_whitespace() || matches!(c, '*' | '_' | '`') || CURRENCIES.contains(&c)
}

fn may_stand_in_expression(text: &str, at: usize, c: char) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    match c {
        '0'..='9' | '.' | ',' | '(' | ')' | '%' => true,
        '+' | '-' | '−' | '–' | '*' | '×' | '·' | '⋅' | '/' | '÷' | '∕' => true,
        'x' | 'X' => !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + 1..].chars().next()),
        _ => c.is_whitespace() || CURRENCIES.contains(&c),
    }
}

/// Whether an expression may start with `c`: not inside a word or number, and not at the bullet of a list.
fn may_start(c: char, before: Option<char>, after: &str) -> bool {
    if before.is_some_and(|b| b.is_alphanumeric() || matches!(b, '_' | '.' | ',')) {
        return false;
    }
    match c {
        '-' | '−' | '+' => !after.starts_with(char::is_whitespace),
        _ => c.is_ascii_digit() || matches!(c, '.' | '('),
    }
}

/// Replaces each currency sign by as many spaces as it has bytes, so that positions stay.
fn without_currency(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if CURRENCIES.contains(&c) {
            clean.extend(std::iter::repeat_n(' ', c.len_utf8()));
        } else {
            clean.push(c);
        }
    }
    clean
}
