//! What tools that speak HTTP share: clients, and bodies of a bounded size.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response};

/// How the tools call themselves.
const USER_AGENT: &str = concat!("statewright/", env!("CARGO_PKG_VERSION"));

/// The beginning of a client that follows no redirects: where one leads is judged before it is followed.
pub(crate) fn client(connect_timeout: Duration) -> ClientBuilder {
    // The only failure is that a provider is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect_timeout)
}

/// The body, or its first bytes, and whether that is all of it.
pub(crate) async fn body(response: &mut Response, bytes_max: usize) -> reqwest::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await? {
        let room = bytes_max - bytes.len();
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            return Ok((bytes, false));
        }
    }
    Ok((bytes, true))
}

/// An error and what it comes from, without the URL, which may hold what is nobody's business.
pub(crate) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        cause = error.source();
    }
    words
}
