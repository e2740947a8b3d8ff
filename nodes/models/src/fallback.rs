//! A chain of models: the next one is asked when one is not there.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use statewright_nodes_ports::{
    BoxFuture, ChatFold, ChatModel, ChatRequest, ChatResponse, ChatStream, ErrorClass, ModelError, ModelId,
};

/// Models in the order in which they are asked.
///
/// It goes on to the next one only as long as nothing of an answer was handed out, and only when a model is not there
/// (a passing fault after its retries, a model that its endpoint does not have) or cannot be sent the request. A refused
/// key or a wrong request is an error at once: the next model would hide it. When none is left, the last error counts.
///
/// ```
/// # use std::sync::Arc;
/// # use statewright_nodes_models::{FallbackModel, Reply, Scripted};
/// # use statewright_nodes_ports::{ChatModel, ChatRequest, Message, ModelError};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let first = Scripted::new([Reply::error(ModelError::Transport { detail: "nobody answers".into() })]);
/// let second = Scripted::new([Reply::text("Here I am.")]);
/// let model = FallbackModel::new(Arc::new(first), [Arc::new(second) as Arc<dyn ChatModel>]);
/// assert_eq!(model.complete(ChatRequest::new([Message::user("?")])).await?.text, "Here I am.");
/// # Ok::<(), ModelError>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FallbackModel {
    first: Arc<dyn ChatModel>,
    others: Vec<Arc<dyn ChatModel>>,
}

impl FallbackModel {
    /// A chain of a first model and those after it.
    #[must_use]
    pub fn new(first: Arc<dyn ChatModel>, others: impl IntoIterator<Item = Arc<dyn ChatModel>>) -> Self {
        Self { first, others: others.into_iter().collect() }
    }

    /// The stream of the first model that answers, and which one that is.
    async fn begin(&self, request: ChatRequest) -> Result<(&ModelId, ChatStream), ModelError> {
        let mut model = &self.first;
        for next in &self.others {
            match begun(model.as_ref(), request.clone()).await {
                Err(error) if is_absent(&error) => {
                    tracing::warn!(code = error.code(), model = %model.id(), next = %next.id(), "the next model is asked");
                    model = next;
                }
                result => return result.map(|stream| (model.id(), stream)),
            }
        }
        begun(model.as_ref(), request).await.map(|stream| (model.id(), stream))
    }
}

impl ChatModel for FallbackModel {
    /// The first model.
    fn id(&self) -> &ModelId {
        self.first.id()
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        Box::pin(async move { self.begin(request).await.map(|(_, stream)| stream) })
    }

    /// The response names the model that answered.
    fn complete(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatResponse, ModelError>> {
        Box::pin(async move {
            let (model, mut stream) = self.begin(request).await?;
            let mut fold = ChatFold::new(model.clone());
            while let Some(delta) = stream.next().await {
                fold.push(delta?)?;
            }
            fold.finish()
        })
    }
}

impl std::fmt::Debug for FallbackModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let models = std::iter::once(&self.first).chain(&self.others);
        f.debug_list().entries(models.map(|model| model.id().as_str())).finish()
    }
}

/// A stream whose first delta is there. An error in its place means that nothing was handed out.
async fn begun(model: &dyn ChatModel, request: ChatRequest) -> Result<ChatStream, ModelError> {
    let mut rest = model.stream(request).await?;
    let first = rest.next().await.transpose()?;
    Ok(stream::iter(first.map(Ok)).chain(rest).boxed())
}

fn is_absent(error: &ModelError) -> bool {
    error.class() == ErrorClass::Transient
        || matches!(error, ModelError::Status { status: 404 | 410, .. } | ModelError::Unsupported { .. })
}
