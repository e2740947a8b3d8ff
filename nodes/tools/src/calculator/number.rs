//! Exact values and the operations on them, each bounded before it starts. Not their printing.

use super::error::{CalculatorError, Limit, Place};
use super::lexer::Operator;
use super::parser::Expression;
use super::{MAX_DIGITS, MAX_EXPONENT};
use num_bigint::BigInt;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

pub(crate) type Rational = num_rational::Ratio<BigInt>;

/// A fraction, and what must be known of how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    ratio: Rational,
    exact: bool,
    decimal: bool,
}

impl Value {
    pub(crate) fn ratio(&self) -> &Rational {
        &self.ratio
    }

    /// Whether no root had to be approximated on the way.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether a decimal number or a division took part (Python would have a float here).
    pub(crate) fn is_decimal(&self) -> bool {
        self.decimal
    }
}

/// Fixed-point digits while a root is approximated; what is kept of it; and below which distance, relative
/// to the operands, two approximated values count as equal. Each leaves room for the errors of the former.
const ROOT_DIGITS: u32 = 60;
const KEPT_DIGITS: usize = 40;
const EQUAL_DIGITS: u32 = 30;
/// Highest root that is tried for an exact result.
const EXACT_ROOT_MAX: u32 = 64;

enum Problem {
    Zero,
    NotReal,
    Large(Limit),
}

pub(crate) fn compute(expression: &Expression, source: &str) -> Result<Value, CalculatorError> {
    match expression {
        Expression::Number(digits) => Ok(literal(digits)),
        Expression::Negative(inner) => {
            let value = compute(inner, source)?;
            Ok(Value { ratio: -value.ratio, ..value })
        }
        Expression::Binary { operator, span, left, right } => {
            let (left, right) = (compute(left, source)?, compute(right, source)?);
            apply(*operator, &left, &right).map_err(|problem| {
                let place = || Place::new(source, span.clone());
                match problem {
                    Problem::Zero => CalculatorError::DivisionByZero { place: place() },
                    Problem::NotReal => CalculatorError::NotReal { place: place() },
                    Problem::Large(limit) => CalculatorError::TooLarge { limit },
                }
            })
        }
    }
}

fn literal(digits: &str) -> Value {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let numerator = BigInt::parse_bytes(all.as_bytes(), 10).unwrap_or_default();
    let decimals = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
    Value {
        ratio: Rational::new(numerator, power_of_ten(decimals)),
        exact: true,
        decimal: digits.contains('.'),
    }
}

fn apply(operator: Operator, left: &Value, right: &Value) -> Result<Value, Problem> {
    let (a, b) = (&left.ratio, &right.ratio);
    let mut exact = left.exact && right.exact;
    let mut decimal = left.decimal || right.decimal;
    let divides = matches!(operator, Operator::Divide | Operator::FloorDivide | Operator::Remainder);
    if divides && b.is_zero() {
        return Err(Problem::Zero);
    }
    let ratio = match operator {
        Operator::Add => settle(a + b, a, exact),
        Operator::Subtract => settle(a - b, a, exact),
        Operator::Multiply => a * b,
        Operator::Divide => {
            decimal = true;
            a / b
        }
        Operator::FloorDivide => floor_quotient(a, b, exact),
        Operator::Remainder => settle(a - b * floor_quotient(a, b, exact), a, exact),
        Operator::Power => {
            let (ratio, is_exact) = power(a, b)?;
            exact = exact && is_exact;
            decimal = decimal || !ratio.is_integer();
            ratio
        }
    };
    within_digits(&ratio)?;
    Ok(Value { ratio, exact, decimal })
}

/// Makes a difference of approximated values that cannot be told from zero be zero, so that
/// `1 ÷ ((2 ** 0.5) ** 2 - 2)` is a division by zero and not a huge number made of rounding errors.
fn settle(result: Rational, operand: &Rational, exact: bool) -> Rational {
    if !exact && result.abs() * power_of_ten(EQUAL_DIGITS) < operand.abs() {
        Rational::zero()
    } else {
        result
    }
}

/// `⌊a ÷ b⌋`; an approximated quotient next to a whole number is that number.
fn floor_quotient(a: &Rational, b: &Rational, exact: bool) -> Rational {
    let quotient = a / b;
    if exact {
        return quotient.floor();
    }
    let nearest = quotient.round();
    let distance = (&quotient - &nearest).abs() * power_of_ten(EQUAL_DIGITS);
    if distance < nearest.abs().max(Rational::one()) { nearest } else { quotient.floor() }
}

/// `base ** exponent` and whether that is exact.
fn power(base: &Rational, exponent: &Rational) -> Result<(Rational, bool), Problem> {
    if base.is_zero() && exponent.is_negative() {
        return Err(Problem::Zero);
    }
    if exponent.is_integer() {
        return whole_power(base, exponent.numer());
    }
    if base.is_negative() {
        return Err(Problem::NotReal);
    }
    if base.is_zero() || base.is_one() {
        return Ok((base.clone(), true));
    }
    let degree = exponent.denom().to_u32().filter(|degree| *degree <= EXACT_ROOT_MAX);
    if let Some(root) = degree.and_then(|degree| exact_root(base, degree)) {
        return whole_power(&root, exponent.numer());
    }
    let whole = exponent.floor();
    let rough = whole_power(base, whole.numer())?.0 * fractional_power(base, &(exponent - &whole));
    Ok((round_significant(&rough, KEPT_DIGITS), false))
}

/// `base ** exponent` for a whole exponent, and whether that is exact.
///
/// A power of a fraction soon has too many digits to be kept exactly although its value is ordinary
/// (`(1 + 0.05 ÷ 365) ** 3650`); it is approximated then. A whole number that is too long is refused.
fn whole_power(base: &Rational, exponent: &BigInt) -> Result<(Rational, bool), Problem> {
    if exponent.is_zero() || base.is_one() {
        return Ok((Rational::one(), true));
    }
    if base.is_zero() {
        return Ok((Rational::zero(), true));
    }
    if (-base).is_one() {
        return Ok((if exponent.bit(0) { base.clone() } else { Rational::one() }, true));
    }
    let times = exponent
        .magnitude()
        .to_u32()
        .filter(|times| *times <= MAX_EXPONENT)
        .ok_or(Problem::Large(Limit::Exponent))?;
    let invert = |power: Rational| if exponent.is_negative() { power.recip() } else { power };
    // A number of b bits is at least 2^(b-1), so its power has at least (b-1) × times bits.
    let bits = base.numer().bits().max(base.denom().bits()) - 1;
    if bits.saturating_mul(u64::from(times)) <= max_bits() {
        let power = Rational::new_raw(base.numer().pow(times), base.denom().pow(times));
        if within_digits(&power).is_ok() {
            return Ok((invert(power), true));
        }
    }
    if base.is_integer() || base.numer().magnitude().is_one() {
        return Err(Problem::Large(Limit::Digits));
    }
    Ok((invert(rounded_power(base, times)?), false))
}

/// `base ** times` by repeated squaring, to [`KEPT_DIGITS`]; the steps are rounded later, which
/// leaves room for their errors (each is multiplied by at most [`MAX_EXPONENT`]).
fn rounded_power(base: &Rational, times: u32) -> Result<Rational, Problem> {
    let mut power = Rational::one();
    for bit in (0..u32::BITS - times.leading_zeros()).rev() {
        power = &power * &power;
        if times >> bit & 1 == 1 {
            power *= base;
        }
        power = round_significant(&power, ROOT_DIGITS as usize);
        within_digits(&power)?;
    }
    Ok(round_significant(&power, KEPT_DIGITS))
}

fn exact_root(base: &Rational, degree: u32) -> Option<Rational> {
    let root_of = |number: &BigInt| {
        let root = number.nth_root(degree);
        (&Pow::pow(&root, degree) == number).then_some(root)
    };
    Some(Rational::new_raw(root_of(base.numer())?, root_of(base.denom())?))
}

/// `base ** fraction` for a positive base and a fraction between 0 and 1, to about [`KEPT_DIGITS`] digits.
///
/// With `fraction = Σ bᵢ 2⁻ⁱ` the result is the product of those repeated square roots of the base whose bit
/// is set. A base of at least 1 keeps every root at least 1, so fixed-point errors stay relative errors.
fn fractional_power(base: &Rational, fraction: &Rational) -> Rational {
    const BITS: u32 = 180;
    if *base < Rational::one() {
        return fractional_power(&base.recip(), fraction).recip();
    }
    let one = power_of_ten(ROOT_DIGITS);
    let mut root = (base * &one).to_integer();
    let mut product = one.clone();
    let mut rest = fraction.clone();
    for _ in 0..BITS {
        if rest.is_zero() {
            break;
        }
        root = (root * &one).sqrt();
        rest *= BigInt::from(2);
        if rest >= Rational::one() {
            rest -= Rational::one();
            product = product * &root / &one;
        }
    }
    Rational::new(product, one)
}

/// Rounds half away from zero to `digits` significant decimal digits.
pub(crate) fn round_significant(value: &Rational, digits: usize) -> Rational {
    if value.is_zero() {
        return value.clone();
    }
    let length = |number: &BigInt| i64::try_from(number.magnitude().to_string().len()).unwrap_or(i64::MAX);
    // The value lies strictly between 10^(above-1) and 10^(above+1).
    let above = length(value.numer()) - length(value.denom());
    let exponent = if value.abs() >= shift(&Rational::one(), above) { above } else { above - 1 };
    let places = i64::try_from(digits).unwrap_or(i64::MAX) - 1 - exponent;
    shift(&shift(value, places).round(), -places)
}

/// `value × 10^places`.
pub(crate) fn shift(value: &Rational, places: i64) -> Rational {
    let factor = power_of_ten(u32::try_from(places.unsigned_abs()).unwrap_or(u32::MAX));
    if places < 0 { value / factor } else { value * factor }
}

pub(crate) fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

fn max_bits() -> u64 {
    // The bits of the longest number with MAX_DIGITS digits: 1000 × log2(10) = 3321.9…
    (MAX_DIGITS as u64 * 3322).div_ceil(1000)
}

fn within_digits(value: &Rational) -> Result<(), Problem> {
    let bits = value.numer().bits().max(value.denom().bits());
    // Only a number of just as many bits needs the exact comparison.
    if bits < max_bits() {
        return Ok(());
    }
    let bound = power_of_ten(u32::try_from(MAX_DIGITS).unwrap_or(u32::MAX));
    if bits > max_bits() || value.numer().abs() >= bound || *value.denom() >= bound {
        return Err(Problem::Large(Limit::Digits));
    }
    Ok(())
}
