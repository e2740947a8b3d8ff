//! A program of which two builds share a database: this file is both builds, and the test that drives them.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]
#![expect(clippy::print_stdout, reason = "a test without a harness says itself how it ended")]

use std::path::Path;
use std::process::{Command, ExitCode, Output};

use serde_json::Value;
use statewright::prelude::*;

/// Which build the program is; unset for the test.
const BUILD: &str = "STATEWRIGHT_TEST_BUILD";

mod old {
    use super::*;

    #[derive(State, Clone, Debug, Default)]
    pub(crate) struct Offer {
        pub(crate) item: String,
        pub(crate) price: Option<u32>,
    }
}

mod new {
    use super::*;

    #[derive(State, Clone, Debug, Default)]
    #[state(version = 2)]
    pub(crate) struct Offer {
        #[state(renamed_from = "item", since = 2)]
        pub(crate) thing: String,
        pub(crate) price: Option<u32>,
    }
}

impl Pipeline for old::Offer {
    fn ask(question: &str) -> old::OfferUpdate {
        old::Offer::update().item(question.to_owned())
    }

    fn report(&self) -> Report {
        Report { answer: format!("{} for {:?}", self.item, self.price), ..Report::default() }
    }
}

impl Pipeline for new::Offer {
    fn ask(question: &str) -> new::OfferUpdate {
        new::Offer::update().thing(question.to_owned())
    }

    fn report(&self) -> Report {
        Report { answer: format!("{} for {:?}", self.thing, self.price), ..Report::default() }
    }
}

/// A graph of one node that asks for the price.
macro_rules! graph {
    ($state:ty, $graph:expr, $node:expr, $former:expr) => {{
        let mut g = StateGraph::<$state>::new($graph);
        let price = g.func($node, async |ctx: Ctx<$state>| {
            let price: u32 = ctx.ask("price", "What do you pay?").await;
            Ok(<$state>::update().price(price))
        });
        g.start(price);
        g.end(price);
        if let Some(former) = $former {
            g.renamed(former, price);
        }
        g.build()
    }};
}

fn main() -> ExitCode {
    const NONE: Option<&str> = None;
    let app = App::new().without_ready_graphs();
    match std::env::var(BUILD).as_deref() {
        Err(_) => {
            runs_are_checked_before_a_deployment();
            // Without a harness nobody else says so.
            println!("test runs_are_checked_before_a_deployment ... ok");
            ExitCode::SUCCESS
        }
        Ok("old") => app
            .graph("offer", |_| graph!(old::Offer, "offer", "price", NONE))
            .graph("same", |_| graph!(new::Offer, "same", "price", NONE))
            .graph("lost", |_| graph!(old::Offer, "lost", "price", NONE))
            .main(),
        Ok("new") => app
            .graph("offer", |_| graph!(new::Offer, "offer", "bid", Some("price")))
            .graph("same", |_| graph!(new::Offer, "same", "price", NONE))
            .graph("lost", |_| graph!(new::Offer, "lost", "bid", NONE))
            .main(),
        Ok(_) => app.graph("offer", |_| graph!(new::Offer, "offer", "bid", Some("price"))).main(),
    }
}

fn call(home: &Path, build: &str, args: &[&str]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(args).current_dir(home).env(BUILD, build).env("STATEWRIGHT_HOME", home);
    command.env_remove("STATEWRIGHT_DATABASE").output().unwrap()
}

fn json(home: &Path, code: i32, build: &str, args: &[&str]) -> Value {
    let output = call(home, build, &[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn runs_are_checked_before_a_deployment() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let ask = |graph: &str| json(home, 3, "old", &["run", "--graph", graph, "a lamp"]);
    let [offer, same, lost, over] = ["offer", "same", "lost", "lost"].map(ask);
    let over = over["run"].as_str().unwrap();
    json(home, 1, "old", &["runs", "cancel", "nothing"]);
    json(home, 0, "old", &["runs", "cancel", over]);

    let checked = json(home, 0, "old", &["check-runs"]);
    assert_eq!((&checked["safe"], &checked["migratable"]), (&3.into(), &0.into()), "{checked}");

    let checked = json(home, 100, "new", &["check-runs"]);
    let counts = ["safe", "migratable", "blocked"].map(|word| checked[word].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1], "what is over is in nobody's way: {checked}");
    let of = |run: &Value| {
        let runs = checked["runs"].as_array().unwrap();
        runs.iter().find(|found| found["run"] == run["run"]).unwrap().clone()
    };
    assert_eq!((&of(&same)["compatibility"], &of(&same)["status"]), (&"safe".into(), &"paused".into()));
    let migrated = of(&offer);
    assert_eq!(migrated["compatibility"], "migratable");
    let reason = migrated["reason"].as_str().unwrap();
    assert!(reason.contains("the node `price` is `bid`, the field `item` is `thing`"), "{reason}");
    let blocked = of(&lost);
    assert_eq!((&blocked["compatibility"], &blocked["code"]), (&"blocked".into(), &"SW-X263".into()));
    assert!(blocked["reason"].as_str().unwrap().contains("drain it once"), "{blocked}");

    let table = call(home, "new", &["check-runs"]);
    assert_eq!(table.status.code(), Some(100));
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(text.contains("[SW-X263]") && text.contains("1 safe, 1 migratable, 1 blocked"), "{text}");
    json(home, 0, "new", &["check-runs", "--graph", "offer"]);
    let without = json(home, 100, "fewer", &["check-runs", "--graph", "same"]);
    assert_eq!(without["runs"][0]["code"], "SW-C710", "a graph that the build does not have");

    // The old build drains what is blocked; then nothing is, and the new one goes on with the others.
    let answer = |code: i32, build: &str, asked: &Value| {
        let id = asked["interrupts"][0]["id"].as_str().unwrap();
        json(home, code, build, &["answer", asked["run"].as_str().unwrap(), id, "12"])
    };
    assert_eq!(answer(1, "new", &lost)["error"]["code"], "SW-X263");
    answer(0, "old", &lost);
    json(home, 0, "new", &["check-runs"]);
    assert_eq!(answer(0, "new", &offer)["answer"], "a lamp for Some(12)");
    let shown = json(home, 0, "new", &["runs", "show", offer["run"].as_str().unwrap()]);
    let nodes: Vec<&str> =
        shown["steps"].as_array().unwrap().iter().map(|step| step["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["price", "bid"], "each step under the name that it had");
    answer(0, "new", &same);
    let checked = json(home, 0, "new", &["check-runs"]);
    assert_eq!(checked["runs"], Value::Array(Vec::new()));
}
