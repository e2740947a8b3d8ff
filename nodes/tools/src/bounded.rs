//! Results that fit: a tool's text is cut to a size that a model can be given, and bytes that are no text become one.
//!
//! A result is cut where it lies; of what is cut off nothing is copied.

use std::sync::Arc;

use statewright_nodes_ports::{BoxFuture, SideEffect, Tool, ToolError, ToolInput, ToolOutput, ToolSpec};

/// The most that a model is given of one result, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// What the note about a cut may take of that.
const NOTE_BYTES: usize = 160;

/// A tool whose results, and errors, have at most so many bytes.
///
/// ```
/// use statewright_nodes_tools::bounded;
///
/// let cut = bounded("a line\n".repeat(100_000), 64 * 1024);
/// assert!(cut.len() <= 64 * 1024);
/// assert!(cut.ends_with("of 700000 bytes are shown; ask for less, or for a part]"));
/// ```
pub struct Bounded {
    tool: Arc<dyn Tool>,
    bytes_max: usize,
}

impl Bounded {
    /// This tool, with results of at most so many bytes, the note about a cut included.
    #[must_use]
    pub fn new(tool: Arc<dyn Tool>, bytes_max: usize) -> Self {
        Self { tool, bytes_max }
    }
}

impl Tool for Bounded {
    fn spec(&self) -> &ToolSpec {
        self.tool.spec()
    }

    fn side_effect(&self) -> SideEffect {
        self.tool.side_effect()
    }

    fn is_idempotent(&self) -> bool {
        self.tool.is_idempotent()
    }

    fn has_own_steps(&self) -> bool {
        self.tool.has_own_steps()
    }

    fn call<'a>(&'a self, input: ToolInput<'a>) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(async move {
            match self.tool.call(input).await {
                Ok(output) => Ok(ToolOutput { content: bounded(output.content, self.bytes_max) }),
                Err(error) => Err(ToolError { message: bounded(error.message, self.bytes_max), ..error }),
            }
        })
    }
}

impl std::fmt::Debug for Bounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tool, bytes_max } = self;
        f.debug_struct("Bounded").field("name", &tool.spec().name).field("bytes_max", bytes_max).finish()
    }
}

/// The text, cut to so many bytes with a note of how much is shown. It is cut at the end of a line if one ends in the
/// last tenth, else between two characters.
#[must_use]
pub fn bounded(text: String, bytes_max: usize) -> String {
    let whole = text.len();
    if whole <= bytes_max { text } else { cut(text, whole, "", bytes_max) }
}

/// The bytes as text of at most so many bytes. What is not UTF-8 is shown as `�`, and a note says how often.
#[must_use]
pub fn bounded_bytes(mut bytes: Vec<u8>, bytes_max: usize) -> String {
    let whole = bytes.len();
    if whole > bytes_max {
        bytes.truncate(bytes_max);
        // A character that the cut goes through is dropped, not taken for a broken one.
        let rest = bytes.utf8_chunks().last().map_or(0, |chunk| {
            let is_begun =
                std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            if is_begun { chunk.invalid().len() } else { 0 }
        });
        bytes.truncate(bytes.len() - rest);
    }
    let (text, note) = match String::from_utf8(bytes) {
        Ok(text) => (text, String::new()),
        Err(error) => {
            let bytes = error.as_bytes();
            let broken = bytes.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
            let note =
                format!("\n[{broken} places are not UTF-8 and are shown as \u{fffd}: this may be no text]");
            (String::from_utf8_lossy(bytes).into_owned(), note)
        }
    };
    if whole > bytes_max || text.len() + note.len() > bytes_max {
        return cut(text, whole, &note, bytes_max);
    }
    text + &note
}

/// Cuts, and says so before what else there is to say.
fn cut(mut text: String, whole: usize, note: &str, bytes_max: usize) -> String {
    let kept = boundary(&text, bytes_max.saturating_sub(NOTE_BYTES + note.len()));
    text.truncate(kept);
    let note = format!("\n[cut: {kept} of {whole} bytes are shown; ask for less, or for a part]{note}");
    // With hardly any room at all, a note alone would tell nothing.
    if kept + note.len() <= bytes_max {
        text.push_str(&note);
    }
    // The rest of the memory is given back, or a thousand cut results would hold on to all that they once were.
    text.shrink_to_fit();
    text
}

/// The end of the last line that ends in the last tenth, or of the last character, within so many bytes.
fn boundary(text: &str, bytes_max: usize) -> usize {
    let end = text.floor_char_boundary(bytes_max);
    let tenth = end - end / 10;
    let line = text.as_bytes()[tenth..end].iter().rposition(|byte| *byte == b'\n');
    line.map_or(end, |line| tenth + line)
}
