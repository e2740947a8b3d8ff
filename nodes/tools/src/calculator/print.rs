//! Values and expressions as text. Computes nothing but digits.

use super::lexer::Operator;
use super::number::{Rational, Value, power_of_ten, round_significant};
use super::parser::Expression;
use super::{MAX_DIGITS, ROUNDED_DIGITS};
use num_bigint::BigInt;
use num_traits::{One, Signed, Zero};

/// A value as a plain decimal number, and whether that is the value exactly.
pub(crate) fn plain(value: &Value) -> (String, bool) {
    if value.is_exact()
        && let Some(text) = terminating(value.ratio())
    {
        return (text, true);
    }
    let rounded = round_significant(value.ratio(), ROUNDED_DIGITS);
    (terminating_unbounded(&rounded), false)
}

/// The decimal digits of a fraction, if they end within [`MAX_DIGITS`] places.
fn terminating(ratio: &Rational) -> Option<String> {
    let places = decimal_places(ratio)?;
    (places <= MAX_DIGITS).then(|| digits(ratio, places))
}

/// The digits of a rounded fraction, whose denominator divides a power of ten.
fn terminating_unbounded(ratio: &Rational) -> String {
    digits(ratio, decimal_places(ratio).unwrap_or_default())
}

/// Decimal places needed to write the fraction exactly: the larger count of 2 and 5 in its denominator.
fn decimal_places(ratio: &Rational) -> Option<usize> {
    let five = BigInt::from(5);
    let twos = ratio.denom().trailing_zeros().unwrap_or_default();
    let mut rest = ratio.denom() >> twos;
    let mut fives = 0_u64;
    while (&rest % &five).is_zero() {
        rest /= &five;
        fives += 1;
    }
    if rest.is_one() { usize::try_from(twos.max(fives)).ok() } else { None }
}

fn digits(ratio: &Rational, places: usize) -> String {
    let scale = power_of_ten(u32::try_from(places).unwrap_or(u32::MAX));
    let scaled = (ratio * scale).to_integer();
    let mut text = format!("{:0>width$}", scaled.magnitude().to_string(), width = places + 1);
    if places > 0 {
        text.insert(text.len() - places, '.');
    }
    if scaled.is_negative() {
        text.insert(0, '-');
    }
    text
}

/// Puts a comma before each group of three digits of the whole part.
pub(crate) fn with_commas(plain: &str) -> String {
    let (sign, number) = plain.strip_prefix('-').map_or(("", plain), |rest| ("-", rest));
    let whole_length = number.find('.').unwrap_or(number.len());
    let (whole, fraction) = number.split_at(whole_length);
    let mut text = sign.to_owned();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole_length - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// The value as Python prints an `int` or a `float`.
pub(crate) fn classic(value: &Value) -> String {
    // Seventeen digits name every double; some more keep the detour over text from rounding twice.
    const DIGITS: usize = 30;
    if !value.is_decimal() {
        return plain(value).0;
    }
    let text = terminating_unbounded(&round_significant(value.ratio(), DIGITS));
    let Ok(double) = text.parse::<f64>() else { return text };
    let scientific = format!("{double:e}");
    let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok());
    match exponent {
        Some(exponent) if double != 0.0 && !(-4..16).contains(&exponent) => {
            let mantissa = scientific.split('e').next().unwrap_or_default();
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ if double.fract() == 0.0 => format!("{double:.1}"),
        _ => format!("{double}"),
    }
}

/// An expression in its normal form, with the fewest parentheses.
pub(crate) fn expression(expression: &Expression) -> String {
    let mut text = String::new();
    write(expression, 0, &mut text);
    text
}

const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const SIGNED: u8 = 3;
const POWER: u8 = 4;
const ATOM: u8 = 5;

/// Appends `expression`, in parentheses if it binds weaker than `needed`.
fn write(expression: &Expression, needed: u8, text: &mut String) {
    let own = binding(expression);
    if own < needed {
        text.push('(');
        write(expression, 0, text);
        text.push(')');
        return;
    }
    match expression {
        Expression::Number(digits) => text.push_str(digits),
        Expression::Negative(inner) => {
            text.push('-');
            write(inner, SIGNED, text);
        }
        Expression::Binary { operator, left, right, .. } => {
            let (on_left, on_right) = if own == POWER { (ATOM, SIGNED) } else { (own, own + 1) };
            write(left, on_left, text);
            text.push(' ');
            text.push_str(operator.symbol());
            text.push(' ');
            write(right, on_right, text);
        }
    }
}

fn binding(expression: &Expression) -> u8 {
    match expression {
        Expression::Number(_) => ATOM,
        Expression::Negative(_) => SIGNED,
        Expression::Binary { operator, .. } => match operator {
            Operator::Add | Operator::Subtract => SUM,
            Operator::Power => POWER,
            _ => PRODUCT,
        },
    }
}
