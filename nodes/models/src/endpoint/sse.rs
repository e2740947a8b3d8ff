//! Server-sent events from bytes, however the bytes are split. Pure.
//!
//! Only the `data` of events is kept: of both protocols it says by itself what it is.
//! Source: WHATWG HTML, "Server-sent events", parsing an event stream.

use std::collections::VecDeque;

use statewright_nodes_ports::ModelError;

/// The longest event, in bytes.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// An incremental parser: bytes in, events' data out. Any splitting of the same bytes gives the same events.
///
/// ```
/// use statewright_nodes_models::endpoint::SseParser;
/// let mut parser = SseParser::default();
/// parser.push(b"data: caf\xc3")?;
/// parser.push(b"\xa9\r\n\r\ndata: [DO")?;
/// assert_eq!(parser.next_event().as_deref(), Some("café"));
/// assert_eq!(parser.next_event(), None);
/// # Ok::<(), statewright_nodes_ports::ModelError>(())
/// ```
#[derive(Debug, Default)]
pub struct SseParser {
    /// The bytes of the line that is not finished yet.
    line: Vec<u8>,
    /// The data of the event that is not finished yet; `None` before its first `data` field.
    data: Option<String>,
    /// A carriage return ended the last line; a line feed right after it belongs to it.
    after_return: bool,
    /// Past the first line, where a byte order mark may stand.
    past_first_line: bool,
    ready: VecDeque<String>,
}

impl SseParser {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`ModelError::Protocol`] when a line is not UTF-8 or an event is longer than [`EVENT_BYTES_MAX`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            let after_return = std::mem::take(&mut self.after_return);
            if first == b'\n' && after_return {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.line.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            self.check_length()?;
            let Some(end) = end else { break };
            self.after_return = rest[end] == b'\r';
            self.end_line()?;
            rest = &rest[end + 1..];
        }
        Ok(())
    }

    /// The data of the next finished event.
    pub fn next_event(&mut self) -> Option<String> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) -> Result<(), ModelError> {
        let Ok(line) = std::str::from_utf8(&self.line) else {
            return Err(ModelError::Protocol { detail: "an event of the stream is not UTF-8".to_owned() });
        };
        let first = !std::mem::replace(&mut self.past_first_line, true);
        let line = if first { line.trim_start_matches('\u{feff}') } else { line };
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if line.is_empty() {
            self.ready.extend(self.data.take());
        } else if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            }
        }
        self.line.clear();
        Ok(())
    }

    fn check_length(&self) -> Result<(), ModelError> {
        if self.line.len() + self.data.as_ref().map_or(0, String::len) > EVENT_BYTES_MAX {
            let detail = format!("an event of the stream is longer than {EVENT_BYTES_MAX} bytes");
            return Err(ModelError::Protocol { detail });
        }
        Ok(())
    }
}
