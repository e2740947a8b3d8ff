//! Numbers and names in prose, in a form in which two texts can be compared. Pure.

use std::collections::BTreeSet;

/// The text without what is neither number nor name but looks like it: citations such as `[1]` and `[2, 3]`, the
/// numbers of numbered lists, and currency signs.
pub(crate) fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = without_list_number(line);
        while let Some((before, after)) = rest.split_once('[') {
            out.push_str(before);
            let inside = after.split_once(']').filter(|(inside, _)| {
                inside.contains(|c: char| c.is_ascii_digit())
                    && inside.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' '))
            });
            rest = match inside {
                Some((_, after)) => after,
                None => {
                    out.push('[');
                    after
                }
            };
        }
        out.push_str(rest);
    }
    out.retain(|c| !matches!(c, '$' | '€' | '£' | '¥'));
    out
}

fn without_list_number(line: &str) -> &str {
    let text = line.trim_start();
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_item = rest.len() < text.len() && (rest.starts_with(". ") || rest.starts_with(") "));
    if is_item { &rest[2..] } else { line }
}

/// The numbers of a text as written: `33,522`, `0.5`, `1.2.3`. Digits inside words (`SW-X201`, `h2o`) are no numbers.
pub(crate) fn written_numbers(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(c) = text[at..].chars().next() {
            let start = at;
            if !(c.is_alphanumeric() || c == '_') {
                at += c.len_utf8();
                continue;
            }
            if !c.is_ascii_digit() {
                // A word, with its digits.
                at +=
                    text[at..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len() - at);
                continue;
            }
            at = end_of_number(text, at);
            return Some(&text[start..at]);
        }
        None
    })
}

fn end_of_number(text: &str, start: usize) -> usize {
    let digits = |at: usize| text[at..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = start + digits(start);
    loop {
        let rest = &text[end..];
        let more = rest.get(1..).map_or(0, |_| digits(end + 1));
        let goes_on = rest.starts_with('.') && more > 0 || rest.starts_with(',') && more == 3;
        if !goes_on {
            return end;
        }
        end += 1 + more;
    }
}

/// A number without commas and needless zeros: `1,500.50` → `1500.5`.
pub(crate) fn plain(number: &str) -> String {
    let number = number.replace(',', "");
    if number.matches('.').count() > 1 {
        return number;
    }
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    let whole = number.trim_start_matches('0');
    if whole.is_empty() || whole.starts_with('.') { format!("0{whole}") } else { whole.to_owned() }
}

/// The plain numbers of a text, also those that are written in words.
pub(crate) fn numbers(text: &str) -> BTreeSet<String> {
    const WORDS: &[(&str, &str)] = &[
        ("zero", "0"),
        ("one", "1"),
        ("two", "2"),
        ("three", "3"),
        ("four", "4"),
        ("five", "5"),
        ("six", "6"),
        ("seven", "7"),
        ("eight", "8"),
        ("nine", "9"),
        ("ten", "10"),
        ("eleven", "11"),
        ("twelve", "12"),
        ("dozen", "12"),
        ("twenty", "20"),
        ("fifty", "50"),
        ("hundred", "100"),
        ("thousand", "1000"),
        ("million", "1000000"),
        ("first", "1"),
        ("second", "2"),
        ("third", "3"),
        ("half", "0.5"),
        ("once", "1"),
        ("twice", "2"),
        ("double", "2"),
    ];
    let spelled = words(text).into_iter().filter_map(|word| WORDS.iter().find(|(name, _)| *name == word));
    written_numbers(text).map(plain).chain(spelled.map(|(_, number)| (*number).to_owned())).collect()
}

/// Whether a text has this value, perhaps rounded.
pub(crate) fn has_value(text: &str, value: &str) -> bool {
    let value = value.trim_start_matches('-');
    written_numbers(text).any(|number| {
        let number = plain(number);
        number == plain(value) || is_rounding_of(&number, value)
    })
}

/// Whether a plain number is the value, rounded to the decimals that it shows and off by less than 1 %.
pub(crate) fn is_rounding_of(number: &str, value: &str) -> bool {
    let (Ok(number_value), Ok(value)) = (number.parse::<f64>(), value.trim_start_matches('-').parse::<f64>())
    else {
        return false;
    };
    let decimals = number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let half_unit = 0.5 * 0.1_f64.powi(i32::try_from(decimals).unwrap_or(i32::MAX));
    let off = (number_value - value).abs();
    off <= half_unit * (1.0 + 1e-9) && off <= value.abs() * 0.01
}

/// The words of a text in lower case, split at everything that is neither letter nor digit.
pub(crate) fn words(text: &str) -> BTreeSet<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(str::to_lowercase).collect()
}

/// Whether each part of a word in lower case is known, but for the endings of plural, possessive and the like.
pub(crate) fn knows(known: &BTreeSet<String>, word: &str) -> bool {
    let mut parts =
        word.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty() && *part != "s");
    parts.all(|part| {
        known.contains(part)
            || part.strip_suffix('s').is_some_and(|one| known.contains(one))
            || known.contains(&format!("{part}s"))
            || stem(part).is_some_and(|stem| {
                // The words are sorted, so those with this beginning stand together.
                known.range(stem.to_owned()..).next().is_some_and(|word| word.starts_with(stem))
            })
    })
}

/// A long word without the ending of a verb or noun.
fn stem(word: &str) -> Option<&str> {
    let stem = ["ing", "ed", "es", "ion", "ions"].iter().find_map(|ending| word.strip_suffix(ending))?;
    (stem.len() >= 4).then_some(stem)
}

/// The names of a text: capitalised words that do not merely begin a sentence, and words with a capital inside.
pub(crate) fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut begins = true;
    let mut opening: Option<&str> = None;
    for word in text.split_whitespace() {
        let core = word.trim_matches(|c: char| !c.is_alphanumeric());
        if core.is_empty() {
            // A bullet or a dash.
            continue;
        }
        let letters = core.chars().filter(|c| c.is_alphabetic()).count();
        let is_capital = core.starts_with(char::is_uppercase) && letters >= 2;
        let is_inner = letters >= 2 && core.chars().skip(1).any(char::is_uppercase);
        if is_inner || is_capital && !begins {
            // `Jensen Huang` at the beginning of a sentence: the second word tells that the first is a name.
            names.extend(opening.filter(|_| !is_inner).map(str::to_owned));
            names.push(core.to_owned());
        }
        opening = (is_capital && begins && !is_opener(core) && word.ends_with(core)).then_some(core);
        let end = word.trim_end_matches(['"', '\'', ')', '*', '_', '`', '”', '’']);
        begins = end.ends_with(['.', '!', '?', ':']);
    }
    names
}

/// Words that begin a sentence before a name without being part of it.
fn is_opener(word: &str) -> bool {
    let lower = word.to_lowercase();
    let is_common =
        ["both", "during", "however", "since", "therefore", "thus", "under", "unlike"].contains(&&*lower);
    is_common || crate::question::is_stop_word(&lower) || lower.ends_with("ly") || lower.ends_with("ing")
}
