//! The command line as data. Help texts are written here, and nowhere else but in the files of single commands below.

pub(crate) mod cassette;
pub(crate) mod threads;
pub(crate) mod tools;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use statewright_engine_runtime::{Budget, CacheLimits, Durability, Format};
use statewright_engine_sql::{SqlResults, SqlStore};

/// Runs typed state graphs, and survives crashes.
///
/// Exit codes: 0 finished, 1 error, 2 wrong usage, 3 waiting for an answer, 4 stopped and resumable, 100 runs that this
/// build cannot take up, 130 after a second Ctrl-C.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The folder for data [default: $STATEWRIGHT_HOME, else the platform's data folder]
    #[arg(long, global = true, value_name = "DIR", help_heading = "General")]
    pub(crate) home: Option<PathBuf>,
    /// The database: the path of a SQLite file, or postgres://user@host/database [default: $STATEWRIGHT_DATABASE, else
    /// statewright.db in the folder for data]
    #[arg(long, global = true, value_name = "URL", help_heading = "General")]
    pub(crate) database: Option<String>,
    /// Print one JSON object on standard output
    #[arg(long, global = true, help_heading = "General")]
    pub(crate) json: bool,
    /// What to log on standard error: off, error, warn, info, debug, trace, or directives such as `info,sqlx=off`
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "General")]
    pub(crate) log: Option<tracing_subscriber::filter::Targets>,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "General")]
    pub(crate) log_format: LogFormat,
    /// Let questions, answers, tool calls and errors in full into the log; secrets stay out of it
    #[arg(long, global = true, env = "STATEWRIGHT_LOG_CONTENT", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new(), help_heading = "General")]
    pub(crate) log_content: bool,
    /// Whether to use colours and the live view
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "General")]
    pub(crate) color: Color,
    /// Print only the answer and errors
    #[arg(short, long, global = true, help_heading = "General")]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put a question to a graph
    Run(RunArgs),
    /// Talk to an agent, line by line, on a thread that is stored
    Chat(ChatArgs),
    /// Take up a run that stopped, failed or died
    Resume(ResumeArgs),
    /// Answer an open question of a run, and take the run up
    Answer(AnswerArgs),
    /// List, show, watch, cancel, settle and deliver runs
    Runs {
        #[command(subcommand)]
        command: RunsCommand,
    },
    /// Look back at threads, fork them, delete them
    Threads {
        #[command(subcommand)]
        command: threads::ThreadsCommand,
    },
    /// Show, check and serve what models said in recorded runs
    Cassette {
        #[command(subcommand)]
        command: cassette::CassetteCommand,
    },
    /// Check, copy, shrink or migrate the database
    Db {
        #[command(subcommand)]
        command: DbCommand,
    },
    /// Say which stored runs this build can go on with; exit code 100 if any is blocked
    CheckRuns(CheckRunsArgs),
    /// Draw a graph, or the path that a run took through it
    Graph(GraphArgs),
    /// Explain an error code
    Explain(ExplainArgs),
    /// Check that everything a run needs is there
    Doctor(DoctorArgs),
    /// Say which tools there are for models
    Tools {
        #[command(subcommand)]
        command: tools::ToolsCommand,
    },
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The question
    #[arg(required_unless_present = "input", conflicts_with = "input")]
    pub(crate) question: Option<String>,
    /// Which graph answers [default: the program's first]
    #[arg(long, value_name = "NAME")]
    pub(crate) graph: Option<String>,
    #[command(flatten)]
    pub(crate) services: ServiceArgs,
    /// Go on with a thread, or give a new one its name [default: a new thread]
    #[arg(long, value_name = "ID")]
    pub(crate) thread: Option<String>,
    /// Read the question from a file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// What stored steps survive
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub(crate) durability: Level,
    #[command(flatten)]
    pub(crate) drive: DriveArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    /// Which graph answers [default: react]
    #[arg(long, value_name = "NAME")]
    pub(crate) graph: Option<String>,
    #[command(flatten)]
    pub(crate) services: ServiceArgs,
    /// Go on with a thread, or give a new one its name [default: a new thread]
    #[arg(long, value_name = "ID")]
    pub(crate) thread: Option<String>,
    /// What stored turns survive
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub(crate) durability: Level,
}

/// With what nodes work.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServiceArgs {
    /// The model: `offline`, `openai:NAME`, `anthropic:NAME`, or a name that the endpoint knows; several, separated by
    /// commas, are asked in turn when one is not there [default: the environment's]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The folder of Markdown to search [default: ./docs if there is one]
    #[arg(long, value_name = "DIR")]
    pub(crate) docs: Option<PathBuf>,
    /// A folder with prompts (NAME.md) that take the place of the graph's own
    #[arg(long, value_name = "DIR")]
    pub(crate) prompts: Option<PathBuf>,
}

/// How a run is driven.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DriveArgs {
    /// Write the answer to a file; with --json, the JSON object
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Stop at the next safe point after this time, such as 90s, 5m or 1h; the run can be resumed
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Pause before this node; `resume` goes past it. May be given several times
    #[arg(long, value_name = "NODE")]
    pub(crate) pause_before: Vec<String>,
    /// Pause after this node; `resume` goes on. May be given several times
    #[arg(long, value_name = "NODE")]
    pub(crate) pause_after: Vec<String>,
    /// What the run may spend of a unit, such as calls=20, in place of the graph's limit; can be given several times
    #[arg(long = "budget", value_name = "UNIT=AMOUNT", value_parser = limit)]
    pub(crate) limits: Vec<(String, u64)>,
    #[command(flatten)]
    pub(crate) tape: cassette::TapeArgs,
    /// Run every node, also where an earlier result of it is kept in the database
    #[arg(long)]
    pub(crate) no_cache: bool,
}

impl DriveArgs {
    /// The limits that were given.
    pub(crate) fn budget(&self) -> Budget {
        self.limits.iter().fold(Budget::new(), |budget, (unit, most)| budget.limit(unit, *most))
    }

    /// Where results of nodes are found and kept: in the database of the run, unless they are not to be.
    pub(crate) fn results(&self, store: &SqlStore) -> Option<SqlResults> {
        (!self.no_cache).then(|| store.results(CacheLimits::default()))
    }
}

fn limit(given: &str) -> Result<(String, u64), String> {
    let wrong = || format!("`{given}` is no limit; write it like calls=20");
    let (unit, most) = given.split_once('=').filter(|(unit, _)| !unit.is_empty()).ok_or_else(wrong)?;
    Ok((unit.to_owned(), most.parse().map_err(|_| wrong())?))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Power loss
    #[default]
    Power,
    /// The death of the process
    Process,
    /// Only the end of the run is stored
    Exit,
}

impl From<Level> for Durability {
    fn from(level: Level) -> Self {
        match level {
            Level::Power => Durability::Power,
            Level::Process => Durability::Process,
            Level::Exit => Durability::Exit,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run's id, or the beginning of it
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) services: ServiceArgs,
    #[command(flatten)]
    pub(crate) drive: DriveArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The run's id, or the beginning of it
    pub(crate) run: String,
    /// The question's id
    pub(crate) id: String,
    /// The answer: JSON, or else a text
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) services: ServiceArgs,
    #[command(flatten)]
    pub(crate) drive: DriveArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, newest first
    List(ListArgs),
    /// Show the steps of a run and what came out
    Show(OneRun),
    /// Follow a run of another process until it stops
    Watch(OneRun),
    /// End a run for good
    Cancel(OneRun),
    /// Say how an effect ended whose outcome is unknown, and take the run up
    Settle(Box<threads::SettleArgs>),
    /// Deliver what is left in the outbox of a run, and run nothing
    Deliver(OneRun),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Read everything and compare it with its checksums; say what of each thread is sound
    Check,
    /// Copy a SQLite database into a new file while runs go on
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Give unused space back
    Vacuum,
    /// Bring the tables to this program's version, and say which one they had
    Migrate,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Show at most this many
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Only runs of this graph
    #[arg(long, value_name = "NAME")]
    pub(crate) graph: Option<String>,
    /// Only runs on this thread
    #[arg(long, value_name = "ID")]
    pub(crate) thread: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OneRun {
    /// The run's id, or the beginning of it
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// The graph [default: the run's, or the program's first]
    pub(crate) name: Option<String>,
    /// In which language
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Picture,
    /// Draw the path that this run took
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    #[default]
    Terminal,
    Mermaid,
    Dot,
}

impl From<Picture> for Format {
    fn from(picture: Picture) -> Self {
        match picture {
            Picture::Terminal => Format::Terminal,
            Picture::Mermaid => Format::Mermaid,
            Picture::Dot => Format::Dot,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckRunsArgs {
    /// Only runs of this graph
    #[arg(long, value_name = "NAME")]
    pub(crate) graph: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The code, such as SW-C701; without one, all are listed
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) services: ServiceArgs,
}

/// `90s`, `5m`, `1h`, `250ms`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is no duration; write a number with a unit, such as 250ms, 90s, 5m or 1h");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ms_per_unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    // Beyond a century the timer would overflow.
    const MS_MAX: u64 = 100 * 366 * 24 * 3_600_000;
    let ms = number.checked_mul(ms_per_unit).filter(|ms| *ms <= MS_MAX).ok_or_else(wrong)?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        let cases = [
            ("250ms", Some(250)),
            ("0", Some(0)),
            ("90s", Some(90_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
        ];
        let wrong = ["", "s", "-1s", "1.5s", "1d", "1 s", "99999999999999999999s", "9999999999h"]
            .map(|text| (text, None));
        for (text, ms) in cases.into_iter().chain(wrong) {
            assert_eq!(duration(text).ok(), ms.map(Duration::from_millis), "{text:?}");
        }
    }
}
