//! Makes up documents of graphs, builds them, runs what becomes a graph and kills it, for as long as it is told:
//! `fuzz_documents --minutes N`.
//!
//! Nothing may panic or be refused without a code and a place, and what was killed ends as it would have without that. Exit
//! code 0 if all of it held, 1 with the seed of what did not, 2 on a wrong command line.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

mod made_up;
mod target;

use target::{Tally, Target};

const USAGE: &str = "usage: fuzz_documents --minutes N   [--from SEED]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (message, code) = match read(&arguments) {
        None => (USAGE.to_owned(), 2),
        Some((minutes, from)) => match play(minutes, from) {
            Ok(message) => (message, 0),
            Err(message) => (message, 1),
        },
    };
    match writeln!(std::io::stdout(), "{message}") {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn read(arguments: &[String]) -> Option<(f64, u64)> {
    let (mut minutes, mut from) = (None, 0);
    for pair in arguments.chunks(2) {
        let [option, value] = pair else { return None };
        match option.as_str() {
            "--minutes" => minutes = value.parse::<f64>().ok().filter(|minutes| *minutes > 0.0),
            "--from" => from = value.parse().ok()?,
            _ => return None,
        }
    }
    Some((minutes?, from))
}

fn play(minutes: f64, from: u64) -> Result<String, String> {
    let target = Target::new()?;
    let (began, limit) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let mut tally = Tally::default();
    for seed in from.. {
        target.play(seed, &mut tally)?;
        if seed % 64 == 0 && began.elapsed() >= limit {
            break;
        }
    }
    let Tally { documents, refused, graphs, finished, taken_up } = tally;
    Ok(format!(
        "{documents} documents in {:.0} s: {refused} refused with codes and places, {graphs} became graphs; {finished} runs finished, and {taken_up} were killed and ended the same; no panic",
        began.elapsed().as_secs_f64()
    ))
}
