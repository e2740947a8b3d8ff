//! Which claims are found in prose, and whether they hold.

use statewright_nodes_tools::calculator::{Claim, Verdict, find_expressions};

fn found(text: &str) -> Vec<(String, String, bool)> {
    let shown = |c: Claim| {
        let holds = c.holds();
        (c.expression, c.claimed, holds)
    };
    find_expressions(text).into_iter().map(shown).collect()
}

#[test]
fn claims_in_prose() {
    for (text, expected) in [
        ("150 × 223.48 = 33,522.", &[("150 × 223.48", "33,522", true)][..]),
        ("The result of **150 × 223.48** = **33,522** [1].", &[("150 × 223.48", "33,522", true)]),
        ("`150 * 223.48` = `33522`", &[("150 * 223.48", "33522", true)]),
        ("150 × $223.48 = $33,522", &[("150 × $223.48", "33,522", true)]),
        ("2 + 2 is 5, sadly", &[("2 + 2", "5", false)]),
        ("2 + 2 equals 4", &[("2 + 2", "4", true)]),
        ("1 / 3 = 0.33", &[("1 / 3", "0.33", true)]),
        ("1 / 3 = 0.34", &[("1 / 3", "0.34", false)]),
        ("10 / 3 = 3", &[("10 / 3", "3", false)]),
        ("10 / 3 ≈ 3", &[("10 / 3", "3", true)]),
        ("150 × 223.48 ≈ 33,500", &[("150 × 223.48", "33,500", true)]),
        ("150 × 223.48 ≈ 33,600", &[("150 × 223.48", "33,600", false)]),
        (
            "100 + 50 × 2 = 100 + 100 = 200",
            &[("100 + 50 × 2", "100 + 100", true), ("100 + 100", "200", true)],
        ),
        ("- 4 + 5 = 9", &[("4 + 5", "9", true)]),
        ("Step 1. 4 + 5 = 9", &[("4 + 5", "9", true)]),
        ("In 2024, 4 + 5 = 9, and so on", &[("4 + 5", "9", true)]),
        ("(1 + 2) × 3 = 9", &[("(1 + 2) × 3", "9", true)]),
        ("8 x 4 = 32 and 1 + 1 = 3", &[("8 x 4", "32", true), ("1 + 1", "3", false)]),
        ("5 − 8 = −3", &[("5 − 8", "−3", true)]),
        ("1 / 0 = 5", &[("1 / 0", "5", false)]),
        ("-(2 + 3) = -5", &[("-(2 + 3)", "-5", true)]),
        ("Total: 5\n- 3 + 4 = 7", &[("3 + 4", "7", true)]),
        ("50% × 200 = 100", &[]),
        ("x = 5", &[]),
        ("a1 + 2 = 3", &[]),
        ("f(2) + 2 = 7", &[]),
        ("the price is 5", &[]),
        ("2 + 2 = 4m", &[]),
        ("3 km / 2 h = 1.5 km/h", &[]),
        ("2 + 2 <= 5", &[]),
        ("this is 2 + 2", &[]),
        ("2 + 2\n\n= nothing", &[]),
        ("", &[]),
    ] {
        let expected: Vec<_> =
            expected.iter().map(|(e, c, h)| ((*e).to_owned(), (*c).to_owned(), *h)).collect();
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn a_wrong_claim_carries_the_right_result() {
    let claims = find_expressions("We get 150 × 223.48 = 35,522 in total.");
    let [claim] = claims.as_slice() else { panic!("{claims:?}") };
    let Verdict::Wrong(actual) = &claim.verdict else { panic!("{claim:?}") };
    assert_eq!(actual.display, "33,522");
    assert_eq!(claim.span, 7..29);
}

#[test]
fn a_side_that_is_too_long_is_no_claim() {
    let sum = |count: usize| vec!["1"; count].join(" + ");
    assert_eq!(found(&format!("{} = 90", sum(90))), [(sum(90), "90".to_owned(), true)]);
    assert_eq!(found(&format!("{} = 200", sum(200))), []);
}

#[test]
fn currency_signs_of_several_bytes_are_read_over() {
    for sign in ["$", "£", "€", "¥"] {
        let found = found(&format!("{sign}1 + {sign}2 = {sign}3"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].2, "{found:?}");
    }
}
