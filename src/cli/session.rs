//! What a run works with: its graph, its model, its documents, and what is stored about it.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use statewright_engine_sql::{FoundRun, RunFilter, RunRow, SqlStore};
use statewright_graphs::{Docs, GraphPrompts, Services};
use statewright_nodes_context::ContextError;
use statewright_nodes_context::tokens::Cl100k;
use statewright_nodes_models::Offline;

use super::Shell;
use super::args::ServiceArgs;
use crate::error::{CliError, nearest};
use crate::models::ChosenModel;
use crate::pipeline::{AnyGraph, OpenGraph};

/// The folder that is searched when none is given.
const DOCS_DEFAULT: &str = "docs";

/// What a stored run needs to be taken up as it was begun.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Meta {
    /// The model's name, as `--model` takes it.
    pub(crate) model: Option<String>,
    /// The folder of documents.
    pub(crate) docs: Option<PathBuf>,
    /// The durability level.
    pub(crate) durability: Option<String>,
    /// The folder of prompts, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompts: Option<PathBuf>,
    /// The cassette that is recorded, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<PathBuf>,
    /// The cassette that is replayed, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replay: Option<PathBuf>,
}

impl Meta {
    pub(crate) fn of(row: &RunRow) -> Self {
        // Written by this program; what a later one adds is of no use here.
        serde_json::from_value(row.meta.clone()).unwrap_or_default()
    }
}

/// What nodes work with, and what is to be said about it.
pub(crate) struct Equipment {
    pub(crate) services: Services,
    pub(crate) model: ChosenModel,
    /// The folder that is searched, absolute.
    pub(crate) docs: Option<PathBuf>,
}

/// Says which model it is: that is the first line of a run.
pub(crate) fn say(shell: &Shell<'_>, model: &ChosenModel) {
    if !shell.out.json && !shell.out.quiet {
        shell.out.line(&format!("{} {}", shell.out.dim("model:"), model.about));
    }
}

/// Puts everything together. Nothing here counts tokens or searches, so the vocabulary is not loaded and no document
/// indexed: the first node has to wait for neither.
pub(crate) async fn equip(model: ChosenModel, args: &ServiceArgs) -> Result<Equipment, CliError> {
    let prompts =
        args.prompts.as_deref().map_or_else(|| Ok(GraphPrompts::default()), GraphPrompts::with_folder)?;
    let (folder, docs) = documents(args.docs.clone()).await?.unzip();
    let services = Services { model: model.model.clone(), tokens: Arc::new(Cl100k), docs, prompts };
    Ok(Equipment { services, model, docs: folder })
}

/// The folder that was given, or the default one, absolute; `None` if there is no default one.
pub(crate) async fn documents(folder: Option<PathBuf>) -> Result<Option<(PathBuf, Docs)>, CliError> {
    let opened = tokio::task::spawn_blocking(move || open_docs(folder)).await;
    let opened = opened.map_err(|error| CliError::System { what: "the index", reason: error.to_string() })?;
    Ok(opened?)
}

/// A folder that was asked for must be usable; the default one is used if it is.
fn open_docs(given: Option<PathBuf>) -> Result<Option<(PathBuf, Docs)>, ContextError> {
    let opened = match &given {
        Some(folder) => Docs::open(folder)?,
        None => match Docs::open(DOCS_DEFAULT) {
            Ok(docs) => docs,
            Err(ContextError::NoFolder { .. } | ContextError::NothingToSearch { .. }) => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    let folder = given.unwrap_or_else(|| DOCS_DEFAULT.into());
    Ok(Some((std::path::absolute(&folder).unwrap_or(folder), opened)))
}

/// Says which documents were left out, once they have been read.
pub(crate) async fn left_out(shell: &Shell<'_>, docs: &Docs) -> Vec<(&'static str, String)> {
    let warnings: Vec<_> = match docs.index().await {
        Ok(index) => index.report().skipped.iter().map(|error| (error.code(), error.to_string())).collect(),
        Err(error) => vec![(error.code(), error.to_string())],
    };
    for (code, message) in &warnings {
        shell.out.warning(code, message);
    }
    warnings
}

/// The graph of this name, or the program's first.
pub(crate) fn graph_named<'a>(shell: &Shell<'a>, name: Option<&str>) -> Result<&'a dyn AnyGraph, CliError> {
    let app = shell.app;
    let found = match name {
        Some(name) => app.graphs().find(|graph| graph.name() == name),
        None => app.graphs().next(),
    };
    found.ok_or_else(|| {
        let known: Vec<String> = app.graphs().map(|graph| graph.name().to_owned()).collect();
        let given = name.unwrap_or_default().to_owned();
        CliError::UnknownGraph { nearest: nearest(&given, known.clone()), given, known }
    })
}

/// The graph that a stored run belongs to.
pub(crate) fn graph_of<'a>(shell: &Shell<'a>, row: &RunRow) -> Result<&'a dyn AnyGraph, CliError> {
    let found = shell.app.graphs().find(|graph| graph.name() == row.graph);
    found.ok_or_else(|| CliError::ForeignRun { run: row.run.to_string(), graph: row.graph.clone() })
}

/// A graph that is only looked at: nothing in it will be called.
pub(crate) fn open_to_read(graph: &dyn AnyGraph) -> Result<Arc<dyn OpenGraph>, CliError> {
    let tokens = Arc::new(Cl100k);
    let services = Services {
        model: Arc::new(Offline::new(tokens.clone())),
        tokens,
        docs: None,
        prompts: GraphPrompts::default(),
    };
    Ok(graph.open(&services)?)
}

/// The run that an id, or the beginning of one, leads to.
pub(crate) async fn find_run(store: &SqlStore, given: &str) -> Result<RunRow, CliError> {
    match store.find_run(given).await? {
        FoundRun::One(row) => Ok(*row),
        FoundRun::Ambiguous { candidates, more } => {
            let mut candidates: Vec<String> = candidates.iter().map(ToString::to_string).collect();
            if more {
                candidates.push("…".to_owned());
            }
            Err(CliError::AmbiguousRun { given: given.to_owned(), candidates })
        }
        FoundRun::None => {
            const SEARCHED_MAX: u32 = 500;
            let rows = store.runs(&RunFilter::default(), SEARCHED_MAX).await?;
            let nearest = nearest(given, rows.iter().map(|row| row.run.to_string()));
            let database = store.place();
            Err(CliError::UnknownRun { given: given.to_owned(), database, nearest })
        }
    }
}

/// The options of a run that is taken up: what is given now wins over what it began with.
pub(crate) fn again(args: ServiceArgs, meta: &Meta) -> ServiceArgs {
    ServiceArgs {
        model: args.model.or_else(|| meta.model.clone()),
        docs: args.docs.or_else(|| meta.docs.clone()),
        prompts: args.prompts.or_else(|| meta.prompts.clone()),
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
