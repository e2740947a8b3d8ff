//! Versions of a graph inside a node: while a run waits inside it, of that graph only the version that wrote it is
//! understood, and everything else is refused; elsewhere it may change like the code of a node.

use statewright_engine_runtime::*;

use crate::support::*;

#[derive(State, Clone, Debug, Default, PartialEq)]
struct Page {
    #[reduce(append)]
    lines: Vec<String>,
}

#[derive(State, Clone, Debug, Default, PartialEq)]
struct Book {
    #[reduce(append)]
    pages: Vec<String>,
}

/// A chain of nodes; one that is called `check` asks.
fn page(names: &[&str]) -> Graph<Page> {
    let mut g = StateGraph::<Page>::new("page");
    let nodes: Vec<_> = names
        .iter()
        .map(|name| {
            g.func(*name, async |ctx: Ctx<Page>| {
                if ctx.node() == "check" {
                    ctx.ask::<bool, _>("go on", "go on?").await;
                }
                Ok(Page::update().lines(ctx.node().to_owned()))
            })
        })
        .collect();
    g.start(nodes[0]);
    for pair in nodes.windows(2) {
        g.edge(pair[0], pair[1]);
    }
    g.end(nodes[nodes.len() - 1]);
    g.build().unwrap()
}

/// `before → page → after`, where `asks` asks, if any does.
fn book(page: &Graph<Page>, asks: &str) -> Graph<Book> {
    let mut g = StateGraph::<Book>::new("book");
    let [before, after] = ["before", "after"].map(|name| {
        let asks = asks == name;
        g.func(name, move |ctx: Ctx<Book>| async move {
            if asks {
                ctx.ask::<bool, _>("go on", "go on?").await;
            }
            Ok(Book::update().pages(ctx.node().to_owned()))
        })
    });
    let page = g.subgraph(
        "page",
        page,
        |_: &Book, (): ()| Page::update(),
        |page: &Page| Book::update().pages(page.lines.join(" ")),
    );
    g.start(before);
    g.edge(before, page);
    g.edge(page, after);
    g.end(after);
    g.build().unwrap()
}

async fn waiting(graph: &Graph<Book>, snapshots: u64) -> MemoryCheckpointer {
    let store = MemoryCheckpointer::new();
    let report = runner(graph, &store, snapshots).start("t", Book::update()).await.unwrap();
    paused(&report);
    store
}

async fn answer(runner: &Runner<Book>) -> Result<RunReport<Book>, RunError> {
    let open = runner.load("t").await?.interrupts;
    runner.answer("t", open[0].id.clone(), &true).await
}

const FIRST: [&str; 3] = ["write", "check", "print"];

#[tokio::test]
async fn a_graph_inside_a_node_that_changed_is_refused_while_a_run_waits_inside_it() {
    let changes: [&[&str]; 4] = [
        &["write", "check", "print", "bind"],
        &["write", "check"],
        &["check", "write", "print"],
        &["write", "check", "press"],
    ];
    for snapshots in RARELY_AND_OFTEN {
        for change in changes {
            let first = book(&page(&FIRST), "");
            let store = waiting(&first, snapshots).await;
            let before = entries(&store);
            let second = runner(&book(&page(change), ""), &store, snapshots);
            for error in [second.load("t").await.unwrap_err(), second.resume("t").await.unwrap_err()] {
                assert_eq!(error.code(), "SW-X210", "{change:?}: {error}");
                assert!(error.to_string().contains("the graph `page`"), "{error}");
            }
            assert_eq!(entries(&store), before, "a refusal writes nothing");
            // The build that wrote it goes on.
            let report = answer(&runner(&first, &store, snapshots)).await.unwrap();
            assert_eq!(report.finished().unwrap().pages, ["before", "write check print", "after"]);
        }
    }
}

#[tokio::test]
async fn a_node_that_is_no_graph_any_more_is_refused_while_a_run_waits_inside_it() {
    let first = book(&page(&FIRST), "");
    for snapshots in RARELY_AND_OFTEN {
        let store = waiting(&first, snapshots).await;
        let before = entries(&store);
        let mut g = StateGraph::<Book>::new("book");
        let nodes = ["before", "page", "after"]
            .map(|name| g.func(name, async |ctx: Ctx<Book>| Ok(Book::update().pages(ctx.node().to_owned()))));
        g.start(nodes[0]);
        g.edge(nodes[0], nodes[1]);
        g.edge(nodes[1], nodes[2]);
        g.end(nodes[2]);
        let second = runner(&g.build().unwrap(), &store, snapshots);
        let error = second.resume("t").await.unwrap_err();
        assert!(["SW-X210", "SW-X263", "SW-S413"].contains(&error.code()), "{error}");
        assert_eq!(entries(&store), before, "a refusal writes nothing");
        answer(&runner(&first, &store, snapshots)).await.unwrap().finished().unwrap();
    }
}

#[tokio::test]
async fn a_graph_inside_a_node_may_change_where_no_run_waits_inside_it() {
    for snapshots in RARELY_AND_OFTEN {
        for (asks, wanted) in [("before", "write bind"), ("after", "write print")] {
            let store = waiting(&book(&page(&["write", "print"]), asks), snapshots).await;
            let second = runner(&book(&page(&["write", "bind"]), asks), &store, snapshots);
            let report = answer(&second).await.unwrap();
            assert_eq!(report.finished().unwrap().pages, ["before", wanted, "after"], "asked `{asks}`");
        }
    }
}
