//! An exact calculator for one line of arithmetic: `+ - × ÷ // % **`, signs and parentheses.
//!
//! It is not a programming language: there are no names, calls, units or variables, so nothing but
//! arithmetic can be asked of it. All values are exact fractions of arbitrary precision; only what a decimal
//! number cannot hold (`1 ÷ 3`, `2 ** 0.5`) is rounded, and then it says so.
//!
//! | written as | meaning |
//! |---|---|
//! | `+`, `-`, `−`, `–` | addition, subtraction, sign |
//! | `*`, `×`, `·`, `⋅`, a free-standing `x` | multiplication |
//! | `/`, `÷`, `∕` | division (exact) |
//! | `//`, `%` | floor division and its remainder (the remainder has the sign of the divisor) |
//! | `**` | power; groups to the right and binds tighter than a sign on its left: `-2 ** 2` is −4 |
//!
//! Numbers may have thousands commas in groups of three (`1,234.5`).
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | length of the expression | [`MAX_CHARACTERS`] |
//! | nesting of parentheses, signs and powers | [`MAX_NESTING`] |
//! | digits of any value, above or below the fraction bar | [`MAX_DIGITS`] |
//! | exponent of a power | [`MAX_EXPONENT`] |
//! | digits of a rounded result | [`ROUNDED_DIGITS`] |
//!
//! The limits, not a clock, bound the time: each is checked before the work that it limits.

mod claims;
mod error;
mod lexer;
mod number;
mod parser;
mod print;
mod tool;

pub use claims::{Claim, Verdict, find_expressions};
pub use error::{CalculatorError, Limit, Place};
pub use tool::tool;

use number::{Rational, Value};
use std::fmt;

/// Longest accepted expression, in characters.
pub const MAX_CHARACTERS: usize = 1_000;
/// Deepest accepted nesting of parentheses, signs and powers.
pub const MAX_NESTING: usize = 64;
/// Most decimal digits that a numerator or denominator may have, also between two operations.
pub const MAX_DIGITS: usize = 1_000;
/// Largest absolute exponent of a power (unless the base is 0, 1 or −1).
pub const MAX_EXPONENT: u32 = 10_000;
/// Significant digits of a result that had to be rounded.
pub const ROUNDED_DIGITS: usize = 12;

/// The result of one expression.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Calculation {
    /// The expression in its normal form: `150 × 223.48`, without commas and needless parentheses.
    pub expression: String,
    /// The result as a plain decimal number: `33522`, `-0.5`. Never in exponent notation.
    pub value: String,
    /// The result with thousands commas: `33,522`.
    pub display: String,
    /// Whether `value` is the result exactly; otherwise it is rounded to [`ROUNDED_DIGITS`] significant digits.
    pub exact: bool,
    result: Value,
}

impl Calculation {
    /// The result in the shape that Python prints: `33522.0` where a decimal or `/` took part, else `33522`.
    ///
    /// Only the shape is Python's: the value is the exact one, without accumulated floating-point errors.
    #[must_use]
    pub fn classic(&self) -> String {
        print::classic(&self.result)
    }

    pub(crate) fn ratio(&self) -> &Rational {
        self.result.ratio()
    }
}

/// `150 × 223.48 = 33,522`, or with `≈` when the result is rounded.
impl fmt::Display for Calculation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.exact { '=' } else { '≈' };
        write!(f, "{} {sign} {}", self.expression, self.display)
    }
}

/// Computes one expression.
///
/// # Errors
///
/// [`CalculatorError`] when the text is not arithmetic, has no real result, or exceeds a limit.
///
/// # Examples
///
/// ```
/// use statewright_nodes_tools::calculator::evaluate;
///
/// let calculation = evaluate("150 × 223.48")?;
/// assert_eq!(calculation.value, "33522");
/// assert_eq!(calculation.to_string(), "150 × 223.48 = 33,522");
/// assert_eq!(calculation.classic(), "33522.0");
/// assert!(evaluate("__import__('os')").is_err());
/// # Ok::<(), statewright_nodes_tools::calculator::CalculatorError>(())
/// ```
pub fn evaluate(text: &str) -> Result<Calculation, CalculatorError> {
    calculate(&parser::parse(text)?, text)
}

fn calculate(expression: &parser::Expression, source: &str) -> Result<Calculation, CalculatorError> {
    let result = number::compute(expression, source)?;
    let (value, exact) = print::plain(&result);
    Ok(Calculation {
        expression: print::expression(expression),
        display: print::with_commas(&value),
        value,
        exact,
        result,
    })
}
