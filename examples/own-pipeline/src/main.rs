//! A program with a graph of its own, and every command of `statewright`.

mod letter;

use std::process::ExitCode;

fn main() -> ExitCode {
    statewright::App::new().version(env!("CARGO_PKG_VERSION")).graph("letter", letter::letter).main()
}
