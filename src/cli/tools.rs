//! `tools`: which tools there are for models, and what of them works here. Calls none of them.

use serde_json::{Value, json};
use statewright_nodes_ports::{SideEffect, Tool};
use statewright_nodes_tools::{Function, calculator, fetch, search, storage_metrics};

use super::args::tools::{ListToolsArgs, ToolsCommand};
use super::{Exit, Shell, session};
use crate::error::CliError;

/// One tool, and whether it can be used.
struct Listed {
    name: String,
    side_effect: SideEffect,
    is_configured: bool,
    detail: String,
    /// Of what is wrong.
    code: Option<&'static str>,
}

impl Listed {
    fn ready(tool: &Function, detail: &str) -> Self {
        let (name, side_effect) = (tool.spec().name.clone(), tool.side_effect());
        Self { name, side_effect, is_configured: true, detail: detail.to_owned(), code: None }
    }

    fn absent(name: &str, side_effect: SideEffect, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), side_effect, is_configured: false, detail: detail.into(), code: None }
    }
}

pub(crate) async fn tools(shell: &Shell<'_>, command: ToolsCommand) -> Result<Exit, CliError> {
    let ToolsCommand::List(args) = command;
    let listed = all(args).await;
    if shell.out.json {
        let tools: Vec<Value> = listed.iter().map(json_of).collect();
        shell.out.object(&json!({ "tools": tools }));
        return Ok(Exit::Finished);
    }
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    shell.out.table(&["tool", "side effect", "configured", ""], &rows);
    Ok(Exit::Finished)
}

async fn all(args: ListToolsArgs) -> Vec<Listed> {
    const WORKSPACE: &str = "needs a folder: a program opens one by Workspace::open";
    let mut listed = vec![
        Listed::ready(&calculator::tool(), "computes exactly"),
        docs_search(args).await,
        web_search(&|name| std::env::var(name).ok()),
        Listed::ready(&fetch::tool(fetch::FetchOptions::default()), "reads pages of the public internet"),
        Listed::ready(&storage_metrics::tool(), "a sample with made-up values"),
    ];
    for (name, side_effect) in [
        ("read_file", SideEffect::Read),
        ("list_files", SideEffect::Read),
        ("write_file", SideEffect::Write),
        ("delete_file", SideEffect::Write),
    ] {
        listed.push(Listed::absent(name, side_effect, WORKSPACE));
    }
    listed
}

async fn docs_search(args: ListToolsArgs) -> Listed {
    const NAME: &str = "docs_search";
    let absent = |detail: String| Listed::absent(NAME, SideEffect::Read, detail);
    match session::documents(args.docs).await {
        Ok(Some((folder, _))) => {
            Listed { is_configured: true, ..absent(format!("searches {}", folder.display())) }
        }
        Ok(None) => absent("no ./docs folder; give one with --docs DIR".to_owned()),
        Err(error) => Listed { code: Some(error.code()), ..absent(error.to_string()) },
    }
}

fn web_search(env: &dyn Fn(&str) -> Option<String>) -> Listed {
    let absent = |detail: String| Listed::absent("web_search", SideEffect::External, detail);
    match search::from_env(env) {
        Ok(Some(provider)) => {
            Listed::ready(&search::tool(provider.clone()), &format!("by {}", provider.name()))
        }
        Ok(None) => absent("set TAVILY_API_KEY, BRAVE_API_KEY or SEARXNG_URL".to_owned()),
        Err(error) => Listed { code: Some(error.code()), ..absent(error.to_string()) },
    }
}

fn json_of(listed: &Listed) -> Value {
    json!({
        "name": listed.name,
        "side_effect": listed.side_effect,
        "configured": listed.is_configured,
        "detail": listed.detail,
        "code": listed.code,
    })
}

fn row(listed: &Listed) -> Vec<String> {
    let side_effect = match listed.side_effect {
        SideEffect::Read => "read",
        SideEffect::Write => "write",
        SideEffect::External => "external",
        SideEffect::Irreversible => "irreversible",
    };
    let is_configured = if listed.is_configured { "yes" } else { "no" };
    let detail = match listed.code {
        Some(code) => format!("[{code}] {}", listed.detail),
        None => listed.detail.clone(),
    };
    vec![listed.name.clone(), side_effect.to_owned(), is_configured.to_owned(), detail]
}
