//! Which model a run uses: the one that was asked for, the one of the environment, or `offline`.

use std::sync::Arc;

use statewright_nodes_models::{
    AnthropicConfig, FallbackModel, Offline, OpenAiConfig,
    anthropic::Messages,
    endpoint::{Endpoint, EndpointConfig, Protocol},
    openai::ChatCompletions,
};
use statewright_nodes_ports::{ChatModel, ModelError, ModelId, TokenCounter};

use crate::app::App;
use crate::error::{CliError, nearest};

const OFFLINE: &str = "offline";
/// The prefix of models behind the OpenAI-compatible endpoint of the environment.
const OPENAI: &str = "openai:";
/// The prefix of models behind Anthropic's.
const ANTHROPIC: &str = "anthropic:";

/// A model that was chosen.
pub(crate) struct ChosenModel {
    pub(crate) model: Arc<dyn ChatModel>,
    /// The name under which a stored run asks for it again.
    pub(crate) name: String,
    /// What it is, in a line for people.
    pub(crate) about: String,
    /// The base URLs that it is behind, if any.
    pub(crate) endpoints: Vec<String>,
}

/// Chooses by the name that was asked for, or by the environment. Names separated by commas are a chain: the next one is
/// asked when one is not there.
pub(crate) fn choose(
    app: &App,
    wanted: Option<&str>,
    tokens: Arc<dyn TokenCounter>,
) -> Result<ChosenModel, CliError> {
    let Some(names) = wanted else { return default(app, tokens) };
    if let Some(model) = registered(app, names, tokens.clone()) {
        return model;
    }
    let mut chain = names.split(',').map(|name| named(app, name.trim(), tokens.clone()));
    let first = chain.next().unwrap_or_else(|| Err(unknown(app, names)))?;
    let others = chain.collect::<Result<Vec<_>, _>>()?;
    Ok(if others.is_empty() { first } else { chained(first, others) })
}

fn default(app: &App, tokens: Arc<dyn TokenCounter>) -> Result<ChosenModel, CliError> {
    if let Some((name, _)) = app.models().first() {
        return registered(app, name, tokens).unwrap_or_else(|| Err(unknown(app, name)));
    }
    if let Some(config) = openai()? {
        return behind_endpoint(OPENAI, config);
    }
    // A base URL alone says where, but not that this is what is wanted.
    match anthropic()?.filter(|config| config.api_key.is_some()) {
        Some(config) => behind_endpoint(ANTHROPIC, config),
        None => Ok(offline(tokens)),
    }
}

fn named(app: &App, name: &str, tokens: Arc<dyn TokenCounter>) -> Result<ChosenModel, CliError> {
    if let Some(model) = registered(app, name, tokens.clone()) {
        return model;
    }
    if name == OFFLINE {
        return Ok(offline(tokens));
    }
    if let Some(id) = name.strip_prefix(OPENAI) {
        let model = ModelId::new(id).map_err(CliError::Model)?;
        let config = openai()?.ok_or_else(|| no_endpoint::<ChatCompletions>(name))?;
        return behind_endpoint(OPENAI, OpenAiConfig { model, ..config });
    }
    if let Some(id) = name.strip_prefix(ANTHROPIC) {
        let model = ModelId::new(id).map_err(CliError::Model)?;
        let config = anthropic()?.ok_or_else(|| no_endpoint::<Messages>(name))?;
        return behind_endpoint(ANTHROPIC, AnthropicConfig { model, ..config });
    }
    // A slip in the name of a model that is known must not become a request for a model that nobody has.
    let config =
        openai()?.filter(|_| nearest(name, known(app)).is_none()).ok_or_else(|| unknown(app, name))?;
    let model = ModelId::new(name).map_err(CliError::Model)?;
    behind_endpoint(OPENAI, OpenAiConfig { model, ..config })
}

fn chained(first: ChosenModel, others: Vec<ChosenModel>) -> ChosenModel {
    let joined = |separator: &str, part: fn(&ChosenModel) -> &str| {
        let parts: Vec<&str> = std::iter::once(&first).chain(&others).map(part).collect();
        parts.join(separator)
    };
    let (name, about) = (joined(",", |model| &model.name), joined(", then ", |model| &model.about));
    let endpoints =
        first.endpoints.iter().chain(others.iter().flat_map(|model| &model.endpoints)).cloned().collect();
    let model = FallbackModel::new(first.model, others.into_iter().map(|model| model.model));
    ChosenModel { model: Arc::new(model), name, about, endpoints }
}

/// The OpenAI-compatible endpoint of the environment.
fn openai() -> Result<Option<OpenAiConfig>, CliError> {
    OpenAiConfig::from_env(&|name| std::env::var(name).ok()).map_err(CliError::Model)
}

/// Anthropic's endpoint by the environment.
fn anthropic() -> Result<Option<AnthropicConfig>, CliError> {
    AnthropicConfig::from_env(&|name| std::env::var(name).ok()).map_err(CliError::Model)
}

/// What the environment says of each provider, for people: its name, and what was found.
pub(crate) fn providers() -> [(&'static str, Result<String, CliError>); 2] {
    [("openai", openai().map(words)), ("anthropic", anthropic().map(words))]
}

fn words<P: Protocol>(config: Option<EndpointConfig<P>>) -> String {
    let facts = P::FACTS;
    match config {
        None => format!("not set up; set {} to use it", facts.key_setting),
        Some(config) => {
            let key = if config.api_key.is_some() { "with" } else { "without" };
            format!("{} at {}, {key} a key", config.model, config.base_url)
        }
    }
}

fn registered(app: &App, name: &str, tokens: Arc<dyn TokenCounter>) -> Option<Result<ChosenModel, CliError>> {
    let (name, make) = app.models().iter().find(|(known, _)| known == name)?;
    let made = make(tokens).map_err(CliError::Model);
    Some(made.map(|model| ChosenModel {
        about: model.id().to_string(),
        model,
        name: name.clone(),
        endpoints: Vec::new(),
    }))
}

fn offline(tokens: Arc<dyn TokenCounter>) -> ChosenModel {
    ChosenModel {
        model: Arc::new(Offline::new(tokens)),
        name: OFFLINE.to_owned(),
        about: "offline (rules, no language model; set OPENAI_API_KEY or ANTHROPIC_API_KEY to use one)"
            .to_owned(),
        endpoints: Vec::new(),
    }
}

fn behind_endpoint<P: Protocol>(prefix: &str, config: EndpointConfig<P>) -> Result<ChosenModel, CliError> {
    let config = paced(config);
    let (name, endpoint) = (format!("{prefix}{}", config.model), config.base_url.clone());
    let about = format!("{} at {endpoint}", config.model);
    let model = Arc::new(Endpoint::new(config).map_err(CliError::Model)?);
    Ok(ChosenModel { model, name, about, endpoints: vec![endpoint] })
}

#[cfg(not(feature = "fail-points"))]
fn paced<P>(config: EndpointConfig<P>) -> EndpointConfig<P> {
    config
}

/// Pauses between attempts that tests need not sit through.
#[cfg(feature = "fail-points")]
fn paced<P>(mut config: EndpointConfig<P>) -> EndpointConfig<P> {
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

fn no_endpoint<P: Protocol>(name: &str) -> CliError {
    let facts = P::FACTS;
    CliError::Model(ModelError::Configuration {
        setting: format!("the model `{name}`"),
        problem: format!(
            "no endpoint is configured; set {} or {}, or use --model offline",
            facts.key_setting, facts.base_url_setting
        ),
    })
}
