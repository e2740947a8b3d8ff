//! Plays histories and says what they were like: `simulate --seeds 0..10000`, and `simulate --nested 0..10000` for graphs
//! with graphs inside their nodes.
//!
//! Exit code 0 if every promise was kept, 1 with a trace of the first seed that broke one, 2 on a wrong command line.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use statewright_engine_testkit::{History, Violation, simulate, simulate_nested};

const USAGE: &str =
    "usage: simulate --seeds FROM..TO | --nested FROM..TO   (as in --seeds 0..10000; TO is not played)";

type Play = fn(u64) -> Result<History, Box<Violation>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    let (message, code) = match seeds(&arguments) {
        None => (USAGE.to_owned(), 2),
        Some((play_one, from, to)) => play(play_one, from, to),
    };
    match writeln!(out, "{message}") {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn seeds(arguments: &[String]) -> Option<(Play, u64, u64)> {
    let [option, range] = arguments else { return None };
    let play: Play = match option.as_str() {
        "--seeds" => simulate,
        "--nested" => simulate_nested,
        _ => return None,
    };
    let (from, to) = range.split_once("..")?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from < to).then_some((play, from, to))
}

fn play(play_one: Play, from: u64, to: u64) -> (String, u8) {
    let began = Instant::now();
    let mut sum = History::default();
    for seed in from..to {
        let history = match play_one(seed) {
            Ok(history) => history,
            Err(violation) => return (violation.to_string(), 1),
        };
        sum.steps += history.steps;
        sum.entries += history.entries;
        sum.executions += history.executions;
        sum.inner += history.inner;
        sum.crashes += history.crashes;
        sum.stops += history.stops;
        sum.cancels += history.cancels;
        sum.snapshots += history.snapshots;
        sum.prefixes += history.prefixes;
        sum.together += history.together;
        sum.delivered += history.delivered;
        sum.faults.add(&history.faults);
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = (to - from) as f64 / seconds;
    let message = format!(
        "{} histories kept every promise ({rate:.0} a second): {} steps, {} executions ({} inside graphs that are nodes), {} entries, {} snapshots, {} crashes, {} stops, {} cancels, {} prefixes compared, {} times several questions at once, {} deliveries; {} faults: {}",
        to - from,
        sum.steps,
        sum.executions,
        sum.inner,
        sum.entries,
        sum.snapshots,
        sum.crashes,
        sum.stops,
        sum.cancels,
        sum.prefixes,
        sum.together,
        sum.delivered,
        sum.faults.total(),
        sum.faults.by_kind().map(|(kind, count)| format!("{count} {kind}")).join(", ")
    );
    (message, 0)
}
