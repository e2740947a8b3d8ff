//! Which model a run uses: the one that was asked for, the one of the environment, or `offline`.

use std::sync::Arc;

use statewright_nodes_models::{Offline, OpenAi, OpenAiConfig};
use statewright_nodes_ports::{ChatModel, ModelError, ModelId, TokenCounter};

use crate::app::App;
use crate::error::{CliError, nearest};

const OFFLINE: &str = "offline";
/// The prefix of models behind the endpoint of the environment.
const OPENAI: &str = "openai:";

/// A model that was chosen.
pub(crate) struct ChosenModel {
    pub(crate) model: Arc<dyn ChatModel>,
    /// The name under which a stored run asks for it again.
    pub(crate) name: String,
    /// What it is, in a line for people.
    pub(crate) about: String,
    /// The base URL, if it is behind one.
    pub(crate) endpoint: Option<String>,
}

/// Chooses by the name that was asked for, or by the environment.
pub(crate) fn choose(
    app: &App,
    wanted: Option<&str>,
    tokens: Arc<dyn TokenCounter>,
) -> Result<ChosenModel, CliError> {
    let endpoint = || OpenAiConfig::from_env(&|name| std::env::var(name).ok()).map_err(CliError::Model);
    let Some(name) = wanted else {
        if let Some((name, _)) = app.models().first() {
            return registered(app, name, tokens).unwrap_or_else(|| Err(unknown(app, name)));
        }
        return match endpoint()? {
            Some(config) => behind_endpoint(config),
            None => Ok(offline(tokens)),
        };
    };
    if let Some(model) = registered(app, name, tokens.clone()) {
        return model;
    }
    if name == OFFLINE {
        return Ok(offline(tokens));
    }
    if let Some(id) = name.strip_prefix(OPENAI) {
        let model = ModelId::new(id).map_err(CliError::Model)?;
        let config = endpoint()?.ok_or_else(|| no_endpoint(name))?;
        return behind_endpoint(OpenAiConfig { model, ..config });
    }
    // A slip in the name of a model that is known must not become a request for a model that nobody has.
    let config =
        endpoint()?.filter(|_| nearest(name, known(app)).is_none()).ok_or_else(|| unknown(app, name))?;
    let model = ModelId::new(name).map_err(CliError::Model)?;
    behind_endpoint(OpenAiConfig { model, ..config })
}

fn registered(app: &App, name: &str, tokens: Arc<dyn TokenCounter>) -> Option<Result<ChosenModel, CliError>> {
    let (name, make) = app.models().iter().find(|(known, _)| known == name)?;
    let made = make(tokens).map_err(CliError::Model);
    Some(made.map(|model| ChosenModel {
        about: model.id().to_string(),
        model,
        name: name.clone(),
        endpoint: None,
    }))
}

fn offline(tokens: Arc<dyn TokenCounter>) -> ChosenModel {
    ChosenModel {
        model: Arc::new(Offline::new(tokens)),
        name: OFFLINE.to_owned(),
        about: "offline (rules, no language model; set OPENAI_API_KEY to use one)".to_owned(),
        endpoint: None,
    }
}

fn behind_endpoint(config: OpenAiConfig) -> Result<ChosenModel, CliError> {
    let config = paced(config);
    let (name, endpoint) = (format!("{OPENAI}{}", config.model), config.base_url.clone());
    let about = format!("{} at {endpoint}", config.model);
    let model = Arc::new(OpenAi::new(config).map_err(CliError::Model)?);
    Ok(ChosenModel { model, name, about, endpoint: Some(endpoint) })
}

#[cfg(not(feature = "fail-points"))]
fn paced(config: OpenAiConfig) -> OpenAiConfig {
    config
}

/// Pauses between attempts that tests need not sit through.
#[cfg(feature = "fail-points")]
fn paced(mut config: OpenAiConfig) -> OpenAiConfig {
    let base = std::env::var("STATEWRIGHT_RETRY_BASE_MS").ok().and_then(|ms| ms.parse().ok());
    config.retry.base = base.map_or(config.retry.base, std::time::Duration::from_millis);
    config
}

fn known(app: &App) -> Vec<String> {
    let own = app.models().iter().map(|(name, _)| name.clone());
    own.chain([OFFLINE.to_owned()]).collect()
}

fn unknown(app: &App, name: &str) -> CliError {
    CliError::UnknownModel { given: name.to_owned(), nearest: nearest(name, known(app)), known: known(app) }
}

fn no_endpoint(name: &str) -> CliError {
    CliError::Model(ModelError::Configuration {
        setting: format!("the model `{name}`"),
        problem: "no endpoint is configured; set OPENAI_API_KEY or OPENAI_BASE_URL, or use --model offline"
            .to_owned(),
    })
}
