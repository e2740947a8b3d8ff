//! The span tree of one run: a `run` span, and below it one `node` span for each execution of a node, with the names
//! that an operator filters by.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use statewright_engine_runtime::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

#[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
struct Notes {
    #[reduce(append)]
    lines: Vec<String>,
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

struct Recorder(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = context.span(id).and_then(|span| span.parent().map(|parent| parent.name().to_owned()));
        let shown: Vec<String> = ["graph", "thread", "run", "node", "attempt"]
            .iter()
            .filter_map(|name| fields.0.get(name).map(|value| format!("{name}={value}")))
            .collect();
        let line =
            format!("{} < {}: {}", attributes.metadata().name(), parent.unwrap_or_default(), shown.join(" "));
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn a_run_is_a_tree_of_spans() {
    let mut g = StateGraph::<Notes>::new("spans");
    let first = g.func("first", |_: Ctx<Notes>| async { Ok(Notes::update().lines("1")) });
    let left = g.func("left", |_: Ctx<Notes>| async { Ok(Notes::update().lines("l")) });
    let right = g.func("right", |_: Ctx<Notes>| async { Ok(Notes::update().lines("r")) });
    g.start(first);
    g.edge(first, left.to().and(right));
    g.end(left);
    g.end(right);
    let graph = g.build().unwrap();

    let lines = Arc::new(Mutex::new(Vec::new()));
    let subscriber = Registry::default().with(Recorder(lines.clone()));
    let guard = tracing::subscriber::set_default(subscriber);
    graph.runner().start("t1", Notes::update()).id("r1").await.unwrap();
    drop(guard);

    assert_eq!(
        *lines.lock().unwrap(),
        [
            "run < : graph=spans thread=t1 run=r1",
            "node < run: thread=t1 run=r1 node=first attempt=1",
            "node < run: thread=t1 run=r1 node=left attempt=1",
            "node < run: thread=t1 run=r1 node=right attempt=1",
        ]
    );
}
