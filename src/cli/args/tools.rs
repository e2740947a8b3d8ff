//! The command line of `tools`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// List the tools: what each does to the world, and whether it is configured or why not
    List(ListToolsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListToolsArgs {
    /// The folder of Markdown that `docs_search` searches [default: ./docs if there is one]
    #[arg(long, value_name = "DIR")]
    pub(crate) docs: Option<PathBuf>,
}
