//! The program `statewright`: the ready graphs and every command. A program of your own looks the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    statewright::App::ready().main()
}
