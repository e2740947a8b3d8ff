//! What goes to standard output and standard error, and how it looks. Not what is said.
//!
//! A reader that went away (`| head`) is no reason to stop a durable run: what cannot be written is dropped.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use console::Style;
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde_json::{Value, json};

use super::Exit;
use super::args::{Color, Global};
use crate::error::CliError;

/// The program's mouth.
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    color: bool,
    color_stderr: bool,
    live: bool,
    screen: MultiProgress,
    program: String,
}

impl Output {
    pub(crate) fn new(global: &Global, program: String) -> Self {
        let colored = |is_terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                is_terminal && !env_is_set("NO_COLOR") && std::env::var("TERM").as_deref() != Ok("dumb")
            }
        };
        let is_terminal = io::stdout().is_terminal();
        let color = colored(is_terminal);
        let live = is_terminal && color && !global.json && !global.quiet;
        let target = if live { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() };
        Self {
            json: global.json,
            quiet: global.quiet,
            color,
            color_stderr: colored(io::stderr().is_terminal()),
            live,
            screen: MultiProgress::with_draw_target(target),
            program,
        }
    }

    /// Whether somebody watches a terminal that can be redrawn.
    pub(crate) fn live(&self) -> bool {
        self.live
    }

    /// Where spinners turn.
    pub(crate) fn screen(&self) -> MultiProgress {
        self.screen.clone()
    }

    /// A style on standard output; plain if colours are off.
    pub(crate) fn style(&self) -> Style {
        Style::new().force_styling(self.color)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.style().dim().apply_to(text).to_string()
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.style().bold().apply_to(text).to_string()
    }

    /// Text as it is, on standard output.
    pub(crate) fn text(&self, text: &str) {
        self.screen.suspend(|| {
            let mut stdout = io::stdout().lock();
            drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
        });
    }

    /// A line on standard output.
    pub(crate) fn line(&self, line: &str) {
        self.text(&format!("{line}\n"));
    }

    /// The one JSON object of a command.
    pub(crate) fn object(&self, object: &Value) {
        self.line(&format!("{object:#}"));
    }

    /// A line of diagnostics on standard error; nothing with `-q`.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            self.diagnostic(line);
        }
    }

    /// Something that was left out and is worth knowing, on standard error.
    pub(crate) fn warning(&self, code: &str, message: &str) {
        let head = Style::new().force_styling(self.color_stderr).yellow().bold();
        self.note(&format!("{}: {message}", head.apply_to(format!("warning[{code}]"))));
    }

    /// An error of a command: on standard error, or as the one JSON object.
    pub(crate) fn error(&self, error: &CliError) -> Exit {
        self.failure(&Failed { code: error.code(), message: error.to_string(), help: None }, json!({}))
    }

    /// An error with what is known beside it.
    pub(crate) fn failure(&self, failed: &Failed<'_>, mut object: Value) -> Exit {
        let see = format!("{} explain {}", self.program, failed.code);
        if self.json {
            object["error"] =
                json!({ "code": failed.code, "message": failed.message, "help": failed.help, "see": see });
            self.object(&object);
            return Exit::Error;
        }
        let head = Style::new().force_styling(self.color_stderr).red().bold();
        let mut lines = format!("{}: {}", head.apply_to(format!("error[{}]", failed.code)), failed.message);
        if let Some(help) = &failed.help {
            lines.push_str(&format!("\n  help: {help}"));
        }
        if crate::pages::page(failed.code).is_some() {
            lines.push_str(&format!("\n  see: {see}"));
        }
        self.diagnostic(&lines);
        Exit::Error
    }

    fn diagnostic(&self, line: &str) {
        self.screen.suspend(|| drop(writeln!(io::stderr().lock(), "{line}")));
    }

    /// A table with aligned columns; the last column is as wide as it is.
    pub(crate) fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        let mut widths: Vec<usize> = head.iter().map(|cell| console::measure_text_width(cell)).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(console::measure_text_width(cell));
            }
        }
        let padded = |cells: &mut dyn Iterator<Item = &str>| -> String {
            let cells = cells.zip(&widths).map(|(cell, width)| {
                format!("{cell}{}", " ".repeat(width.saturating_sub(console::measure_text_width(cell))))
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.line(&self.dim(&padded(&mut head.iter().copied())));
        for row in rows {
            self.line(&padded(&mut row.iter().map(String::as_str)));
        }
    }
}

/// An error as it is shown.
pub(crate) struct Failed<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

pub(crate) fn env_is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// A time as people read it.
pub(crate) fn human(time: Duration) -> String {
    match time.as_millis() {
        0 => "<1 ms".to_owned(),
        ms @ 1..1_000 => format!("{ms} ms"),
        ms @ 1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        ms => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// The beginning of a text on one line.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // What a stored text does to a terminal is not up to the text.
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    if line.chars().count() <= chars_max {
        return line;
    }
    let kept: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{kept}…")
}
