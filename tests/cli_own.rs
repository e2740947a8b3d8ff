//! A program with a graph and a model of its own: this file is that program, and the test that drives it.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::process::{Command, ExitCode};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use statewright::nodes::models::{Reply, Scripted};
use statewright::prelude::*;

/// Set for the program, unset for the test.
const IS_PROGRAM: &str = "STATEWRIGHT_TEST_PROGRAM";

#[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
struct Offer {
    item: String,
    price: Option<u32>,
    #[reduce(sum)]
    rounds: u32,
}

#[derive(Route)]
enum Deal {
    Take,
    Haggle,
}

async fn price(ctx: Ctx<Offer>) -> Result<(OfferUpdate, Deal), NodeError> {
    let price: u32 = ctx.ask("price", &format!("What do you pay for {}?", ctx.state.item)).await;
    let deal = if price >= 10 { Deal::Take } else { Deal::Haggle };
    Ok((Offer::update().price(price).rounds(1), deal))
}

fn offer(_services: &Services) -> Result<Graph<Offer>, Problems> {
    let mut g = StateGraph::<Offer>::new("offer");
    let price = g.func("price", price);
    g.start(price);
    g.route(price, DealEdges { take: To::END, haggle: price.to().at_most(1) });
    g.build()
}

/// A graph whose only node wants two calls, and has one.
fn metered(_services: &Services) -> Result<Graph<Offer>, Problems> {
    let mut g = StateGraph::<Offer>::new("metered");
    let call = g.func("call", async |ctx: Ctx<Offer>| {
        ctx.reserve(&[("calls", 2)]).await?.settle(&[]);
        Ok(Offer::update().price(1u32))
    });
    g.start(call);
    g.end(call);
    g.run_budget(Budget::new().limit("calls", 1));
    g.build()
}

/// A graph that `build()` refuses.
fn broken(_services: &Services) -> Result<Graph<Offer>, Problems> {
    let mut g = StateGraph::<Offer>::new("broken");
    let price = g.func("price", price);
    g.start(price);
    g.build()
}

impl Pipeline for Offer {
    fn ask(question: &str) -> OfferUpdate {
        Offer::update().item(question.to_owned())
    }

    fn report(&self) -> Report {
        let answer = self.price.map_or_else(String::new, |price| format!("{} for {price}", self.item));
        Report { answer, attempts: self.rounds, ..Report::default() }
    }
}

fn main() -> ExitCode {
    if std::env::var_os(IS_PROGRAM).is_none() {
        a_program_of_ones_own_gets_every_command();
        return ExitCode::SUCCESS;
    }
    App::new()
        .without_ready_graphs()
        .graph("offer", offer)
        .graph("broken", broken)
        .graph("metered", metered)
        .model("mute", |_| Ok(Arc::new(Scripted::new([Reply::text("nothing")]))))
        .main()
}

fn a_program_of_ones_own_gets_every_command() {
    let home = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let name = program.file_stem().unwrap().to_str().unwrap().to_owned();
    let call = |code: i32, args: &[&str]| -> Value {
        let mut command = Command::new(&program);
        command.args(args).arg("--json").current_dir(home.path());
        let output = command.env(IS_PROGRAM, "1").env("STATEWRIGHT_HOME", home.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let asked = call(3, &["run", "a lamp"]);
    assert_eq!(
        (&asked["graph"], &asked["model"]),
        (&"offer".into(), &"mute".into()),
        "the first ones are the default"
    );
    assert_eq!(asked["interrupts"][0]["question"], "What do you pay for a lamp?");
    let run = asked["run"].as_str().unwrap();
    assert_eq!(asked["resume"], format!("{name} resume {run}"), "hints name the program that was called");
    let id = asked["interrupts"][0]["id"].as_str().unwrap();

    assert_eq!(call(1, &["answer", run, "price@9.9", "1"])["error"]["code"], "SW-X203");
    let rejected = call(3, &["answer", run, id, "much"]);
    assert!(rejected["interrupts"][0]["rejected"].is_string(), "{rejected}");
    assert_eq!(call(0, &["runs", "list"])["runs"][0]["status"], "paused");
    assert_eq!(call(3, &["resume", run])["outcome"], "paused", "a resume does not answer for anybody");

    let again = call(3, &["answer", run, id, "1"]);
    let id = again["interrupts"][0]["id"].as_str().unwrap();
    let exhausted = call(4, &["answer", run, id, "2"]);
    assert_eq!(exhausted["outcome"], "exhausted");
    let granted = call(3, &["resume", run]);
    let done = call(0, &["answer", run, granted["interrupts"][0]["id"].as_str().unwrap(), "12"]);
    assert_eq!((&done["answer"], &done["attempts"]), (&"a lamp for 12".into(), &3.into()));

    let short = call(4, &["run", "--graph", "metered", "a call"]);
    assert_eq!(short["outcome"], "budget_exceeded", "{short}");
    let metered = short["run"].as_str().unwrap();
    assert_eq!(call(4, &["resume", metered])["outcome"], "budget_exceeded");
    assert_eq!(call(0, &["resume", metered, "--budget", "calls=2"])["outcome"], "finished");
    let shown = call(0, &["runs", "show", metered]);
    let of_run = shown["spending"].as_array().unwrap().iter().find(|row| row["scope"] == "run").unwrap();
    assert_eq!((&of_run["limit"], &of_run["spent"]), (&2.into(), &2.into()), "{shown}");

    let drawn = call(0, &["graph", "--run", run]);
    assert_eq!(drawn["nodes"][0]["visits"], 3, "{drawn}");
    assert_eq!(call(1, &["run", "--graph", "research", "?"])["error"]["code"], "SW-C702", "left out");
    let problems = call(1, &["graph", "broken"]);
    assert!(problems["error"]["code"].as_str().unwrap().starts_with("SW-G1"), "{problems}");
}
