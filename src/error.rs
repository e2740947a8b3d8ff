//! What a command can fail with. Errors of the rooms pass through with their own codes.

use std::path::PathBuf;

use statewright_engine_core::journal::FrameError;
use statewright_engine_runtime::{Problems, RunError, StoreError};
use statewright_nodes_context::ContextError;
use statewright_nodes_context::prompt::PromptError;
use statewright_nodes_ports::ModelError;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// Nothing was asked.
    #[error("the question is empty; write it after `run`, in quotes")]
    EmptyQuestion,
    /// A graph that the program does not have.
    #[error("no graph is named `{given}`{}", suggestion(nearest.as_deref(), known))]
    UnknownGraph {
        /// The name as given.
        given: String,
        /// The most similar name.
        nearest: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// A model that the program does not have.
    #[error("no model is named `{given}`{}; models behind an endpoint are written openai:NAME or anthropic:NAME and need OPENAI_API_KEY, OPENAI_BASE_URL or ANTHROPIC_API_KEY", suggestion(nearest.as_deref(), known))]
    UnknownModel {
        /// The name as given.
        given: String,
        /// The most similar name.
        nearest: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// A run that is not stored here.
    #[error("no run's id begins with `{given}` in `{database}`{}; `runs list` shows all", did_you_mean(nearest.as_deref()))]
    UnknownRun {
        /// The id as given.
        given: String,
        /// The database that was searched.
        database: String,
        /// The most similar id.
        nearest: Option<String>,
    },
    /// A beginning that several runs share.
    #[error("several runs begin with `{given}`: {}; write more of the id", candidates.join(", "))]
    AmbiguousRun {
        /// The beginning as given.
        given: String,
        /// The runs.
        candidates: Vec<String>,
    },
    /// A code without a page.
    #[error("no error has the code `{given}`{}; `explain` without a code lists all", did_you_mean(nearest.as_deref()))]
    UnknownCode {
        /// The code as given.
        given: String,
        /// The most similar code.
        nearest: Option<String>,
    },
    /// There is no place for the program's data.
    #[error("the folder for data{} cannot be used: {reason}; choose another with --home DIR or STATEWRIGHT_HOME", shown(path.as_ref()))]
    Home {
        /// The folder, if one is known.
        path: Option<PathBuf>,
        /// Why.
        reason: String,
    },
    /// A file cannot be read.
    #[error("`{}` cannot be read: {reason}; give the path of a readable UTF-8 text file, or `-` for standard input", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file cannot be written.
    #[error("`{}` cannot be written: {reason}; give the path of a file in a folder that exists and is writable", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The run belongs to a graph that this program does not have.
    #[error(
        "the run `{run}` belongs to the graph `{graph}`, which this program does not have; use the program that started it"
    )]
    ForeignRun {
        /// The run.
        run: String,
        /// Its graph.
        graph: String,
    },
    /// A later run went on with the thread.
    #[error("the run `{run}` is over: the thread `{thread}` has gone on with {}; name that one instead", later.as_deref().map_or("nothing yet".to_owned(), |run| format!("the run `{run}`")))]
    NotTheLastRun {
        /// The run.
        run: String,
        /// Its thread.
        thread: String,
        /// The thread's present run.
        later: Option<String>,
    },
    /// A run was started, and the process died before its first record was stored.
    #[error(
        "the run `{run}` never began: its process ended before anything of it was stored; start it again with `run`"
    )]
    NeverBegan {
        /// The run.
        run: String,
    },
    /// An option does not go with another, or has a value that means nothing.
    #[error("{0}")]
    Usage(String),
    /// A thread that is not stored here.
    #[error("no thread is named `{given}` in `{database}`{}; `threads list` shows all", did_you_mean(nearest.as_deref()))]
    UnknownThread {
        /// The name as given.
        given: String,
        /// The database that was searched.
        database: String,
        /// The most similar name.
        nearest: Option<String>,
    },
    /// A thread that is to be deleted although something of its run is left to do.
    #[error(
        "the run on the thread `{thread}` is {status} and not over; cancel it first, or delete the thread with --force"
    )]
    ThreadOpen {
        /// The thread.
        thread: String,
        /// How its run stands.
        status: &'static str,
    },
    /// An edit of a field that the state does not have.
    #[error("the state `{state}` has no field `{field}`{}", suggestion(nearest.as_deref(), known))]
    UnknownField {
        /// The field as given.
        field: String,
        /// The state.
        state: &'static str,
        /// The most similar field.
        nearest: Option<String>,
        /// All fields.
        known: Vec<String>,
    },
    /// An edit with a value that its field cannot have.
    #[error(
        "the field `{field}` cannot be set to this: {reason}; write its value as JSON, as `threads show` does"
    )]
    WrongValue {
        /// The field.
        field: String,
        /// Why.
        reason: String,
    },
    /// The thread belongs to a graph that this program does not have.
    #[error("the thread `{thread}` belongs to {}, which this program does not have; use the program that began it", graph.as_deref().map_or("an unknown graph".to_owned(), |graph| format!("the graph `{graph}`")))]
    ForeignThread {
        /// The thread.
        thread: String,
        /// Its graph, if that can be read.
        graph: Option<String>,
    },
    /// A line of a conversation that begins like a command and is none.
    #[error(
        "`{given}` is no command; /help lists them, and a line that begins otherwise is said to the agent"
    )]
    UnknownChatCommand {
        /// The line, shortened.
        given: String,
    },
    /// The operating system refused something that every run needs.
    #[error("{what} cannot be set up: {reason}; check the limits of this system")]
    System {
        /// What was needed.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A graph has mistakes.
    #[error(transparent)]
    Graph(#[from] Problems),
    /// A run could not be driven.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A journal entry cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A model cannot be used.
    #[error(transparent)]
    Model(ModelError),
    /// The documents cannot be used.
    #[error(transparent)]
    Docs(#[from] ContextError),
    /// The prompts cannot be used.
    #[error(transparent)]
    Prompt(#[from] PromptError),
}

impl CliError {
    /// The stable code; `explain` shows its page.
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyQuestion => "SW-C701",
            Self::UnknownGraph { .. } => "SW-C702",
            Self::UnknownModel { .. } => "SW-C703",
            Self::UnknownRun { .. } => "SW-C704",
            Self::AmbiguousRun { .. } => "SW-C705",
            Self::UnknownCode { .. } => "SW-C706",
            Self::Home { .. } => "SW-C707",
            Self::Input { .. } => "SW-C708",
            Self::Output { .. } => "SW-C709",
            Self::ForeignRun { .. } => "SW-C710",
            Self::NotTheLastRun { .. } => "SW-C711",
            Self::NeverBegan { .. } => "SW-C712",
            Self::Usage(_) => "SW-C713",
            Self::System { .. } => "SW-C714",
            Self::UnknownThread { .. } => "SW-C740",
            Self::ThreadOpen { .. } => "SW-C741",
            Self::UnknownField { .. } => "SW-C742",
            Self::WrongValue { .. } => "SW-C743",
            Self::ForeignThread { .. } => "SW-C744",
            Self::UnknownChatCommand { .. } => "SW-C760",
            Self::Graph(error) => error.code(),
            Self::Run(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Frame(error) => error.code(),
            Self::Model(error) => error.code(),
            Self::Docs(error) => error.code(),
            Self::Prompt(error) => error.code(),
        }
    }
}

/// The name that was probably meant, if one is close enough.
pub(crate) fn nearest(given: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    const SIMILARITY_MIN: f64 = 0.6;
    let given = given.to_lowercase();
    let scored = known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(&given, &name.to_lowercase()), name));
    scored
        .filter(|(score, _)| *score >= SIMILARITY_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn suggestion(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(_) => did_you_mean(nearest),
        None => format!("; use one of: {}", known.join(", ")),
    }
}

fn shown(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| format!(" `{}`", path.display()))
}
