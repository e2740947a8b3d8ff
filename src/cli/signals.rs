//! Ctrl-C, and the polite way in which systems end a process.

use crate::error::CliError;

/// Which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// The system, or somebody who manages this process.
    Terminate,
}

/// Waits for requests to stop.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on the process decides itself what these signals do.
    #[cfg(unix)]
    pub(crate) fn listen() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CliError::System { what: "the signal handler", reason: error.to_string() })
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// The next request, whichever it is.
    pub(crate) async fn next(&mut self) {
        self.next_of().await;
    }

    /// The next request.
    #[cfg(unix)]
    pub(crate) async fn next_of(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> Result<Self, CliError> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    pub(crate) async fn next_of(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}
