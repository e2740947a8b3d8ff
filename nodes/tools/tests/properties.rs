//! The calculator against an independent oracle, and against arbitrary text.

use proptest::prelude::*;
use statewright_nodes_tools::calculator::{evaluate, find_expressions};

/// A fraction of `i128`, reduced, denominator positive; `None` on overflow or division by zero.
type Fraction = (i128, i128);

#[derive(Clone, Debug)]
enum Tree {
    /// Hundredths.
    Number(i64),
    Negative(Box<Tree>),
    Binary(char, Box<Tree>, Box<Tree>),
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

fn fraction(numerator: i128, denominator: i128) -> Option<Fraction> {
    let divisor = gcd(numerator, denominator).checked_mul(denominator.signum())?;
    (divisor != 0).then(|| (numerator / divisor, denominator / divisor))
}

fn oracle(tree: &Tree) -> Option<Fraction> {
    match tree {
        Tree::Number(hundredths) => fraction(i128::from(*hundredths), 100),
        Tree::Negative(inner) => oracle(inner).map(|(n, d)| (-n, d)),
        Tree::Binary(operator, left, right) => {
            let ((a, b), (c, d)) = (oracle(left)?, oracle(right)?);
            let quotient = || fraction(a.checked_mul(d)?, b.checked_mul(c)?);
            let floor = || quotient().map(|(n, d)| n.div_euclid(d));
            match operator {
                '+' => fraction(a.checked_mul(d)?.checked_add(c.checked_mul(b)?)?, b.checked_mul(d)?),
                '-' => fraction(a.checked_mul(d)?.checked_sub(c.checked_mul(b)?)?, b.checked_mul(d)?),
                '*' => fraction(a.checked_mul(c)?, b.checked_mul(d)?),
                '/' => quotient(),
                'f' => fraction(floor()?, 1),
                _ => {
                    let (n, m) = (c.checked_mul(floor()?)?, d);
                    fraction(a.checked_mul(m)?.checked_sub(n.checked_mul(b)?)?, b.checked_mul(m)?)
                }
            }
        }
    }
}

/// Fully parenthesised, so that the oracle needs no precedence.
fn write(tree: &Tree) -> String {
    match tree {
        Tree::Number(hundredths) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        Tree::Negative(inner) => format!("(-{})", write(inner)),
        Tree::Binary(operator, left, right) => {
            let symbol = if *operator == 'f' { "//".to_owned() } else { operator.to_string() };
            format!("({}{symbol}{})", write(left), write(right))
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (0_i64..1_000_000).prop_map(Tree::Number);
    leaf.prop_recursive(5, 24, 2, |inner| {
        let operator = prop::sample::select(vec!['+', '-', '*', '/', 'f', '%']);
        prop_oneof![
            1 => inner.clone().prop_map(|t| Tree::Negative(Box::new(t))),
            6 => (operator, inner.clone(), inner)
                .prop_map(|(o, a, b)| Tree::Binary(o, Box::new(a), Box::new(b))),
        ]
    })
}

/// The decimal text of a fraction, exact or to 12 significant digits, by schoolbook long division.
fn decimal((numerator, denominator): Fraction) -> Option<(String, bool)> {
    let mut digits = (numerator.abs() / denominator).to_string();
    let mut rest = numerator.abs() % denominator;
    let sign = if numerator < 0 { "-" } else { "" };
    if rest == 0 {
        return Some((format!("{sign}{digits}"), true));
    }
    digits.push('.');
    for _ in 0..60 {
        rest = rest.checked_mul(10)?;
        digits.push(char::from_digit(u32::try_from(rest / denominator).ok()?, 10)?);
        rest %= denominator;
        if rest == 0 {
            return Some((format!("{sign}{digits}"), true));
        }
    }
    Some((format!("{sign}{digits}"), false))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_with_the_oracle(tree in tree()) {
        let text = write(&tree);
        prop_assume!(text.chars().count() <= 1000);
        let Some(expected) = oracle(&tree) else { return Ok(()) };
        let calculation = evaluate(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let Some((digits, terminates)) = decimal(expected) else { return Ok(()) };
        if terminates {
            prop_assert_eq!((&calculation.value, calculation.exact), (&digits, true), "{}", text);
        } else {
            // Rounded: within one unit of its own last digit, compared as text of the oracle's long division.
            let (ours, exact_value) = (calculation.value.parse::<f64>(), digits.parse::<f64>());
            let (ours, exact_value) = (ours.expect("a number"), exact_value.expect("a number"));
            prop_assert!((ours - exact_value).abs() <= exact_value.abs() * 1e-11, "{text}: {ours} {exact_value}");
        }
    }

    #[test]
    fn printing_then_parsing_is_the_identity(tree in tree()) {
        let text = write(&tree);
        if let Ok(first) = evaluate(&text) {
            let again = evaluate(&first.expression).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(&again, &first);
            let plain = evaluate(&first.value).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(&plain.value, &first.value);
            let display = evaluate(&first.display).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(&display.value, &first.value);
        }
    }

    #[test]
    fn powers_agree_with_repeated_multiplication(base in -40_i128..40, exponent in 0_u32..20) {
        let expected = base.pow(exponent).to_string();
        prop_assert_eq!(evaluate(&format!("({base}) ** {exponent}")).map(|c| c.value), Ok(expected));
    }

    #[test]
    fn roots_agree_with_floats(base in 0.001_f64..1e6, exponent in -3.0_f64..3.0) {
        let text = format!("{base:.6} ** {exponent:.3}");
        let (base, exponent) = (format!("{base:.6}"), format!("{exponent:.3}"));
        let expected = base.parse::<f64>().expect("float").powf(exponent.parse().expect("float"));
        let ours: f64 = evaluate(&text).expect("in range").value.parse().expect("float");
        prop_assert!((ours - expected).abs() <= expected.abs() * 1e-10, "{text}: {ours} {expected}");
    }

    #[test]
    fn never_panics_on_any_text(text in ".{0,200}") {
        if let Err(error) = evaluate(&text) {
            prop_assert!(error.code().starts_with("SW-N30"));
            if let Some(place) = error.place() {
                prop_assert!(text.get(place.span.clone()).is_some());
            }
        }
    }

    #[test]
    fn never_panics_on_almost_arithmetic(text in "[0-9.,+*/%() x×÷=≈$a-]{0,120}") {
        let _ = evaluate(&text);
        let mut end = 0;
        for claim in find_expressions(&text) {
            prop_assert!(text.get(claim.span.clone()).is_some());
            prop_assert!(text[claim.span.clone()].starts_with(&claim.expression));
            prop_assert!(text[claim.span.clone()].ends_with(&claim.claimed));
            prop_assert!(claim.span.end >= end);
            end = claim.span.end;
        }
    }

    #[test]
    fn a_correct_claim_holds_and_a_wrong_one_does_not(tree in tree()) {
        let text = write(&tree);
        prop_assume!(text.len() <= 150 && matches!(tree, Tree::Binary(..)));
        let Ok(calculation) = evaluate(&text) else { return Ok(()) };
        prop_assume!(calculation.value.len() < 100);
        let right = find_expressions(&format!("Thus {text} = {}.", calculation.display));
        prop_assert!(matches!(right.as_slice(), [claim] if claim.holds()), "{text}: {right:?}");
        let wrong = find_expressions(&format!("Thus {text} = {}.", evaluate(&format!("{}+3", calculation.value)).expect("sum").display));
        prop_assert!(matches!(wrong.as_slice(), [claim] if !claim.holds()), "{text}: {wrong:?}");
    }
}

#[test]
fn hostile_texts_are_bounded_by_limits() {
    let deep_power = format!("9{}", "**9".repeat(63));
    let big = "(10**900/7**900)";
    let many = std::iter::repeat_n(big, 60).collect::<Vec<_>>().join("*");
    let nested = "(".repeat(100_000);
    let spans = "1+1=".repeat(20_000);
    let open = format!("{}=1 ", "1+(".repeat(60)).repeat(300);
    for text in [deep_power.as_str(), &many, &nested, &spans, &open] {
        assert!(evaluate(text).is_err());
        assert!(find_expressions(text).len() <= 200);
    }
}
