//! Kills a process with `kill -9` before, after and between all of its durable writes, for several graphs at each level
//! of durability, and prints what was repeated and what was lost: `kill_matrix [--step N]`.
//!
//! Exit code 0 if `power` and `process` repeat and lose nothing that was stored, 1 otherwise, 2 on a wrong command line.

use std::io::Write;
use std::process::{Command, ExitCode};

mod matrix;

use matrix::{Counts, GRAPHS};
use statewright_engine_runtime::Durability;

const LEVELS: [Durability; 3] = [Durability::Power, Durability::Process, Durability::Exit];

fn main() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let (text, code) = runtime.block_on(async {
        match matrix::child().await {
            Some(Ok(())) => (String::new(), 0),
            Some(Err(error)) => (error, 1),
            None => whole().await,
        }
    });
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

async fn whole() -> (String, u8) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let step = match &arguments[..] {
        [] => Some(1),
        [option, step] if option == "--step" => step.parse().ok().filter(|step| *step > 0),
        _ => None,
    };
    let (Some(step), Ok(this)) = (step, std::env::current_exe()) else {
        return ("usage: kill_matrix [--step N]   (kills at every N-th place)".to_owned(), 2);
    };
    let program = move || Command::new(&this);
    let mut text = "| graph | level | kills | finished activations repeated | effects repeated | runs lost | done again, not stored |\n|---|---|---|---|---|---|---|\n".to_owned();
    let mut kept = true;
    for level in LEVELS {
        let mut sum = Counts::default();
        for name in GRAPHS {
            let counts = match matrix::cell(name, level, step, &program).await {
                Ok(counts) => counts,
                Err(error) => return (format!("{text}{error}"), 1),
            };
            text.push_str(&row(name, level, counts));
            sum.add(counts);
        }
        text.push_str(&row("all", level, sum));
        let broken = sum.finished_repeated + sum.effects_repeated + sum.runs_lost;
        kept &= level == Durability::Exit || broken == 0;
    }
    (text, u8::from(!kept))
}

fn row(name: &str, level: Durability, counts: Counts) -> String {
    let Counts { kills, finished_repeated, effects_repeated, runs_lost, done_again } = counts;
    let level = level.name();
    format!(
        "| {name} | `{level}` | {kills} | {finished_repeated} | {effects_repeated} | {runs_lost} | {done_again} |\n"
    )
}
