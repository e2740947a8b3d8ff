//! From tokens to the calculator's notation. Order and precedence stay as written; only percentages and roots are
//! rewritten, in parentheses where their neighbours would change the meaning.

use super::lexer::{Kind, Token};

/// The deepest nesting that is followed; what is deeper goes to the calculator as written.
const DEPTH_MAX: usize = 64;

/// The expression, or `None` when it is malformed.
pub(super) fn normalised(tokens: &[Token]) -> Option<String> {
    let mut parser = Parser { tokens, at: 0 };
    let text = parser.sequence(0)?;
    (parser.at == tokens.len()).then_some(text)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

/// An operand; a compound one has operators outside of parentheses.
struct Operand {
    text: String,
    compound: bool,
}

impl Operand {
    fn grouped(self) -> String {
        if self.compound { format!("({})", self.text) } else { self.text }
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn sequence(&mut self, depth: usize) -> Option<String> {
        let mut text = self.operand(None, depth)?;
        while let Some(&Kind::Op(operator)) = self.peek() {
            self.at += 1;
            let operand = self.operand(Some(operator), depth)?;
            text.push_str(&format!(" {operator} {operand}"));
        }
        Some(text)
    }

    /// One operand, in parentheses when the operators beside it bind tighter than those inside.
    fn operand(&mut self, before: Option<&str>, depth: usize) -> Option<String> {
        let operand = self.signed(depth)?;
        let tight_before = before.is_some_and(|operator| !matches!(operator, "+" | "-"));
        let tight_after = matches!(self.peek(), Some(Kind::Op("**")));
        Some(if tight_before || tight_after { operand.grouped() } else { operand.text })
    }

    fn signed(&mut self, depth: usize) -> Option<Operand> {
        let sign = match self.peek() {
            Some(&Kind::Op(sign @ ("-" | "+"))) => sign,
            _ => return self.with_suffixes(depth),
        };
        self.at += 1;
        let operand = self.with_suffixes(depth)?;
        Some(Operand { text: format!("{sign}{}", operand.text), compound: operand.compound })
    }

    fn with_suffixes(&mut self, depth: usize) -> Option<Operand> {
        let mut operand = self.primary(depth)?;
        loop {
            let text = match self.peek() {
                Some(&Kind::Power(power)) => {
                    self.at += 1;
                    format!("{} ** {power}", operand.grouped())
                }
                Some(Kind::Percent) => {
                    self.at += 1;
                    let share = format!("{} / 100", operand.grouped());
                    if matches!(self.peek(), Some(Kind::Of)) {
                        self.at += 1;
                        let whole = self.operand(Some("*"), depth)?;
                        format!("{share} * {whole}")
                    } else {
                        share
                    }
                }
                _ => return Some(operand),
            };
            operand = Operand { text, compound: true };
        }
    }

    fn primary(&mut self, depth: usize) -> Option<Operand> {
        if depth == DEPTH_MAX {
            return None;
        }
        let kind = self.peek()?.clone();
        self.at += 1;
        match kind {
            Kind::Number(text) => Some(Operand { text, compound: false }),
            Kind::Open => {
                let inside = self.sequence(depth + 1)?;
                matches!(self.peek(), Some(Kind::Close)).then(|| self.at += 1)?;
                Some(Operand { text: format!("({inside})"), compound: false })
            }
            Kind::Sqrt => {
                let negative = matches!(self.peek(), Some(Kind::Op("-")));
                let inside = self.signed(depth + 1)?;
                let inside = if negative { format!("({})", inside.text) } else { inside.grouped() };
                Some(Operand { text: format!("{inside} ** 0.5"), compound: true })
            }
            _ => None,
        }
    }
}
