//! Where sentences end. A rule of thumb for prose, not a grammar.

/// Bytes behind which a new sentence starts (behind the white space that follows the sentence's end).
///
/// A sentence ends at `.`, `!`, `?` or `…`, with closing quotes or brackets, before white space that is not
/// followed by a small letter or digit (`e.g. this`, `no. 5`), and at a CJK full stop.
pub(crate) fn starts(text: &str) -> impl Iterator<Item = usize> + '_ {
    let mut ended = false;
    let mut spaced = false;
    text.char_indices().filter_map(move |(at, c)| {
        if c.is_whitespace() {
            spaced = ended;
            return None;
        }
        let starts = spaced && !c.is_lowercase() && !c.is_ascii_digit();
        spaced = false;
        match c {
            '.' | '!' | '?' | '…' => ended = true,
            '"' | '\'' | ')' | ']' | '*' | '_' | '”' | '’' | '»' | '`' => ended = ended && !starts,
            _ => ended = false,
        }
        if matches!(c, '。' | '！' | '？') {
            // Written without spaces: the next character starts the next sentence.
            (ended, spaced) = (true, true);
        }
        starts.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_start_where_a_reader_sees_them() {
        for (text, expected) in [
            ("One. Two! Three?", &["Two! Three?", "Three?"][..]),
            ("See e.g. this one. Then that.", &["Then that."]),
            ("He said \"no.\" Then left.", &["Then left."]),
            ("Version 1.2 is out. It works.", &["It works."]),
            ("**Bold.** *Next.* End", &["*Next.* End", "End"]),
            ("一。二。", &["二。"]),
            ("no end", &[]),
            ("", &[]),
        ] {
            let found: Vec<&str> = starts(text).map(|at| &text[at..]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
