//! `doctor`: checks what a run needs, and says what is missing. Calls no model.

use std::time::Duration;

use serde_json::{Value, json};
use statewright_engine_sql::{RunFilter, SqlStore};

use super::args::DoctorArgs;
use super::{Exit, Shell, home, session};
use crate::error::CliError;
use crate::models::{self, ChosenModel};

/// How long the endpoint may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// One check: a name, and what was found.
struct Check {
    name: &'static str,
    found: Result<String, CliError>,
}

pub(crate) async fn doctor(shell: &Shell<'_>, args: &DoctorArgs) -> Result<Exit, CliError> {
    let mut checks = vec![Check { name: "version", found: Ok(version()) }];
    checks.push(Check { name: "home", found: home_check(shell) });
    let store = home::store(&shell.global).await;
    checks.push(Check { name: "database", found: database(store).await });
    checks.push(Check { name: "model", found: model(shell, args).await });
    checks.extend(models::providers().map(|(name, found)| Check { name, found }));
    checks.push(Check { name: "docs", found: docs(shell, args).await });
    let ok = checks.iter().all(|check| check.found.is_ok());
    if shell.out.json {
        let list: Vec<Value> = checks.iter().map(json_of).collect();
        shell.out.object(&json!({ "ok": ok, "checks": list }));
    } else {
        for check in &checks {
            let (mark, words) = match &check.found {
                Ok(words) => (shell.out.style().green().apply_to("✓"), words.clone()),
                Err(error) => (shell.out.style().red().apply_to("✗"), format!("[{}] {error}", error.code())),
            };
            shell.out.line(&format!("{mark} {:<9} {words}", check.name));
        }
    }
    Ok(if ok { Exit::Finished } else { Exit::Error })
}

fn json_of(check: &Check) -> Value {
    match &check.found {
        Ok(words) => json!({ "name": check.name, "ok": true, "message": words }),
        Err(error) => {
            json!({ "name": check.name, "ok": false, "code": error.code(), "message": error.to_string() })
        }
    }
}

fn version() -> String {
    format!(
        "{} {} on {} {}",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

fn home_check(shell: &Shell<'_>) -> Result<String, CliError> {
    let folder = home::prepare(&shell.global)?;
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, b"ok").and_then(|()| std::fs::remove_file(&probe));
    match written {
        Ok(()) => Ok(format!("{} is writable", folder.display())),
        Err(error) => Err(CliError::Home { path: Some(folder), reason: error.to_string() }),
    }
}

async fn database(store: Result<SqlStore, CliError>) -> Result<String, CliError> {
    const COUNTED_MAX: u32 = 10_000;
    let store = store?;
    let runs = store.runs(&RunFilter::default(), COUNTED_MAX).await?.len();
    Ok(format!("{} opens, {runs} runs", store.place()))
}

async fn model(shell: &Shell<'_>, args: &DoctorArgs) -> Result<String, CliError> {
    let tokens = std::sync::Arc::new(statewright_nodes_context::tokens::Cl100k);
    let ChosenModel { about, endpoints, .. } =
        models::choose(shell.app, args.services.model.as_deref(), tokens)?;
    for endpoint in &endpoints {
        connect(endpoint).await?;
    }
    Ok(if endpoints.is_empty() { about } else { format!("{about} accepts connections") })
}

async fn connect(endpoint: &str) -> Result<(), CliError> {
    let failed = |detail: String| CliError::Model(statewright_nodes_ports::ModelError::Transport { detail });
    let address = host_and_port(endpoint).ok_or_else(|| failed(format!("`{endpoint}` names no host")))?;
    let connected = tokio::time::timeout(CONNECT_MAX, tokio::net::TcpStream::connect(&address)).await;
    match connected {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(format!("{address}: {error}"))),
        Err(_) => {
            Err(failed(format!("{address} did not accept a connection within {} s", CONNECT_MAX.as_secs())))
        }
    }
}

/// `https://host/v1` → `host:443`. The URL was checked when the model was made.
fn host_and_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.trim().split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    Some(if has_port { host.to_owned() } else { format!("{host}:{port}") })
}

async fn docs(shell: &Shell<'_>, args: &DoctorArgs) -> Result<String, CliError> {
    let Some((folder, docs)) = session::documents(args.services.docs.clone()).await? else {
        return Ok("no ./docs folder, so nothing is searched; give one with --docs DIR".to_owned());
    };
    let documents = docs.index().await?.report().documents;
    let left_out = session::left_out(shell, &docs).await.len();
    Ok(format!("{}: {documents} documents, {left_out} left out", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_host_and_a_port() {
        for (url, address) in [
            ("https://api.openai.com/v1", Some("api.openai.com:443")),
            ("http://127.0.0.1:8080/v1", Some("127.0.0.1:8080")),
            ("http://[::1]:9/v1", Some("[::1]:9")),
            ("http://[::1]/v1", Some("[::1]:80")),
            ("HTTPS://host", Some("host:443")),
            ("https:///v1", None),
            ("host", None),
        ] {
            assert_eq!(host_and_port(url).as_deref(), address, "{url}");
        }
    }
}
