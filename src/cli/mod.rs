//! The commands. This file parses the command line, sets up what all commands share, and maps results to exit codes;
//! what a command does is in the file of its name.
#![doc = include_str!("../../docs/guides/json.md")]

mod args;
mod cassette;
mod chat;
mod chat_view;
mod check_runs;
mod db;
mod doctor;
mod drive;
mod explain;
mod graph;
mod home;
mod lines;
mod live;
mod logging;
mod migrate;
mod output;
mod prune;
mod redaction;
mod run;
mod runs;
mod session;
mod show;
mod signals;
mod spending;
mod standing;
mod threads;
mod tools;
mod trace;
mod watch;
mod when;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::app::App;
use crate::error::CliError;
use args::{Cli, Command, RunsCommand};
use output::Output;

/// How a command ended, as the exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Finished = 0,
    Error = 1,
    /// A question waits for its answer.
    Paused = 3,
    /// Stopped before its end; `resume` goes on.
    Resumable = 4,
    /// Stored runs that this build cannot take up.
    Blocked = 100,
    /// A second Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// What every command has at hand.
pub(crate) struct Shell<'a> {
    pub(crate) app: &'a App,
    pub(crate) global: args::Global,
    pub(crate) out: Output,
    /// The program's name as it was called, for hints that can be pasted.
    pub(crate) program: String,
}

/// The whole program, from the command line to the exit code.
pub(crate) fn main(app: &App) -> ExitCode {
    let program = program_name();
    let matches = command(&program).version(app.shown_version()).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version count as success; the text is gone if nobody reads it, which is no reason to fail.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let out = Output::new(&cli.global, program.clone());
    logging::start(&cli.global, &out);
    let shell = Shell { app, global: cli.global, out, program };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return shell.out.error(&error).into(),
    };
    let exit =
        runtime.block_on(dispatch(&shell, cli.command)).unwrap_or_else(|error| shell.out.error(&error));
    // A blocking task that is still at work, such as the indexing of documents, has nobody who waits for it.
    runtime.shutdown_background();
    exit.into()
}

fn command(program: &str) -> clap::Command {
    Cli::command().name(program.to_owned()).bin_name(program.to_owned())
}

fn program_name() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&path).file_stem().and_then(|stem| stem.to_str());
    name.filter(|name| !name.is_empty()).unwrap_or("statewright").to_owned()
}

/// Two workers at least, so that the view keeps up while a node computes.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8));
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    built.map_err(|error| CliError::System { what: "the asynchronous runtime", reason: error.to_string() })
}

async fn dispatch(shell: &Shell<'_>, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => run::run(shell, args).await,
        Command::Chat(args) => chat::chat(shell, args).await,
        Command::Resume(args) => run::resume(shell, args).await,
        Command::Answer(args) => run::answer(shell, args).await,
        Command::Runs { command } => match command {
            RunsCommand::List(args) => runs::list(shell, &args).await,
            RunsCommand::Show(args) => show::show(shell, &args).await,
            RunsCommand::Watch(args) => watch::watch(shell, &args).await,
            RunsCommand::Cancel(args) => runs::cancel(shell, &args).await,
            RunsCommand::Settle(args) => run::settle(shell, *args).await,
            RunsCommand::Deliver(args) => runs::deliver(shell, &args).await,
        },
        Command::Threads { command } => threads::threads(shell, command).await,
        Command::Cassette { command } => cassette::cassette(shell, command).await,
        Command::Db { command } => db::db(shell, command).await,
        Command::CheckRuns(args) => check_runs::check_runs(shell, &args).await,
        Command::Graph(args) => graph::graph(shell, &args).await,
        Command::Explain(args) => explain::explain(shell, &args),
        Command::Doctor(args) => doctor::doctor(shell, &args).await,
        Command::Tools { command } => tools::tools(shell, command).await,
        Command::Completions { shell: kind } => {
            let mut script = Vec::new();
            clap_complete::generate(kind, &mut self::command(&shell.program), &shell.program, &mut script);
            shell.out.text(&String::from_utf8_lossy(&script));
            Ok(Exit::Finished)
        }
    }
}
