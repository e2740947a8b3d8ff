//! Which models may be asked for.

use statewright_nodes_ports::{ModelError, ModelId};

/// The variable that the list comes from.
const SETTING: &str = "STATEWRIGHT_ALLOWED_MODELS";

/// A list of allowed models; without one, all are. What is not on a list is refused, and an empty list refuses all.
///
/// ```
/// use statewright_nodes_models::AllowedModels;
/// use statewright_nodes_ports::ModelId;
/// let allowed = AllowedModels::list("gpt-4.1-mini, qwen*");
/// assert!(allowed.check(&ModelId::new("qwen3:8b")?).is_ok());
/// assert_eq!(allowed.check(&ModelId::new("gpt-4.1")?).unwrap_err().code(), "SW-P514");
/// # Ok::<(), statewright_nodes_ports::ModelError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedModels(Option<Vec<String>>);

impl AllowedModels {
    /// The models of a list whose items are separated by commas. A `*` at the end of one stands for any ending.
    #[must_use]
    pub fn list(models: &str) -> Self {
        let items = models.split(',').map(str::trim).filter(|item| !item.is_empty());
        Self(Some(items.map(str::to_owned).collect()))
    }

    /// The list of `STATEWRIGHT_ALLOWED_MODELS`, or all models when it is not set or empty.
    #[must_use]
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Self {
        env(SETTING)
            .filter(|list| !list.trim().is_empty())
            .map_or_else(Self::default, |list| Self::list(&list))
    }

    /// Refuses a model that is not allowed.
    ///
    /// # Errors
    /// [`ModelError::NotAllowed`].
    pub fn check(&self, model: &ModelId) -> Result<(), ModelError> {
        let Some(list) = &self.0 else { return Ok(()) };
        let fits = |item: &String| match item.strip_suffix('*') {
            Some(beginning) => model.as_str().starts_with(beginning),
            None => item == model.as_str(),
        };
        if list.iter().any(fits) {
            return Ok(());
        }
        let allowed = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        Err(ModelError::NotAllowed { model: model.clone(), allowed, setting: SETTING })
    }
}
