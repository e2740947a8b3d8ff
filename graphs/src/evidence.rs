//! Reviews a draft by evidence and without a model: recomputes its calculations, looks up its numbers and names in
//! what it was written from, and demands citations. It judges neither style nor whether a sentence follows from the
//! source that it cites.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use statewright_nodes_tools::calculator::{Calculation, Verdict, find_expressions};

use crate::facts;
use crate::prompts::Source;
use crate::question::{self, Plan};

/// What an honest draft says when there is nothing to answer from.
pub const NO_ANSWER: &str = "The given documents do not answer this question.";

/// A calculation that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computed {
    /// The expression in its normal form: `150 × 223.48`.
    pub expression: String,
    /// The result as a plain number: `33522`.
    pub value: String,
    /// Both, for people: `150 × 223.48 = 33,522`.
    pub text: String,
}

impl From<Calculation> for Computed {
    fn from(done: Calculation) -> Self {
        let text = done.to_string();
        Self { expression: done.expression, value: done.value, text }
    }
}

/// A node that can mend a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The calculation is missing or computes something else.
    Calculator,
    /// Too little was found.
    Research,
    /// The draft does not say what was found and computed.
    Writer,
}

impl Blame {
    /// The node's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Blame::Calculator => "calculator",
            Blame::Research => "research",
            Blame::Writer => "writer",
        }
    }
}

/// What a draft was written from.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The question.
    pub question: &'a str,
    /// What the question needs.
    pub plan: Plan,
    /// What was found.
    pub sources: &'a [Source],
    /// What was computed.
    pub computed: Option<&'a Computed>,
    /// How many sources the draft cites.
    pub cited: usize,
    /// What the draft cites that is not there.
    pub dangling: &'a [String],
    /// Whether a wider search may find more.
    pub can_search_wider: bool,
}

/// Something that is wrong with a draft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// It says that the documents do not answer the question; the honest way to fail.
    NoAnswer,
    /// It takes up no word of the question or the sources, or says that it does not know.
    OffTopic,
    /// The question asks for a calculation and none was done.
    NotComputed,
    /// The calculation uses a number that comes from nowhere.
    ForeignOperand {
        /// The expression.
        expression: String,
        /// The number.
        number: String,
    },
    /// The result of the calculation is not in the draft.
    ResultMissing {
        /// The calculation with its result.
        computed: String,
    },
    /// A calculation in the draft is wrong.
    WrongCalculation {
        /// The expression as written.
        expression: String,
        /// The claimed value as written.
        claimed: String,
        /// The right result, or why there is none.
        right: String,
    },
    /// A number that neither the question nor the sources nor the calculation has.
    UnknownNumber {
        /// The number as written.
        number: String,
    },
    /// A name that neither the question nor the sources have.
    UnknownName {
        /// The name as written.
        name: String,
    },
    /// It answers from documents and cites none.
    NoCitations,
    /// What was to be looked up was not found.
    NothingFound,
    /// It cites a source that does not exist.
    DanglingCitation {
        /// The citation as written.
        citation: String,
    },
}

impl Finding {
    /// What it takes off the score, in hundredths.
    fn penalty(&self) -> u32 {
        match self {
            Finding::OffTopic => 90,
            Finding::NoAnswer => 80,
            Finding::NotComputed | Finding::ResultMissing { .. } | Finding::WrongCalculation { .. } => 60,
            Finding::ForeignOperand { .. } | Finding::NothingFound => 50,
            Finding::UnknownNumber { .. } | Finding::NoCitations | Finding::DanglingCitation { .. } => 40,
            Finding::UnknownName { .. } => 35,
        }
    }

    /// The node that can mend it, if one can.
    fn blamed(&self, can_search_wider: bool) -> Option<Blame> {
        match self {
            Finding::NotComputed | Finding::ForeignOperand { .. } => Some(Blame::Calculator),
            Finding::NoAnswer | Finding::NothingFound => can_search_wider.then_some(Blame::Research),
            _ => Some(Blame::Writer),
        }
    }
}

/// For the critique: what is wrong, and what to do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NoAnswer => f.write_str("Nothing that was found answers the question."),
            Finding::OffTopic => {
                f.write_str("The draft does not take up the question; answer what is asked.")
            }
            Finding::NotComputed => f.write_str("The question asks for a calculation and none was done."),
            Finding::ForeignOperand { expression, number } => {
                write!(
                    f,
                    "The calculation {expression} uses {number}, which is neither in the question nor found."
                )
            }
            Finding::ResultMissing { computed } => {
                write!(f, "The draft does not give the result of {computed}; lead with it.")
            }
            Finding::WrongCalculation { expression, claimed, right } => {
                write!(f, "{expression} is not {claimed}: {right}.")
            }
            Finding::UnknownNumber { number } => {
                write!(f, "The number {number} is in no source; leave it out or give what the sources say.")
            }
            Finding::UnknownName { name } => {
                write!(f, "The name {name} is in no source; leave it out or give what the sources say.")
            }
            Finding::NoCitations => f.write_str("The draft cites no source; cite what you use, such as [1]."),
            Finding::NothingFound => {
                f.write_str("Nothing was found about what the question wants looked up.")
            }
            Finding::DanglingCitation { citation } => {
                write!(f, "The citation {citation} is of no given source; cite only sources that are there.")
            }
        }
    }
}

/// What the reviewer thinks of a draft.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// From 0 to 1; 1 if nothing was found.
    pub score: f64,
    /// What is wrong, without repetitions.
    pub findings: Vec<Finding>,
    /// The node that can mend most of it; `None` if nothing is wrong or no node can.
    pub blamed: Option<Blame>,
}

impl Review {
    /// Everything that is wrong, in words.
    #[must_use]
    pub fn critique(&self) -> String {
        self.words().collect::<Vec<_>>().join(" ")
    }

    /// Each finding in words.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.findings.iter().map(Finding::to_string)
    }
}

/// Reviews a draft.
#[must_use]
pub fn review(draft: &str, evidence: &Evidence<'_>) -> Review {
    let mut findings = Vec::new();
    if is_no_answer(draft) {
        findings.push(Finding::NoAnswer);
    } else if is_off_topic(draft, evidence) {
        findings.push(Finding::OffTopic);
    }
    computed(draft, evidence, &mut findings);
    wrong_calculations(draft, evidence, &mut findings);
    unknown_numbers(draft, evidence, &mut findings);
    unknown_names(draft, evidence, &mut findings);
    citations(evidence, &mut findings);
    Review {
        score: f64::from(100_u32.saturating_sub(findings.iter().map(Finding::penalty).sum())) / 100.0,
        blamed: blamed(&findings, evidence.can_search_wider),
        findings,
    }
}

/// The node that the heaviest findings blame; of equals the one that works first.
fn blamed(findings: &[Finding], can_search_wider: bool) -> Option<Blame> {
    let weight = |blame: Blame| {
        let own = findings.iter().filter(|finding| finding.blamed(can_search_wider) == Some(blame));
        own.map(Finding::penalty).sum::<u32>()
    };
    let mut heaviest = None;
    for blame in [Blame::Calculator, Blame::Research, Blame::Writer] {
        let weight = weight(blame);
        if weight > heaviest.map_or(0, |(_, heaviest)| heaviest) {
            heaviest = Some((blame, weight));
        }
    }
    heaviest.map(|(blame, _)| blame)
}

fn is_no_answer(draft: &str) -> bool {
    let lower = draft.to_lowercase();
    ["documents do not answer this", "documents don't answer this"]
        .iter()
        .any(|phrase| lower.contains(phrase))
}

fn is_off_topic(draft: &str, evidence: &Evidence<'_>) -> bool {
    const EVASIONS: &[&str] = &[
        "i do not know",
        "i don't know",
        "i don’t know",
        "i cannot answer",
        "i can't answer",
        "i am not sure what",
    ];
    let lower = draft.to_lowercase();
    let gives_result = evidence.computed.is_some_and(|done| facts::has_value(draft, &done.value));
    if gives_result || evidence.cited > 0 {
        return false;
    }
    let known = facts::words(&everything(evidence));
    let is_about =
        question::words(draft).any(|word| !question::is_stop_word(&word) && facts::knows(&known, &word));
    !is_about || EVASIONS.iter().any(|evasion| lower.contains(evasion))
}

fn computed(draft: &str, evidence: &Evidence<'_>, findings: &mut Vec<Finding>) {
    let Some(done) = evidence.computed else {
        // Without what it computes with, a calculation is not what is missing.
        let has_operands = evidence.plan != Plan::ResearchThenCalculate || !evidence.sources.is_empty();
        if evidence.plan.calculates() && has_operands {
            findings.push(Finding::NotComputed);
        }
        return;
    };
    let mut given = facts::numbers(evidence.question);
    if evidence.plan == Plan::ResearchThenCalculate {
        given.extend(sources(evidence).iter().flat_map(|text| facts::numbers(text)));
    }
    let foreign = facts::written_numbers(&done.expression)
        .find(|number| !given.contains(&facts::plain(number)) && !CONSTANTS.contains(number));
    if let Some(number) = foreign {
        let (expression, number) = (done.expression.clone(), number.to_owned());
        findings.push(Finding::ForeignOperand { expression, number });
    }
    if !facts::has_value(draft, &done.value) {
        findings.push(Finding::ResultMissing { computed: done.text.clone() });
    }
}

/// Numbers that an expression may have although the question says them in words: percentages, roots, squares, units.
const CONSTANTS: &[&str] = &["0.5", "2", "3", "7", "10", "12", "24", "60", "100", "365", "1000", "1024"];

fn wrong_calculations(draft: &str, evidence: &Evidence<'_>, findings: &mut Vec<Finding>) {
    let texts: Vec<String> = sources(evidence).into_iter().map(facts::bare).collect();
    for claim in find_expressions(&facts::bare(draft)) {
        let right = match &claim.verdict {
            Verdict::Wrong(right) => format!("it is {}", right.display),
            Verdict::NotComputable(error) => {
                format!("it has no result ({})", error.to_string().lines().next().unwrap_or_default())
            }
            _ => continue,
        };
        // A source may be quoted with its own mistakes, as long as the quotation is exact.
        let quoted = |text: &String| text.contains(&claim.expression) && text.contains(&claim.claimed);
        if texts.iter().any(quoted) {
            continue;
        }
        findings.push(Finding::WrongCalculation {
            expression: claim.expression,
            claimed: claim.claimed,
            right,
        });
    }
}

fn unknown_numbers(draft: &str, evidence: &Evidence<'_>, findings: &mut Vec<Finding>) {
    let text = facts::bare(draft);
    let mut known = facts::numbers(&everything(evidence));
    let claims = find_expressions(&text);
    for claim in &claims {
        // What follows from known numbers is known; a wrong result is a finding of its own already.
        let operands = facts::numbers(&claim.expression);
        if operands.is_subset(&known) || !claim.holds() {
            known.extend(facts::numbers(&claim.claimed));
        }
    }
    let mut told = BTreeSet::new();
    for number in facts::written_numbers(&text) {
        let plain = facts::plain(number);
        let is_result = evidence.computed.is_some_and(|done| facts::is_rounding_of(&plain, &done.value));
        if !known.contains(&plain) && !is_result && told.insert(plain) {
            findings.push(Finding::UnknownNumber { number: number.to_owned() });
        }
    }
}

fn unknown_names(draft: &str, evidence: &Evidence<'_>, findings: &mut Vec<Finding>) {
    let known = facts::words(&everything(evidence));
    let mut told = BTreeSet::new();
    for name in facts::names(&facts::bare(draft)) {
        if !facts::knows(&known, &name.to_lowercase()) && told.insert(name.clone()) {
            findings.push(Finding::UnknownName { name });
        }
    }
}

fn citations(evidence: &Evidence<'_>, findings: &mut Vec<Finding>) {
    let dangling = evidence.dangling.iter().collect::<BTreeSet<_>>();
    findings.extend(
        dangling.into_iter().map(|citation| Finding::DanglingCitation { citation: citation.clone() }),
    );
    let is_honest = findings.contains(&Finding::NoAnswer);
    if evidence.plan.researches() && evidence.cited == 0 && !is_honest {
        let missing = if evidence.sources.is_empty() { Finding::NothingFound } else { Finding::NoCitations };
        findings.push(missing);
    }
}

fn sources<'a>(evidence: &Evidence<'a>) -> Vec<&'a str> {
    let parts = |source: &'a Source| {
        let citation = &source.citation;
        [source.text.as_str(), citation.heading.as_str(), citation.doc.as_str()]
    };
    evidence.sources.iter().flat_map(parts).collect()
}

/// Everything that a draft may take numbers and names from.
fn everything(evidence: &Evidence<'_>) -> String {
    let computed = evidence.computed.map_or("", |done| done.text.as_str());
    let mut parts = vec![evidence.question, computed];
    parts.extend(sources(evidence));
    parts.join("\n")
}
