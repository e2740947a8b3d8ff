//! The documents that a run may search. They are read for the first search and not before: a run need not wait for
//! them to begin. How they are read and ranked is in `nodes/context`.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use statewright_nodes_context::{ContextError, DocsIndex};

/// Documents to search; clones share one index.
#[derive(Clone)]
pub struct Docs {
    index: Shared<BoxFuture<'static, Result<Arc<DocsIndex>, ContextError>>>,
    wanted: Arc<AtomicBool>,
}

impl Docs {
    /// The Markdown below a folder. Only looks whether there is any; it is read and indexed on a thread of its own
    /// once [`index`](Self::index) is first awaited.
    ///
    /// # Errors
    /// [`ContextError::NoFolder`] and [`ContextError::NothingToSearch`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, ContextError> {
        let folder = folder.into();
        DocsIndex::check(&folder)?;
        Ok(Self::when(async move {
            let shown = folder.display().to_string();
            let opened = tokio::task::spawn_blocking(move || DocsIndex::open(&folder)).await;
            opened.unwrap_or_else(|stopped| {
                Err(ContextError::Unreadable { file: shown, problem: stopped.to_string() })
            })
        }))
    }

    /// An index that is there once the future is done; the future is first polled by the first search.
    pub fn when(index: impl Future<Output = Result<DocsIndex, ContextError>> + Send + 'static) -> Self {
        Self { index: index.map(|index| index.map(Arc::new)).boxed().shared(), wanted: Arc::default() }
    }

    /// The index. Whoever awaits it first has the documents read, everybody else waits for that one reading.
    ///
    /// # Errors
    /// Those of [`DocsIndex::open`], to everybody who asks: a failed reading is not tried again.
    pub async fn index(&self) -> Result<Arc<DocsIndex>, ContextError> {
        self.wanted.store(true, Ordering::Relaxed);
        self.index.clone().await
    }

    /// Has the documents read ahead of the first search, which then has less to wait for.
    pub async fn prepare(&self) {
        drop(self.index.clone().await);
    }

    /// Whether somebody has asked for the index; preparing it does not count.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}

impl From<DocsIndex> for Docs {
    fn from(index: DocsIndex) -> Self {
        Self::when(std::future::ready(Ok(index)))
    }
}

impl fmt::Debug for Docs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chunks = self.index.peek().map(|index| index.as_ref().map(|index| index.len()));
        f.debug_struct("Docs").field("chunks", &chunks).finish()
    }
}
