//! The command line of `threads`, and of what operators do to single runs.

use clap::{ArgGroup, Args, Subcommand};

use super::{DriveArgs, OneRun, ServiceArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum ThreadsCommand {
    /// List threads, the one that changed last first
    List(ThreadListArgs),
    /// Show where a thread stands, or stood, with its state
    Show(ThreadShowArgs),
    /// List the checkpoints of a thread: what ended, and what came next
    History(OneThread),
    /// Show what differs between two entries, field by field
    Diff(DiffArgs),
    /// Begin a thread of its own as a copy of this one at an entry, with fields set anew
    Fork(ForkArgs),
    /// Delete a thread with its runs for good
    Delete(DeleteArgs),
    /// Delete threads whose runs are over and that need not be kept
    Prune(PruneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct OneThread {
    /// The thread
    pub(crate) thread: String,
}

#[derive(Debug, Args)]
pub(crate) struct ThreadListArgs {
    /// Show at most this many
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Only threads of this graph
    #[arg(long, value_name = "NAME")]
    pub(crate) graph: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ThreadShowArgs {
    #[command(flatten)]
    pub(crate) thread: OneThread,
    /// As of this entry [default: the last one]
    #[arg(long, value_name = "ENTRY")]
    pub(crate) at: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub(crate) thread: OneThread,
    /// The earlier entry
    pub(crate) from: u64,
    /// The later entry [default: the last one]
    pub(crate) to: Option<u64>,
    /// The thread of the later entry, such as a fork [default: the same thread]
    #[arg(long, value_name = "THREAD")]
    pub(crate) with: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    #[command(flatten)]
    pub(crate) thread: OneThread,
    /// The entry to fork at; `threads history` lists those at which a superstep begins
    #[arg(long, value_name = "ENTRY")]
    pub(crate) at: u64,
    /// Write a field of the state: JSON, or else a text. Folded as if a node had written it
    #[arg(long, value_name = "FIELD=VALUE")]
    pub(crate) set: Vec<String>,
    /// The name of the fork [default: a new name]
    #[arg(long, value_name = "THREAD")]
    pub(crate) into: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) thread: OneThread,
    /// Also if its run is not over, or this program cannot read it
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("rule").args(["keep_days", "keep_last"]).multiple(true).required(true)))]
pub(crate) struct PruneArgs {
    /// Keep what changed within so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub(crate) keep_days: Option<u32>,
    /// Keep so many threads, those that changed last
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep_last: Option<u32>,
    /// Only threads of this graph
    #[arg(long, value_name = "NAME")]
    pub(crate) graph: Option<String>,
    /// Also threads whose run is open and that nobody drives: paused, failed, stopped, interrupted
    #[arg(long)]
    pub(crate) unfinished_too: bool,
    /// Only say what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    #[command(flatten)]
    pub(crate) run: OneRun,
    /// The effect's id, as the failure and `threads show` name it
    pub(crate) effect: String,
    /// The result that it had: JSON, or else a text
    #[arg(allow_hyphen_values = true, required_unless_present = "not_done", conflicts_with = "not_done")]
    pub(crate) value: Option<String>,
    /// It did not take place, and may begin anew
    #[arg(long)]
    pub(crate) not_done: bool,
    #[command(flatten)]
    pub(crate) services: ServiceArgs,
    #[command(flatten)]
    pub(crate) drive: DriveArgs,
}
