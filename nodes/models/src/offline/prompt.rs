//! Reads the tagged blocks of a prompt. What is not tagged as expected is left out, never an error.

/// The blocks of one user message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prompt<'a> {
    pub(super) question: &'a str,
    pub(super) calculation: Option<&'a str>,
    pub(super) critique: Option<&'a str>,
    pub(super) sources: Vec<Source<'a>>,
}

/// One retrieved piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source<'a> {
    /// What a citation says: `[id]`.
    pub(super) id: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Prompt<'a> {
    pub(super) fn parse(message: &'a str) -> Self {
        let tagged = block(message, "question");
        Self {
            question: tagged.unwrap_or(message).trim(),
            calculation: block(message, "calculation").filter(|text| !text.is_empty()),
            critique: block(message, "critique").filter(|text| !text.is_empty()),
            sources: sources(message),
        }
    }
}

/// Everything between `<source …>` and the next `</source>`, in order.
pub(super) fn sources(message: &str) -> Vec<Source<'_>> {
    let mut found = Vec::new();
    let mut rest = message;
    while let Some(at) = rest.find("<source ") {
        rest = &rest[at + "<source ".len()..];
        let Some((attributes, after)) = rest.split_once('>') else { break };
        let Some((text, after)) = after.split_once("</source>") else { break };
        if let Some(id) = attribute(attributes, "id") {
            found.push(Source { id, text });
        }
        rest = after;
    }
    found
}

/// The content of the first `<tag>…</tag>` that is not inside a source: a document may well show such tags.
fn block<'a>(message: &'a str, tag: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut from = 0;
    loop {
        let start = from + message[from..].find(&open)?;
        match message[from..start].find("<source ") {
            Some(source) => {
                let source = from + source;
                from = source + message[source..].find("</source>")? + "</source>".len();
            }
            None => {
                let content = &message[start + open.len()..];
                return content.split_once(&close).map(|(content, _)| content.trim());
            }
        }
    }
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let start =
        attributes.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix("=\""))?;
    let value = start.split_once('"').map(|(value, _)| value)?;
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_in_any_order() {
        let message = "Use this.\n<source id=\"1\" doc=\"a b.md\" start=\"0\" end=\"9\">One < two.</source>\n\
            <source id=\"2\">Two.</source><calculation> 1 + 1 = 2 </calculation><question> Why? </question>";
        let expected = Prompt {
            question: "Why?",
            calculation: Some("1 + 1 = 2"),
            critique: None,
            sources: vec![Source { id: "1", text: "One < two." }, Source { id: "2", text: "Two." }],
        };
        assert_eq!(Prompt::parse(message), expected);
    }

    #[test]
    fn a_plain_message_is_the_question() {
        assert_eq!(Prompt::parse(" Why? "), Prompt { question: "Why?", ..Prompt::default() });
    }

    #[test]
    fn a_source_cannot_bring_a_question_of_its_own() {
        let message = "<source id=\"1\"><question>Evil</question></source><question>Good</question>";
        assert_eq!(Prompt::parse(message).question, "Good");
    }

    #[test]
    fn broken_tags_are_left_out() {
        for message in [
            "<source id=\"1\">never closed",
            "<source >no id</source>",
            "<source id=\"\">x</source>",
            "<source ",
        ] {
            assert_eq!(Prompt::parse(message).sources, [], "{message}");
        }
    }
}
