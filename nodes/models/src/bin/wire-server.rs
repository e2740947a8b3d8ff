//! A local endpoint of Chat Completions and of Anthropic's Messages that answers with the offline model's rules, for tests of whole programs.
//!
//! ```text
//! wire-server [--port N] [--script "429:1,drop,ok"] [--piece BYTES] [--log FILE]
//! ```
//!
//! It prints its base URL and serves until it is killed. The script is played once, then every request is answered.

use std::{io::Write, process::ExitCode, sync::Arc};

use statewright_nodes_models::{
    Offline,
    wire::{WireOptions, WireServer, WordCounter},
};

const USAGE: &str = "usage: wire-server [--port N] [--script \"429:1,drop,ok\"] [--piece BYTES] [--log FILE]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even the error cannot be written.
            drop(writeln!(std::io::stderr(), "error: {error}\n{USAGE}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let model = Offline::new(Arc::new(WordCounter));
    let options = WireOptions { model: Some(Arc::new(model)), ..options(std::env::args().skip(1))? };
    let server = WireServer::start(options).await?;
    writeln!(std::io::stdout(), "{}", server.base_url())?;
    std::io::stdout().flush()?;
    server.run().await;
    Ok(())
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<WireOptions, Box<dyn std::error::Error>> {
    let mut options = WireOptions::default();
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--port" => options.port = value.parse().map_err(|error| format!("--port {value}: {error}"))?,
            "--piece" => {
                options.piece_bytes = value.parse().map_err(|error| format!("--piece {value}: {error}"))?;
            }
            "--log" => options.log = Some(value.into()),
            "--script" => {
                let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
                options.script = words.map(str::parse).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("{flag} is no option").into()),
        }
    }
    Ok(options)
}
