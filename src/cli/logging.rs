//! Log lines on standard error. Only the program subscribes; the rooms only speak, and never of what users and models
//! say. What looks like a secret is taken out of every line, whoever wrote it.

use std::io::{self, Write};
use std::sync::Arc;

use statewright_nodes_models::Scrubber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::args::{Global, LogFormat};
use super::output::Output;

/// Without `--log`, warnings of everything but the engine: how nodes end is shown by the program itself.
pub(crate) fn start(global: &Global, out: &Output) {
    let (targets, spans) = match &global.log {
        Some(targets) => (targets.clone(), FmtSpan::CLOSE),
        None => {
            let targets = Targets::new().with_default(LevelFilter::WARN);
            (targets.with_target("statewright_engine_runtime", LevelFilter::OFF), FmtSpan::NONE)
        }
    };
    let screen = out.screen();
    let scrubber = Arc::new(Scrubber::of_process());
    let writer = move || Beside(screen.clone(), scrubber.clone());
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_span_events(spans);
    let layer = match global.log_format {
        LogFormat::Text => layer.with_ansi(false).boxed(),
        LogFormat::Json => layer.json().boxed(),
    };
    // Only another subscriber of the same process could be in the way, and then that one is what is wanted.
    drop(tracing_subscriber::registry().with(layer.with_filter(targets)).try_init());
}

/// Standard error, written beside the live view instead of into it, without secrets. A line comes in one write.
struct Beside(indicatif::MultiProgress, Arc<Scrubber>);

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = self.1.text(&text);
        self.0.suspend(|| io::stderr().write_all(text.as_bytes()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
