//! From tokens to a tree, by recursive descent with bounded depth. Computes nothing.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = signed { ("×" | "÷" | "//" | "%") signed }
//! signed  = ("+" | "-") signed | power
//! power   = atom [ "**" signed ]
//! atom    = number | "(" sum ")"
//! ```

use super::MAX_NESTING;
use super::error::{CalculatorError, Limit, Place};
use super::lexer::{Operator, Token, TokenKind, tokens};
use std::ops::Range;

/// A parsed expression. A unary plus leaves no trace.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    /// A number as written, without commas.
    Number(String),
    Negative(Box<Expression>),
    Binary {
        operator: Operator,
        /// Bytes of the operator in the source.
        span: Range<usize>,
        left: Box<Expression>,
        right: Box<Expression>,
    },
}

const OPERAND: &str = "a number or `(`";

pub(crate) fn parse(source: &str) -> Result<Expression, CalculatorError> {
    let tokens = tokens(source)?;
    if tokens.is_empty() {
        return Err(CalculatorError::Empty);
    }
    let mut parser = Parser { source, tokens: &tokens, next: 0, depth: 0 };
    let expression = parser.sum()?;
    match parser.peek() {
        None => Ok(expression),
        Some(TokenKind::Close) => {
            Err(parser.unexpected("an operator or the end", "remove the `)` or add its `(`"))
        }
        Some(_) => {
            Err(parser.unexpected("an operator or the end", "put an operator between the two numbers"))
        }
    }
}

struct Parser<'a> {
    source: &'a str,
    tokens: &'a [Token],
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn sum(&mut self) -> Result<Expression, CalculatorError> {
        let mut left = self.product()?;
        while let Some((operator, span)) = self.take(&[Operator::Add, Operator::Subtract]) {
            left = binary(operator, span, left, self.product()?);
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Expression, CalculatorError> {
        const OPERATORS: [Operator; 4] =
            [Operator::Multiply, Operator::Divide, Operator::FloorDivide, Operator::Remainder];
        let mut left = self.signed()?;
        while let Some((operator, span)) = self.take(&OPERATORS) {
            left = binary(operator, span, left, self.signed()?);
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Expression, CalculatorError> {
        let Some((operator, _)) = self.take(&[Operator::Add, Operator::Subtract]) else {
            return self.power();
        };
        let inner = self.deeper(Self::signed)?;
        Ok(if operator == Operator::Subtract { Expression::Negative(Box::new(inner)) } else { inner })
    }

    fn power(&mut self) -> Result<Expression, CalculatorError> {
        let base = self.atom()?;
        let Some((operator, span)) = self.take(&[Operator::Power]) else {
            return Ok(base);
        };
        let exponent = self.deeper(Self::signed)?;
        Ok(binary(operator, span, base, exponent))
    }

    fn atom(&mut self) -> Result<Expression, CalculatorError> {
        match self.peek() {
            Some(TokenKind::Number(digits)) => {
                let number = Expression::Number(digits.clone());
                self.next += 1;
                Ok(number)
            }
            Some(TokenKind::Open) => {
                self.next += 1;
                let inner = self.deeper(Self::sum)?;
                if self.peek() != Some(&TokenKind::Close) {
                    return Err(self.unexpected("an operator or `)`", "close every `(` with a `)`"));
                }
                self.next += 1;
                Ok(inner)
            }
            _ => Err(self.unexpected(OPERAND, self.operand_hint())),
        }
    }

    fn deeper(
        &mut self,
        rule: fn(&mut Self) -> Result<Expression, CalculatorError>,
    ) -> Result<Expression, CalculatorError> {
        if self.depth == MAX_NESTING {
            return Err(CalculatorError::TooLarge { limit: Limit::Nesting });
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn take(&mut self, wanted: &[Operator]) -> Option<(Operator, Range<usize>)> {
        let token = self.tokens.get(self.next)?;
        let TokenKind::Operator(operator) = token.kind else { return None };
        if !wanted.contains(&operator) {
            return None;
        }
        self.next += 1;
        Some((operator, token.span.clone()))
    }

    fn operand_hint(&self) -> &'static str {
        let before = self.next.checked_sub(1).and_then(|i| self.tokens.get(i)).map(|t| &t.kind);
        match (before, self.peek()) {
            (Some(TokenKind::Operator(Operator::Remainder)), None) => {
                "% is the remainder of a division; for a percentage divide by 100"
            }
            (Some(TokenKind::Open), Some(TokenKind::Close)) => "put an expression between ( and )",
            (Some(TokenKind::Operator(_)), Some(TokenKind::Operator(_))) => {
                "put a number between the two operators, or remove one of them"
            }
            _ => "put a number on both sides of every operator",
        }
    }

    fn unexpected(&self, expected: &'static str, hint: &'static str) -> CalculatorError {
        let (found, span) = match self.tokens.get(self.next) {
            Some(token) => {
                let text = super::error::excerpt(&self.source[token.span.clone()]);
                (format!("`{text}`"), token.span.clone())
            }
            None => {
                let end = self.source.trim_end().len();
                ("the end".to_owned(), end..end)
            }
        };
        CalculatorError::Unexpected { found, expected, place: Place::new(self.source, span), hint }
    }
}

fn binary(operator: Operator, span: Range<usize>, left: Expression, right: Expression) -> Expression {
    Expression::Binary { operator, span, left: Box::new(left), right: Box::new(right) }
}
