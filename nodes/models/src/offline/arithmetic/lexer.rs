//! From a question to tokens. First by words between spaces, since only a whole word tells a date or a version from
//! arithmetic; then by characters; then phrases such as `divided by` become operators.

/// A piece of the question, by byte offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Written in letters, like `times`.
    pub(super) spelled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Without thousands commas.
    Number(String),
    /// Digits that are no number, like `3,4`.
    Bad,
    Op(&'static str),
    /// An operator only between operands: `x`, `–`.
    Maybe(&'static str),
    Percent,
    /// After a percentage.
    Of,
    Sqrt,
    /// `squared`, `cubed`.
    Power(&'static str),
    /// `sum of`, `multiply`: an operator before its operands.
    Prefix(&'static str),
    Open,
    Close,
    /// In lower case.
    Word(String),
    Punct,
}

impl Token {
    fn new(kind: Kind, start: usize, end: usize) -> Self {
        Self { kind, start, end, spelled: false }
    }

    pub(super) fn is_arithmetic(&self) -> bool {
        !matches!(self.kind, Kind::Word(_) | Kind::Punct | Kind::Prefix(_))
    }

    pub(super) fn is_joiner(&self) -> bool {
        matches!(self.kind, Kind::Punct)
            || ["and", "by", "from", "with", "to"].iter().any(|word| self.is_word(word))
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(text) if text == word)
    }

    fn starts_operand(&self) -> bool {
        matches!(self.kind, Kind::Number(_) | Kind::Bad | Kind::Open | Kind::Sqrt)
    }

    fn ends_operand(&self) -> bool {
        matches!(self.kind, Kind::Number(_) | Kind::Bad | Kind::Close | Kind::Percent | Kind::Power(_))
    }
}

pub(super) fn tokens(question: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    for chunk in question.split_inclusive(char::is_whitespace) {
        lex_chunk(chunk.trim_end(), offset, &mut tokens);
        offset += chunk.len();
    }
    let tokens = resolved(phrases(&tokens));
    without_units(&tokens)
}

fn lex_chunk(chunk: &str, offset: usize, tokens: &mut Vec<Token>) {
    let front = chunk.len() - chunk.trim_start_matches(['(', '"', '\'', '“', '‘', '[']).len();
    let core = chunk[front..].trim_end_matches(['?', '!', '.', ',', ';', ':', '"', '\'', '”', '’', ')', ']']);
    let back = front + core.len();
    lex_characters(&chunk[..front], offset, tokens);
    if let Some(argument) = core.strip_prefix("sqrt(") {
        tokens.push(Token::new(Kind::Sqrt, offset + front, offset + front + 4));
        let open = offset + front + 4;
        tokens.push(Token::new(Kind::Open, open, open + 1));
        lex_characters(argument, open + 1, tokens);
    } else if core == "x" || core == "X" {
        tokens.push(Token::new(Kind::Maybe("*"), offset + front, offset + back));
    } else if is_opaque(core) {
        tokens.push(Token::new(Kind::Word(core.to_lowercase()), offset + front, offset + back));
    } else {
        lex_characters(core, offset + front, tokens);
    }
    lex_characters(&chunk[back..], offset + back, tokens);
}

/// Whether a word is something other than arithmetic, whatever digits and signs it has.
fn is_opaque(word: &str) -> bool {
    let letters = word.chars().any(char::is_alphabetic);
    (letters && !is_product(word)) || is_version(word) || is_date_or_time(word) || is_year_range(word)
}

/// `150x2`, `3x4x5`.
fn is_product(word: &str) -> bool {
    let factors: Vec<&str> = word.split(['x', 'X']).collect();
    let number = |text: &&str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.ends_with(|c: char| c.is_ascii_digit())
            && !text.chars().any(char::is_alphabetic)
    };
    factors.len() > 1 && factors[0] != "0" && factors.iter().all(number)
}

/// `1.2.3`, `192.168.0.1`, `1.2-3` (a packaged version), `1.2.3-4`.
fn is_version(word: &str) -> bool {
    let (upstream, revision) = word.split_once('-').map_or((word, None), |(front, back)| (front, Some(back)));
    let numbers = upstream.split('.').all(is_digits);
    let revised = revision.is_some_and(is_digits);
    match upstream.matches('.').count() {
        0 => false,
        1 => numbers && revised,
        _ => numbers && (revised || revision.is_none()),
    }
}

/// `2024-05-01`, `1/5/2024`, `1.5.2024`, `2024-05`, `10:30`, `24/7`.
fn is_date_or_time(word: &str) -> bool {
    if word == "24/7" || (word.contains(':') && word.chars().all(|c| c.is_ascii_digit() || c == ':')) {
        return true;
    }
    ['-', '/', '.'].into_iter().any(|separator| {
        let parts: Vec<&str> = word.split(separator).collect();
        let short = |part: &&str| is_digits(part) && part.len() <= 2;
        match parts.as_slice() {
            [year, month, day] if is_digits(year) && year.len() == 4 => short(month) && short(day),
            [day, month, year] if is_digits(year) && year.len() == 4 => short(month) && short(day),
            [year, month] if separator == '-' && is_year(year) => {
                month.len() == 2 && month.parse().is_ok_and(|month: u8| (1..=12).contains(&month))
            }
            _ => false,
        }
    })
}

/// `2019-2021`, and `10–12` with a dash that means "to".
fn is_year_range(word: &str) -> bool {
    let range = |dash| word.split_once(dash);
    range('-').is_some_and(|(from, to)| is_year(from) && is_year(to))
        || range('–').is_some_and(|(from, to)| is_digits(from) && is_digits(to))
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && text.parse().is_ok_and(|year: u16| (1900..=2100).contains(&year))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

fn lex_characters(text: &str, offset: usize, tokens: &mut Vec<Token>) {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let next_digit = rest[c.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
        let (kind, length) = match c {
            '0'..='9' => number(rest),
            '.' if next_digit => number(rest),
            '$' | '€' | '£' | '¥' => {
                at += c.len_utf8();
                continue;
            }
            _ => symbol(rest, c, next_digit),
        };
        tokens.push(Token::new(kind, offset + at, offset + at + length));
        at += length;
    }
}

fn symbol(rest: &str, c: char, next_digit: bool) -> (Kind, usize) {
    let kind = match c {
        '*' if rest.starts_with("**") => return (Kind::Op("**"), 2),
        '/' if rest.starts_with("//") => return (Kind::Op("//"), 2),
        '+' => Kind::Op("+"),
        '-' | '−' => Kind::Op("-"),
        '–' => Kind::Maybe("-"),
        '*' | '×' | '·' | '∗' | 'x' | 'X' => Kind::Op("*"),
        '/' | '÷' => Kind::Op("/"),
        '^' => Kind::Op("**"),
        '%' if next_digit => Kind::Op("%"),
        '%' => Kind::Percent,
        '√' => Kind::Sqrt,
        '(' => Kind::Open,
        ')' => Kind::Close,
        _ => Kind::Punct,
    };
    (kind, c.len_utf8())
}

/// Digits with correct thousands commas and at most one point; anything longer that is glued to them is `Bad`.
fn number(text: &str) -> (Kind, usize) {
    let glued = |at: usize| {
        let mut next = text[at..].chars();
        matches!(next.next(), Some(',' | '.')) && next.next().is_some_and(|c| c.is_ascii_digit())
    };
    let digits = |at: usize| text[at..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(0);
    let mut end = whole;
    while whole <= 3 && text[end..].starts_with(',') && digits(end + 1) == 3 {
        end += 4;
    }
    if text[end..].starts_with('.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if !glued(end) {
        let plain = text[..end].replace(',', "");
        let plain = if whole == 0 { format!("0{plain}") } else { plain };
        return (Kind::Number(plain), end);
    }
    while glued(end) {
        end += 1 + digits(end + 1);
    }
    (Kind::Bad, end)
}

/// Operators in words. The longest phrase comes first.
const PHRASES: &[(&[&str], Kind)] = &[
    (&["raised", "to", "the", "power", "of"], Kind::Op("**")),
    (&["to", "the", "power", "of"], Kind::Op("**")),
    (&["square", "root", "of"], Kind::Sqrt),
    (&["sqrt", "of"], Kind::Sqrt),
    (&["multiplied", "by"], Kind::Op("*")),
    (&["multiplied", "with"], Kind::Op("*")),
    (&["divided", "by"], Kind::Op("/")),
    (&["difference", "between"], Kind::Prefix("-")),
    (&["difference", "of"], Kind::Prefix("-")),
    (&["quotient", "of"], Kind::Prefix("/")),
    (&["product", "of"], Kind::Prefix("*")),
    (&["sum", "of"], Kind::Prefix("+")),
    (&["per", "cent"], Kind::Percent),
    (&["percent"], Kind::Percent),
    (&["times"], Kind::Op("*")),
    (&["plus"], Kind::Op("+")),
    (&["minus"], Kind::Op("-")),
    (&["modulo"], Kind::Op("%")),
    (&["mod"], Kind::Op("%")),
    (&["sqrt"], Kind::Sqrt),
];

/// Phrases that count only before a number.
const PREFIXES: &[(&str, Kind)] = &[
    ("add", Kind::Prefix("+")),
    ("subtract", Kind::Prefix("-")),
    ("multiply", Kind::Prefix("*")),
    ("divide", Kind::Prefix("/")),
];

fn phrases(tokens: &[Token]) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let (kind, length) = phrase(&tokens[at..], out.last());
        let spelled = matches!(tokens[at].kind, Kind::Word(_)) && !matches!(kind, Kind::Word(_));
        out.push(Token { kind, start: tokens[at].start, end: tokens[at + length - 1].end, spelled });
        at += length;
    }
    out
}

fn phrase(tokens: &[Token], before: Option<&Token>) -> (Kind, usize) {
    let matches = |words: &[&str]| {
        words.len() <= tokens.len() && tokens.iter().zip(words).all(|(token, word)| token.is_word(word))
    };
    let number_next = tokens.get(1).is_some_and(|next| matches!(next.kind, Kind::Number(_)));
    if let Some((words, kind)) = PHRASES.iter().find(|(words, _)| matches(words)) {
        return (kind.clone(), words.len());
    }
    if let Some((_, kind)) = PREFIXES.iter().find(|(word, _)| number_next && matches(&[word])) {
        return (kind.clone(), 1);
    }
    let after_operand = before.is_some_and(Token::ends_operand);
    let after_percent = before.is_some_and(|token| matches!(token.kind, Kind::Percent));
    let kind = match &tokens[0].kind {
        Kind::Word(word) if word == "of" && after_percent => Kind::Of,
        Kind::Word(word) if word == "squared" && after_operand => Kind::Power("2"),
        Kind::Word(word) if word == "cubed" && after_operand => Kind::Power("3"),
        // A percent sign with spaces on both sides is the remainder.
        Kind::Percent if number_next && before.is_some_and(|token| token.end < tokens[0].start) => {
            Kind::Op("%")
        }
        kind => kind.clone(),
    };
    (kind, 1)
}

fn resolved(mut tokens: Vec<Token>) -> Vec<Token> {
    for at in 0..tokens.len() {
        let Kind::Maybe(operator) = tokens[at].kind else { continue };
        let before = at > 0 && tokens[at - 1].ends_operand();
        let after = tokens.get(at + 1).is_some_and(Token::starts_operand);
        tokens[at].kind = if before && after { Kind::Op(operator) } else { Kind::Word("x".to_owned()) };
    }
    tokens
}

/// `150 shares × 2` → `150 × 2`. Not before a minus: that is more often a dash.
fn without_units(tokens: &[Token]) -> Vec<Token> {
    let is_unit = |at: usize| {
        let Kind::Word(word) = &tokens[at].kind else { return false };
        let before = at > 0 && matches!(tokens[at - 1].kind, Kind::Number(_) | Kind::Close);
        let operator = matches!(tokens.get(at + 1).map(|t| &t.kind), Some(Kind::Op("+" | "*" | "/")));
        let after = tokens.get(at + 2).is_some_and(Token::starts_operand);
        before && operator && after && word.chars().all(char::is_alphabetic) && word != "and" && word != "or"
    };
    (0..tokens.len()).filter(|at| !is_unit(*at)).map(|at| tokens[at].clone()).collect()
}
