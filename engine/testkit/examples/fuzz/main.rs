//! Damages journals and reads them, for as long as it is told: `fuzz --target journal|snapshot --minutes N`.
//!
//! Nothing may panic, allocate without bound, or be refused without a code. Exit code 0 if nothing did, 1 with the seed of
//! what did, 2 on a wrong command line.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

mod target;

use target::{Corpus, Tally, Target};

const USAGE: &str = "usage: fuzz --target journal|snapshot --minutes N   [--from SEED]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (message, code) = match read(&arguments) {
        None => (USAGE.to_owned(), 2),
        Some((target, minutes, from)) => match play(target, minutes, from) {
            Ok(message) => (message, 0),
            Err(message) => (message, 1),
        },
    };
    match writeln!(std::io::stdout(), "{message}") {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn read(arguments: &[String]) -> Option<(Target, f64, u64)> {
    let (mut target, mut minutes, mut from) = (None, None, 0);
    for pair in arguments.chunks(2) {
        let [option, value] = pair else { return None };
        match (option.as_str(), value.as_str()) {
            ("--target", "journal") => target = Some(Target::Journal),
            ("--target", "snapshot") => target = Some(Target::Snapshot),
            ("--minutes", value) => minutes = value.parse::<f64>().ok().filter(|minutes| *minutes > 0.0),
            ("--from", value) => from = value.parse().ok()?,
            _ => return None,
        }
    }
    Some((target?, minutes?, from))
}

fn play(target: Target, minutes: f64, from: u64) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let corpus = runtime.map_err(|error| error.to_string())?.block_on(Corpus::new())?;
    let (began, limit) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let mut tally = Tally::default();
    for seed in from.. {
        corpus.play(target, seed, &mut tally)?;
        if seed % 256 == 0 && began.elapsed() >= limit {
            break;
        }
    }
    let Tally { executions, refused, taken_up, bytes_peak } = tally;
    Ok(format!(
        "{target:?}: {executions} executions in {:.0} s, {refused} refused with a code, {taken_up} taken up, {bytes_peak} bytes at most at a time; no panic",
        began.elapsed().as_secs_f64()
    ))
}
