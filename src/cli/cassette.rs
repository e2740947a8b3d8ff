//! `cassette`: what is in one, whether it is sound, and an endpoint that answers from it; and the model of a run that
//! records or replays one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use statewright_nodes_context::tokens::Cl100k;
use statewright_nodes_models::Scrubber;
use statewright_nodes_models::cassette::serve::Server;
use statewright_nodes_models::cassette::{Cassette, CassetteError, CassetteModel, Clock, Recorder, Replay};
use statewright_nodes_ports::{ChatModel, ModelId};

use super::args::cassette::{CassetteCommand, CassetteFile, ServeArgs, TapeArgs};
use super::output::shortened;
use super::session::{self, Meta};
use super::signals::Signals;
use super::{Exit, Shell, when};
use crate::error::CliError;
use crate::models::{self, ChosenModel};

/// The most characters of a request or an answer in a list.
const SHOWN_CHARS: usize = 48;

pub(crate) async fn cassette(shell: &Shell<'_>, command: CassetteCommand) -> Result<Exit, CliError> {
    match command {
        CassetteCommand::Show(args) => show(shell, &args),
        CassetteCommand::Verify(args) => verify(shell, &args),
        CassetteCommand::Serve(args) => serve(shell, &args).await,
    }
}

/// The model of a run: the one that was asked for, recorded where that was asked for, or a cassette in its place.
pub(crate) fn model(
    shell: &Shell<'_>,
    wanted: Option<&str>,
    tape: &TapeArgs,
) -> Result<ChosenModel, CliError> {
    let model = match (&tape.record, &tape.replay) {
        (_, Some(path)) => replayed(shell, wanted, path, tape.exact)?,
        (Some(path), None) => recorded(shell, models::choose(shell.app, wanted, Arc::new(Cl100k))?, path)?,
        (None, None) => models::choose(shell.app, wanted, Arc::new(Cl100k))?,
    };
    session::say(shell, &model);
    Ok(model)
}

/// The cassette of a run that is taken up: the one that it began with, unless another one or a model is asked for.
pub(crate) fn again(given: &TapeArgs, model: Option<&str>, meta: &Meta) -> TapeArgs {
    if given.record.is_some() || given.replay.is_some() || model.is_some() {
        return given.clone();
    }
    TapeArgs { record: meta.record.clone(), replay: meta.replay.clone(), exact: false }
}

/// A path that means the same wherever the run is taken up.
pub(crate) fn kept(path: Option<&PathBuf>) -> Option<PathBuf> {
    path.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()))
}

fn recorded(shell: &Shell<'_>, chosen: ChosenModel, path: &Path) -> Result<ChosenModel, CliError> {
    let recorder = Recorder::open(path, Scrubber::of_process(), clock()).map_err(failed)?;
    warn_of_cut_off(shell, path, recorder.cut_off());
    let model: Arc<dyn ChatModel> = Arc::new(CassetteModel::record(chosen.model, recorder));
    let about = format!("{}, recorded into {}", chosen.about, path.display());
    Ok(ChosenModel { model, about, ..chosen })
}

fn replayed(
    shell: &Shell<'_>,
    wanted: Option<&str>,
    path: &Path,
    exact: bool,
) -> Result<ChosenModel, CliError> {
    let cassette = open(shell, path)?;
    let model = wanted.map(|name| recorded_as(&cassette, name)).transpose()?;
    let options = Replay { model, exact, scrubber: Scrubber::of_process() };
    let model = CassetteModel::replay(cassette, options).map_err(failed)?;
    let name = model.id().to_string();
    let about = format!("{name}, replayed from {}", path.display());
    Ok(ChosenModel { model: Arc::new(model), name, about, endpoints: Vec::new() })
}

/// The id under which a model was recorded that is called so: `openai:NAME` was recorded as `NAME`.
fn recorded_as(cassette: &Cassette, name: &str) -> Result<ModelId, CliError> {
    let id = ModelId::new(name).map_err(CliError::Model)?;
    let rest = name.split_once(':').and_then(|(_, rest)| ModelId::new(rest).ok());
    let models = cassette.models();
    Ok(rest.filter(|rest| models.contains(rest) && !models.contains(&id)).unwrap_or(id))
}

fn show(shell: &Shell<'_>, args: &CassetteFile) -> Result<Exit, CliError> {
    let cassette = open(shell, &args.file)?;
    if shell.out.json {
        let recordings: Vec<_> = cassette
            .recordings()
            .iter()
            .map(|recording| {
                json!({
                    "hash": recording.hash,
                    "model": recording.model,
                    "recorded_ms": recording.recorded_ms,
                    "at": when::rfc3339(recording.recorded_ms),
                    "purpose": recording.request.purpose,
                    "prompt_version": recording.request.prompt_version,
                    "asked": recording.request.last_user_text(),
                    "answer": recording.text(),
                    "usage": recording.usage,
                })
            })
            .collect();
        shell.out.object(
            &json!({ "cassette": args.file, "recordings": recordings, "cut_off": cassette.cut_off() }),
        );
        return Ok(Exit::Finished);
    }
    let rows = cassette.recordings().iter().map(|recording| {
        let usage = recording.usage.map_or_else(String::new, |usage| usage.total_tokens().to_string());
        vec![
            recording.hash.chars().take(12).collect(),
            recording.model.to_string(),
            recording.request.purpose.as_deref().unwrap_or_default().to_owned(),
            recording.request.prompt_version.clone().unwrap_or_default(),
            usage,
            shortened(&recording.request.last_user_text(), SHOWN_CHARS),
            shortened(&recording.text(), SHOWN_CHARS),
        ]
    });
    let head = ["request", "model", "purpose", "prompt", "tokens", "asked", "answered"];
    shell.out.table(&head, &rows.collect::<Vec<_>>());
    Ok(Exit::Finished)
}

fn verify(shell: &Shell<'_>, args: &CassetteFile) -> Result<Exit, CliError> {
    let cassette = open(shell, &args.file)?;
    cassette.check_secrets(&Scrubber::of_process()).map_err(failed)?;
    let recordings = cassette.recordings();
    let requests: std::collections::HashSet<&str> =
        recordings.iter().map(|recording| &*recording.hash).collect();
    let models = cassette.models();
    if shell.out.json {
        shell.out.object(&json!({
            "cassette": args.file,
            "recordings": recordings.len(),
            "requests": requests.len(),
            "models": models,
            "cut_off": cassette.cut_off(),
        }));
        return Ok(Exit::Finished);
    }
    let models: Vec<&str> = models.into_iter().map(ModelId::as_str).collect();
    shell.out.line(&format!(
        "{} is sound: {} recordings of {} requests to {}; no secret was found",
        args.file.display(),
        recordings.len(),
        requests.len(),
        if models.is_empty() { "no model".to_owned() } else { models.join(", ") },
    ));
    Ok(Exit::Finished)
}

async fn serve(shell: &Shell<'_>, args: &ServeArgs) -> Result<Exit, CliError> {
    let cassette = open(shell, &args.cassette.file)?;
    let recordings = cassette.recordings().len();
    let mut signals = Signals::listen()?;
    let options = Replay { exact: args.exact, scrubber: Scrubber::of_process(), ..Replay::default() };
    let server = Server::bind(cassette, options, (args.host, args.port), clock()).await;
    let server = server.map_err(|error| {
        CliError::Usage(format!(
            "{}:{} cannot be listened on ({error}); give another --port",
            args.host, args.port
        ))
    })?;
    let url = server.base_url();
    if !args.host.is_loopback() {
        shell.out.note(&format!("whoever reaches {url} can read what was recorded"));
    }
    match (shell.out.json, shell.out.quiet) {
        (true, _) => shell.out.object(&json!({ "base_url": url, "recordings": recordings })),
        (false, true) => shell.out.line(&url),
        (false, false) => {
            shell.out.line(&format!("{recordings} recordings at {url}"));
            shell.out.line(&shell.out.dim(&format!("use it with OPENAI_BASE_URL={url}; Ctrl-C ends it")));
        }
    }
    server.run(async move { signals.next().await }).await;
    Ok(Exit::Finished)
}

fn open(shell: &Shell<'_>, path: &Path) -> Result<Cassette, CliError> {
    let cassette = Cassette::open(path).map_err(failed)?;
    warn_of_cut_off(shell, path, cassette.cut_off());
    Ok(cassette)
}

fn warn_of_cut_off(shell: &Shell<'_>, path: &Path, line: Option<usize>) {
    if let Some(line) = line {
        let path = path.display();
        let words =
            format!("line {line} of the cassette `{path}` was cut off when its process died; it is left out");
        shell.out.warning("SW-P544", &words);
    }
}

fn clock() -> Clock {
    Arc::new(session::now_ms)
}

fn failed(error: CassetteError) -> CliError {
    CliError::Model(error.into())
}
