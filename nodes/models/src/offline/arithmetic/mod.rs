//! Finds one arithmetic expression in a question, without computing it. Pure.
//!
//! What looks like arithmetic but is malformed is handed on as it stands, so that the calculator reports it; what only
//! looks similar (dates, versions, ranges of years, names with digits) is left alone.

mod lexer;
mod parser;

use std::ops::Range;

use lexer::{Kind, Token};

/// Words that ask for a calculation, or name one, and say nothing else. Sorted.
const ARITHMETIC_WORDS: &[&str] = &[
    "add",
    "added",
    "answer",
    "approximately",
    "calculate",
    "calculation",
    "compute",
    "computed",
    "cubed",
    "difference",
    "divide",
    "divided",
    "equal",
    "equals",
    "evaluate",
    "exact",
    "exactly",
    "expression",
    "many",
    "math",
    "minus",
    "mod",
    "modulo",
    "multiplied",
    "multiply",
    "number",
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
    "value",
    "work",
];

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// In the calculator's notation, or as written when it is malformed.
    pub(super) expression: String,
    span: Range<usize>,
}

impl Found {
    /// The question without the expression.
    pub(super) fn rest(&self, question: &str) -> String {
        format!("{} {}", &question[..self.span.start], &question[self.span.end..])
    }
}

/// Whether a word in lower case only asks for a calculation.
pub(super) fn is_arithmetic_word(word: &str) -> bool {
    ARITHMETIC_WORDS.binary_search(&word).is_ok()
}

/// The first expression of the question.
pub(super) fn find(question: &str) -> Option<Found> {
    let tokens = lexer::tokens(question);
    let mut at = 0;
    while at < tokens.len() {
        if let Some(found) = phrase(&tokens[at..]) {
            return Some(found);
        }
        let length = tokens[at..].iter().take_while(|token| token.is_arithmetic()).count();
        if let Some(found) = expression(question, &tokens, at..at + length) {
            return Some(found);
        }
        at += length.max(1);
    }
    None
}

/// `sum of 3, 4 and 5`, `multiply 3 by 4`, `subtract 3 from 10`.
fn phrase(tokens: &[Token]) -> Option<Found> {
    let Kind::Prefix(operator) = tokens.first()?.kind else { return None };
    let mut numbers = Vec::new();
    let mut end = 0;
    let mut backwards = false;
    let mut at = 1;
    while let Kind::Number(number) = &tokens.get(at)?.kind {
        numbers.push(number.as_str());
        end = tokens[at].end;
        at += 1;
        let joiners = tokens[at..].iter().take_while(|token| token.is_joiner()).count();
        backwards |= tokens[at..at + joiners].iter().any(|token| token.is_word("from"));
        at += joiners;
        if joiners == 0 || at >= tokens.len() {
            break;
        }
    }
    if numbers.len() < 2 {
        return None;
    }
    if backwards {
        numbers.reverse();
    }
    Some(Found { expression: numbers.join(&format!(" {operator} ")), span: tokens[0].start..end })
}

fn expression(question: &str, tokens: &[Token], run: Range<usize>) -> Option<Found> {
    let run = trimmed(question, tokens, run);
    if run.is_empty() || !looks_like_arithmetic(question, tokens, &run) {
        return None;
    }
    let span = tokens[run.start].start..tokens[run.end - 1].end;
    let expression =
        parser::normalised(&tokens[run]).unwrap_or_else(|| question[span.clone()].trim().to_owned());
    Some(Found { expression, span })
}

/// Without dashes and bullets that belong to the prose around, and without its parentheses.
fn trimmed(question: &str, tokens: &[Token], mut run: Range<usize>) -> Range<usize> {
    let spaced = |token: &Token| question[token.end..].starts_with(char::is_whitespace);
    while let Some(first) = tokens[run.clone()].first() {
        let line_start =
            question[..first.start].rsplit('\n').next().is_none_or(|line| line.trim().is_empty());
        let after_word = run.start > 0 && matches!(tokens[run.start - 1].kind, Kind::Word(_));
        let dash = matches!(first.kind, Kind::Op("-")) && after_word && spaced(first);
        let bullet = matches!(first.kind, Kind::Op("-" | "+" | "*")) && line_start && spaced(first);
        let word_operator = matches!(first.kind, Kind::Op(_)) && first.spelled;
        if !(dash || bullet || word_operator || matches!(first.kind, Kind::Of)) {
            break;
        }
        run.start += 1;
    }
    while let Some(last) = tokens[run.clone()].last() {
        let before_word = tokens.get(run.end).is_some_and(|next| matches!(next.kind, Kind::Word(_)));
        let prose =
            matches!(last.kind, Kind::Op(operator) if before_word && (operator == "-" || last.spelled));
        if !(prose || matches!(last.kind, Kind::Of)) {
            break;
        }
        run.end -= 1;
    }
    without_outer_parentheses(tokens, run)
}

/// In `(see 3 + 4)` the parentheses are prose. In `(3 + 4` one is missing, which the calculator should report.
fn without_outer_parentheses(tokens: &[Token], mut run: Range<usize>) -> Range<usize> {
    if depths(tokens).is_none() {
        return run;
    }
    while !run.is_empty() && depths(&tokens[run.clone()]).is_none() {
        if matches!(tokens[run.end - 1].kind, Kind::Close) {
            run.end -= 1;
        } else if matches!(tokens[run.start].kind, Kind::Open) {
            run.start += 1;
        } else {
            break;
        }
    }
    run
}

/// `None` when parentheses do not match.
fn depths(tokens: &[Token]) -> Option<()> {
    let mut depth = 0_usize;
    for token in tokens {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0).then_some(())
}

fn looks_like_arithmetic(question: &str, tokens: &[Token], run: &Range<usize>) -> bool {
    let inside = &tokens[run.clone()];
    let numbers = inside.iter().filter(|token| matches!(token.kind, Kind::Number(_) | Kind::Bad)).count();
    let operator = inside.iter().skip(1).any(|token| matches!(token.kind, Kind::Op(_) | Kind::Of));
    let function = inside.iter().any(|token| matches!(token.kind, Kind::Sqrt | Kind::Power(_)));
    if numbers >= 2 && operator || numbers >= 1 && function {
        return true;
    }
    // `150 ×` and `2 + ?`: half an expression, unless the other half is a word.
    let before_word = tokens.get(run.end).is_some_and(|next| matches!(next.kind, Kind::Word(_)));
    let at_end = tokens[run.end..].iter().all(|token| matches!(token.kind, Kind::Punct));
    let last_spaced = inside.last().is_some_and(|last| {
        matches!(last.kind, Kind::Op("+" | "*" | "/" | "**"))
            && question[..last.start].ends_with(char::is_whitespace)
    });
    let unmistakable = question[inside[0].start..inside[inside.len() - 1].end].contains(['×', '÷']);
    numbers == 1 && !before_word && (unmistakable || at_end && last_spaced)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(question: &str) -> String {
        find(question).map_or_else(|| "NONE".to_owned(), |found| found.expression)
    }

    #[test]
    fn words_can_be_searched() {
        assert!(ARITHMETIC_WORDS.is_sorted(), "binary search needs a sorted list");
    }

    #[test]
    fn expressions_are_found_and_normalised() {
        let cases = [
            ("What is 150 × 223.48?", "150 * 223.48"),
            ("150x2", "150 * 2"),
            ("150 x 2?", "150 * 2"),
            ("What is 1,000 / 8?", "1000 / 8"),
            ("1,234,567.5 ÷ 5", "1234567.5 / 5"),
            ("256 − 56", "256 - 56"),
            ("256-56", "256 - 56"),
            ("256 – 56", "256 - 56"),
            ("2+2=?", "2 + 2"),
            ("What is 25 times 4?", "25 * 4"),
            ("25 multiplied by 4, please", "25 * 4"),
            ("100 divided by 8.", "100 / 8"),
            ("3 plus 4 minus 5", "3 + 4 - 5"),
            ("What is 15% of 80?", "15 / 100 * 80"),
            ("15 percent of 1,080", "15 / 100 * 1080"),
            ("10 / 50% of 4", "10 / (50 / 100 * 4)"),
            ("200 + 10%", "200 + 10 / 100"),
            ("17 % 5", "17 % 5"),
            ("17 mod 5", "17 % 5"),
            ("7 // 2", "7 // 2"),
            ("2^10", "2 ** 10"),
            ("2 ** 10 ** 10", "2 ** 10 ** 10"),
            ("2 to the power of 8", "2 ** 8"),
            ("the square root of 16", "16 ** 0.5"),
            ("sqrt(16) + 1", "(16) ** 0.5 + 1"),
            ("√16", "16 ** 0.5"),
            ("square root of (9 + 7)", "(9 + 7) ** 0.5"),
            ("5 squared", "5 ** 2"),
            ("(3 + 4) * 2", "(3 + 4) * 2"),
            ("((1+2)*(3+4))", "((1 + 2) * (3 + 4))"),
            ("What is -5 + 3?", "-5 + 3"),
            ("3 * -2", "3 * -2"),
            ("$150 × 2", "150 * 2"),
            (".5 * 4", "0.5 * 4"),
            ("150 shares × 223.48", "150 * 223.48"),
            ("5 apples plus 3 oranges", "5 + 3"),
            ("the sum of 3, 4 and 5", "3 + 4 + 5"),
            ("Multiply 6 by 7.", "6 * 7"),
            ("subtract 3 from 10", "10 - 3"),
            ("It works (see 3 + 4).", "3 + 4"),
            ("Since 2019 - what is 3 * 4?", "3 * 4"),
            ("- 3 + 4", "3 + 4"),
            ("Was 1.2-3 from 2024-05-01, and what is 2*3?", "2 * 3"),
        ];
        for (question, expected) in cases {
            assert_eq!(found(question), expected, "{question}");
        }
    }

    #[test]
    fn what_only_looks_like_arithmetic_is_left_alone() {
        for question in [
            "",
            "How does the engine resume after a crash?",
            "Was version 1.2-3 released before 2024-05-01?",
            "What changed in v1.2.3?",
            "1.2.3-4",
            "On 01/05/2024 or 2024/05/01 or 1.5.2024?",
            "the years 2019-2021 and 2019–2021",
            "in 2024-05",
            "GPT-4 and utf-8, top-3, x86-64, 0x10",
            "open 24/7 from 10:30",
            "pages 10–12",
            "192.168.0.1",
            "5 times a day",
            "15% of the users",
            "a and/or b * c",
            "150+ users",
            "* 3 items",
            "I have 3 cats",
            "150 × the price",
            "(see 7)",
            "sum of the parts",
        ] {
            assert_eq!(found(question), "NONE", "{question}");
        }
    }

    #[test]
    fn malformed_arithmetic_is_passed_through() {
        let cases = [
            ("What is 150 × × 2?", "150 × × 2"),
            ("150 ×", "150 ×"),
            ("What is 2 + ?", "2 +"),
            ("What is (3 + 4 * 2?", "(3 + 4 * 2"),
            ("3,4 + 2", "3,4 + 2"),
            ("What is 150 × 2 3?", "150 × 2 3"),
            ("2 * 3 * price", "2 * 3 *"),
            ("1.2.3+4", "1.2.3+4"),
        ];
        for (question, expected) in cases {
            assert_eq!(found(question), expected, "{question}");
        }
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_is_lost() {
        let deep = format!("{}1{} + 2", "(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(found(&deep), deep);
    }

    #[test]
    fn the_rest_is_the_question_without_the_expression() {
        let question = "What is 2 × 3 and who is it?";
        assert_eq!(find(question).unwrap().rest(question), "What is   and who is it?");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(question in "([0-9]{1,4}|[-+*/×÷x%^().,$ ]|plus|times| of |sum of|\\PC){0,24}") {
            if let Some(found) = find(&question) {
                prop_assert!(found.expression.contains(|c: char| c.is_ascii_digit()));
                prop_assert!(found.rest(&question).len() <= question.len() + 1);
            }
        }

        #[test]
        fn plain_expressions_keep_their_value(
            first in 0_u32..100_000,
            rest in prop::collection::vec((prop::sample::select(vec!["+", "-", "*", "/"]), 0_u32..1000), 1..5),
        ) {
            let expression = rest.iter().fold(first.to_string(), |text, (op, n)| format!("{text} {op} {n}"));
            let typeset = expression.replace('*', "×").replace('/', "÷");
            prop_assert_eq!(found(&typeset), expression.as_str());
            prop_assert_eq!(found(&format!("What is {expression}?")), expression);
        }
    }
}
