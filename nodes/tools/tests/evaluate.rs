//! What the calculator computes and refuses, as tables.

use statewright_nodes_tools::calculator::{CalculatorError, Limit, MAX_CHARACTERS, evaluate};

fn value(text: &str) -> String {
    match evaluate(text) {
        Ok(calculation) => calculation.value,
        Err(error) => panic!("{text}: {error}"),
    }
}

#[test]
fn exact_results() {
    for (text, expected) in [
        ("2 + 2", "4"),
        ("150 × 223.48", "33522"),
        ("150 * 223.48", "33522"),
        ("150x223.48", "33522"),
        ("150 X 223.48", "33522"),
        ("150·223.48", "33522"),
        ("25 * 4", "100"),
        ("1000 / 8", "125"),
        ("256 − 56", "200"),
        ("1,234.5 + 1,000,000", "1001234.5"),
        ("0.1 + 0.2", "0.3"),
        (".5 + .25", "0.75"),
        ("7 ÷ 8", "0.875"),
        ("1 / 1024", "0.0009765625"),
        ("1 / 3 * 3", "1"),
        ("-2 ** 2", "-4"),
        ("(-2) ** 2", "4"),
        ("2 ** 3 ** 2", "512"),
        ("2 ** -1", "0.5"),
        ("2 ** --3", "8"),
        ("10 - 4 - 3", "3"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("7 % 3", "1"),
        ("-7 % 3", "2"),
        ("7 % -3", "-2"),
        ("7.5 % 2", "1.5"),
        ("--5", "5"),
        ("+5", "5"),
        ("-0", "0"),
        ("0 ** 0", "1"),
        ("4 ** 0.5", "2"),
        ("8 ** (1/3)", "2"),
        ("0.25 ** 1.5", "0.125"),
        ("1 ** 99999999", "1"),
        ("(-1) ** 99999999", "-1"),
        ("0 ** 99999999", "0"),
        ("\u{a0}2\t+\n2\u{202f}", "4"),
        ("007", "7"),
        ("2 ** 64", "18446744073709551616"),
    ] {
        assert_eq!(value(text), expected, "{text}");
        assert!(evaluate(text).is_ok_and(|c| c.exact), "{text}");
    }
}

#[test]
fn rounded_results_say_so() {
    for (text, expected) in [
        ("1 / 3", "0.333333333333"),
        ("2 / 3", "0.666666666667"),
        ("-2 / 3", "-0.666666666667"),
        ("200000 / 3", "66666.6666667"),
        ("2 ** 0.5", "1.41421356237"),
        ("0.5 ** 0.5", "0.707106781187"),
        ("(2 ** 0.5) ** 2", "2"),
        ("(2 ** 0.5) ** 2 // 1", "2"),
        ("(2 ** 0.5) ** 2 % 1", "0"),
        ("10 ** 2.5", "316.227766017"),
        ("2 ** (1/3)", "1.25992104989"),
        ("2 ** -0.5", "0.707106781187"),
        ("1.0000001 ** 9999.5", "1.00100045007"),
        ("(1 + 0.05 / 365) ** 3650", "1.64866481377"),
        ("(1 + 0.05 / 365) ** -3650", "0.606551429769"),
    ] {
        let calculation = evaluate(text).expect(text);
        assert_eq!((calculation.value.as_str(), calculation.exact), (expected, false), "{text}");
    }
}

#[test]
fn a_difference_made_of_rounding_is_zero() {
    let error = evaluate("1 / ((2 ** 0.5) ** 2 - 2)").expect_err("the divisor is zero");
    assert_eq!(error.code(), "SW-N305");
}

#[test]
fn normal_form_display_and_classic() {
    for (text, expression, display, classic) in [
        ("150*223.48", "150 × 223.48", "33,522", "33522.0"),
        ("2+2", "2 + 2", "4", "4"),
        ("((1,000))/8", "1000 ÷ 8", "125", "125.0"),
        ("(1+2)*3", "(1 + 2) × 3", "9", "9"),
        ("1-(2-3)", "1 - (2 - 3)", "2", "2"),
        ("(1-2)-3", "1 - 2 - 3", "-4", "-4"),
        ("(2**3)**2", "(2 ** 3) ** 2", "64", "64"),
        ("2**(3**2)", "2 ** 3 ** 2", "512", "512"),
        ("-(2**2)", "-2 ** 2", "-4", "-4"),
        ("(-2)**2", "(-2) ** 2", "4", "4"),
        ("1/3", "1 ÷ 3", "0.333333333333", "0.3333333333333333"),
        ("0.1+0.2", "0.1 + 0.2", "0.3", "0.3"),
        ("10.0**16", "10.0 ** 16", "10,000,000,000,000,000", "1e+16"),
        ("1.0/100000", "1.0 ÷ 100000", "0.00001", "1e-05"),
        ("-1234567.25*1", "-1234567.25 × 1", "-1,234,567.25", "-1234567.25"),
        ("2**-1", "2 ** -1", "0.5", "0.5"),
        ("7.0//2", "7.0 // 2", "3", "3.0"),
    ] {
        let calculation = evaluate(text).expect(text);
        assert_eq!(calculation.expression, expression, "{text}");
        assert_eq!(calculation.display, display, "{text}");
        assert_eq!(calculation.classic(), classic, "{text}");
    }
    assert_eq!(evaluate("1/3").expect("valid").to_string(), "1 ÷ 3 ≈ 0.333333333333");
}

#[test]
fn refusals_name_the_place() {
    for (text, code, column) in [
        ("150 × × 2", "SW-N302", Some(7)),
        ("2 +", "SW-N302", Some(4)),
        ("(2 + 3", "SW-N302", Some(7)),
        ("2 + 3)", "SW-N302", Some(6)),
        ("()", "SW-N302", Some(2)),
        ("1 2", "SW-N302", Some(3)),
        ("2(3)", "SW-N302", Some(2)),
        ("20%", "SW-N302", Some(4)),
        ("x3", "SW-N302", Some(1)),
        ("* 3", "SW-N302", Some(1)),
        ("", "SW-N301", None),
        (" \n\u{a0}", "SW-N301", None),
        ("__import__('os')", "SW-N303", Some(1)),
        ("2 + sqrt(2)", "SW-N303", Some(5)),
        ("2 ^ 3", "SW-N303", Some(3)),
        ("2 + 2 = ?", "SW-N303", Some(7)),
        ("$5", "SW-N303", Some(1)),
        ("1e5", "SW-N303", Some(2)),
        ("1_000", "SW-N303", Some(2)),
        ("2 + 🦀", "SW-N303", Some(5)),
        ("٣ + 1", "SW-N303", Some(1)),
        ("12,34", "SW-N304", Some(1)),
        ("1 + 1234,567", "SW-N304", Some(5)),
        ("0,123", "SW-N304", Some(1)),
        ("1,234,", "SW-N304", Some(1)),
        ("1.2.3", "SW-N304", Some(1)),
        ("1.234,5", "SW-N304", Some(1)),
        ("2 * 5.", "SW-N304", Some(5)),
        ("0x10", "SW-N304", Some(1)),
        ("1 / 0", "SW-N305", Some(3)),
        ("1 // 0", "SW-N305", Some(3)),
        ("1 % (2 - 2)", "SW-N305", Some(3)),
        ("0 ** -1", "SW-N305", Some(3)),
        ("0 ** -0.5", "SW-N305", Some(3)),
        ("(-8) ** (1/3)", "SW-N307", Some(6)),
        ("2 ** 10 ** 10", "SW-N306", None),
        ("9 ** 9999", "SW-N306", None),
        ("0.001 ** 9999", "SW-N306", None),
        ("1.5 ** 9999", "SW-N306", None),
        ("(2/3) ** -9999", "SW-N306", None),
    ] {
        let error = evaluate(text).expect_err(text);
        assert_eq!((error.code(), error.place().map(|p| p.column)), (code, column), "{text}: {error}");
    }
}

#[test]
fn the_message_draws_a_caret() {
    let error = evaluate("150 × × 2").expect_err("two operators in a row");
    assert_eq!(
        error.to_string(),
        "found `×` where a number or `(` was expected, at column 7:\n  150 × × 2\n        ^\n\
         put a number between the two operators, or remove one of them"
    );
    let error = evaluate("__import__('os')").expect_err("a call");
    assert!(error.to_string().starts_with("`__import__` is not arithmetic, at column 1:"), "{error}");
}

#[test]
fn limits_hold_at_their_edge() {
    let limit_of = |text: &str| match evaluate(text) {
        Err(CalculatorError::TooLarge { limit }) => Some(limit),
        _ => None,
    };
    assert_eq!(limit_of(&format!("{}1{}", "(".repeat(64), ")".repeat(64))), None);
    assert_eq!(limit_of(&format!("{}1{}", "(".repeat(65), ")".repeat(65))), Some(Limit::Nesting));
    assert_eq!(limit_of(&format!("{}1", "-".repeat(65))), Some(Limit::Nesting));
    assert_eq!(limit_of(&"(".repeat(MAX_CHARACTERS + 1)), Some(Limit::Characters));
    assert_eq!(limit_of(&format!("{}1", "1+".repeat(499))), None);
    assert_eq!(limit_of("10 ** 999"), None);
    assert_eq!(limit_of("10 ** 1000"), Some(Limit::Digits));
    assert_eq!(limit_of("1 / 10 ** 999"), None);
    assert_eq!(limit_of("10 ** 999 * 10"), Some(Limit::Digits));
    assert_eq!(limit_of("2 ** 10001"), Some(Limit::Exponent));
    assert_eq!(limit_of(&format!("2{}", " ** 9".repeat(60))), Some(Limit::Exponent));
}
