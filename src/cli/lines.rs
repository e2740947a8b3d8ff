//! Standard input line by line, without keeping anybody from stopping: a thread of its own reads.

use std::io::{BufRead, Read};

use tokio::sync::mpsc;

/// The longest line, in bytes.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// How many lines are read ahead.
const AHEAD: usize = 16;

/// The lines to come.
pub(crate) struct Lines(mpsc::Receiver<Result<String, String>>);

impl Lines {
    /// From now on standard input belongs to these lines. The thread ends with its input or with the process.
    pub(crate) fn stdin() -> Self {
        let (send, receive) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            let mut input = std::io::stdin().lock();
            while let Some(line) = line(&mut input) {
                if send.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self(receive)
    }

    /// The next line without its end, or what is wrong with it; nothing at the end of the input.
    pub(crate) async fn next(&mut self) -> Option<Result<String, String>> {
        self.0.recv().await
    }
}

fn line(input: &mut impl BufRead) -> Option<Result<String, String>> {
    let mut bytes = Vec::new();
    match input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes) {
        Ok(0) => return None,
        Ok(_) => {}
        Err(error) => return Some(Err(format!("standard input cannot be read: {error}"))),
    }
    if bytes.len() as u64 > LINE_BYTES_MAX {
        let rest = input.skip_until(b'\n');
        return Some(Err(match rest {
            Ok(_) => format!("the line is longer than {LINE_BYTES_MAX} bytes; ask for less at once"),
            Err(error) => format!("standard input cannot be read: {error}"),
        }));
    }
    let text = String::from_utf8(bytes);
    let text =
        text.map_err(|error| format!("the byte at offset {} is not UTF-8", error.utf8_error().valid_up_to()));
    Some(text.map(|text| text.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_text() {
        let long = "x".repeat(3 * 1024 * 1024);
        let mut input = Vec::from(format!("one\r\n\n{long}\ntwo\n"));
        input.extend(b"\xff\xfe\nthree");
        let mut input = input.as_slice();
        let mut next = || line(&mut input);
        assert_eq!((next(), next()), (Some(Ok("one".to_owned())), Some(Ok(String::new()))));
        assert!(next().is_some_and(|line| line.is_err_and(|error| error.contains("longer"))));
        assert_eq!(next(), Some(Ok("two".to_owned())));
        assert!(next().is_some_and(|line| line.is_err_and(|error| error.contains("offset 0"))));
        assert_eq!((next(), next()), (Some(Ok("three".to_owned())), None));
    }
}
