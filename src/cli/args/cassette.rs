//! The command line of `cassette`, and the options of a run that records or replays.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What is done with a cassette during a run.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TapeArgs {
    /// Record what the model says into a cassette, at its end if there is one
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// Answer from a cassette alone; a request that was not recorded fails, and no model is called
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,
    /// With --replay: fail when a request is made more often than it was recorded, instead of repeating the last answer
    #[arg(long, requires = "replay")]
    pub(crate) exact: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CassetteCommand {
    /// List what was recorded
    Show(CassetteFile),
    /// Check every line of a cassette, and that no secret stands in it
    Verify(CassetteFile),
    /// Answer as an OpenAI-compatible endpoint from what was recorded
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CassetteFile {
    /// The cassette
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) cassette: CassetteFile,
    /// The port [default: a free one]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub(crate) port: u16,
    /// The address to listen on; whoever reaches it can read what was recorded
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Fail when a request is made more often than it was recorded, instead of repeating the last answer
    #[arg(long)]
    pub(crate) exact: bool,
}
