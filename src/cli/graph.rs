//! `graph`: pictures of graphs, and of the path that a run took.

use serde_json::{Value, json};
use statewright_engine_core::ThreadView;
use statewright_engine_runtime::{Format, Plan};

use super::args::GraphArgs;
use super::{Exit, Shell, home, session, show};
use crate::error::CliError;

pub(crate) async fn graph(shell: &Shell<'_>, args: &GraphArgs) -> Result<Exit, CliError> {
    let Some(given) = &args.run else {
        let graph = session::graph_named(shell, args.name.as_deref())?;
        let opened = session::open_to_read(graph)?;
        print(shell, graph.name(), opened.plan(), args, None);
        return Ok(Exit::Finished);
    };
    // A misspelt name is told before a run is looked for.
    let named = args.name.as_deref().map(|name| session::graph_named(shell, Some(name))).transpose()?;
    let store = home::store(&shell.global).await?;
    let row = session::find_run(&store, given).await?;
    let graph = session::graph_of(shell, &row)?;
    if let Some(named) = named.filter(|named| named.name() != graph.name()) {
        let words = format!(
            "the run `{}` is of the graph `{}`, not `{}`; leave the name out",
            row.run,
            row.graph,
            named.name()
        );
        return Err(CliError::Usage(words));
    }
    let opened = session::open_to_read(graph)?;
    // Who wrote the thread is checked first: the path of another graph means nothing on this one.
    opened.load(std::sync::Arc::new(store.clone()), row.thread.clone()).await?;
    let view = ThreadView::read(opened.plan(), &show::entries(&store, &row.thread, 1).await?)?;
    let overlay = view.overlay(opened.plan(), Some(&row.run));
    print(shell, graph.name(), opened.plan(), args, Some((row.run.as_str(), &overlay)));
    Ok(Exit::Finished)
}

fn print(
    shell: &Shell<'_>,
    name: &str,
    plan: &Plan,
    args: &GraphArgs,
    overlay: Option<(&str, &statewright_engine_runtime::Overlay)>,
) {
    let format = Format::from(args.format);
    let picture = plan.render(format, overlay.map(|(_, overlay)| overlay));
    if !shell.out.json {
        shell.out.text(&picture);
        return;
    }
    let nodes: Vec<Value> = plan
        .nodes
        .iter()
        .enumerate()
        .map(|(place, node)| {
            let visits = overlay.map(|(_, overlay)| overlay.visits.get(place).copied().unwrap_or(0));
            json!({ "name": *node.name, "visits": visits })
        })
        .collect();
    let edges: Vec<Value> = plan
        .edges
        .iter()
        .enumerate()
        .map(|(place, edge)| {
            json!({
                "from": plan.name_of(edge.source, "START"),
                "to": plan.name_of(edge.target, "END"),
                "label": edge.label,
                "at_most": edge.at_most,
                "each": edge.each,
                "taken": overlay.map(|(_, overlay)| overlay.taken.get(place).copied().unwrap_or(0)),
            })
        })
        .collect();
    shell.out.object(&json!({
        "graph": name,
        "fingerprint": plan.fingerprint.to_string(),
        "run": overlay.map(|(run, _)| run),
        "nodes": nodes,
        "edges": edges,
        "picture": picture,
    }));
}
