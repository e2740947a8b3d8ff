//! What the tests of both providers share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use statewright_nodes_models::Pacing;
use statewright_nodes_ports::BoxFuture;

/// The pauses that a model would have made.
pub(crate) type Pauses = Arc<Mutex<Vec<Duration>>>;

/// The pacing of a model that notes its pauses and makes none.
pub(crate) fn noted() -> (Pacing, Pauses) {
    let pauses = Pauses::default();
    let record = Arc::clone(&pauses);
    let sleep = Arc::new(move |pause| {
        record.lock().unwrap_or_else(PoisonError::into_inner).push(pause);
        let nothing: BoxFuture<'static, ()> = Box::pin(std::future::ready(()));
        nothing
    });
    (Pacing { sleep, chance: Arc::new(|| 0.5) }, pauses)
}
