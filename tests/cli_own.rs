//! A program with a graph and a model of its own: this file is that program, and the test that drives it.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

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

#[derive(State, Clone, Debug, Default, Serialize, Deserialize)]
struct Parcel {
    address: String,
    receipt: Option<u64>,
}

/// The money is gone, and then the line is dead.
async fn send(ctx: Ctx<Parcel>) -> Result<ParcelUpdate, NodeError> {
    let pay = |_key| async { Err::<u64, _>(NodeError::transient("timed out")) };
    let receipt = ctx.effect("pay").run(pay).await?;
    ctx.outbox("mail", &ctx.state.address)?;
    Ok(Parcel::update().receipt(receipt))
}

fn parcel(_services: &Services) -> Result<Graph<Parcel>, Problems> {
    let mut g = StateGraph::<Parcel>::new("parcel");
    let send = g.func("send", send);
    g.start(send);
    g.end(send);
    g.build()
}

impl Pipeline for Parcel {
    fn ask(question: &str) -> ParcelUpdate {
        Parcel::update().address(question.to_owned())
    }

    fn report(&self) -> Report {
        Report { answer: format!("receipt {}", self.receipt.unwrap_or(0)), ..Report::default() }
    }
}

/// Delivers to a file, if there is one.
async fn deliver(mail: statewright::engine::Delivery<String>) -> Result<(), NodeError> {
    let mut letters = std::fs::OpenOptions::new().append(true).open("letters.txt")?;
    Ok(std::io::Write::write_all(&mut letters, format!("{} {}\n", mail.id, mail.payload).as_bytes())?)
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

/// A graph whose only node has a result that is kept.
fn kept(_services: &Services) -> Result<Graph<Offer>, Problems> {
    let mut g = StateGraph::<Offer>::new("kept");
    let look = g.func("look", async |ctx: Ctx<Offer>| Ok(Offer::update().price(ctx.state.item.len() as u32)));
    g.start(look);
    g.end(look);
    g.cache(look, 1, Duration::from_secs(3_600), |offer: &Offer, (): &()| offer.item.clone());
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
        an_operator_settles_effects_and_delivers_what_is_left();
        results_that_are_kept_are_found_by_the_next_run_and_said_to_be_so();
        return ExitCode::SUCCESS;
    }
    App::new()
        .version("7.8.9")
        .without_ready_graphs()
        .graph("offer", offer)
        .graph("broken", broken)
        .graph("parcel", parcel)
        .outbox("mail", deliver)
        .graph("metered", metered)
        .graph("kept", kept)
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
    let mut version = Command::new(&program);
    let version = version.arg("--version").env(IS_PROGRAM, "1").output().unwrap();
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("{name} 7.8.9\n"),
        "its own, not the engine's"
    );
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

fn an_operator_settles_effects_and_delivers_what_is_left() {
    let home = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let call = |code: i32, args: &[&str]| -> Value {
        let mut command = Command::new(&program);
        command.args(args).arg("--json").current_dir(home.path());
        let output = command.env(IS_PROGRAM, "1").env("STATEWRIGHT_HOME", home.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let run = call(1, &["run", "--graph", "parcel", "--thread", "p", "Elm Street 4"]);
    let run = run["run"].as_str().unwrap();
    assert_eq!(call(1, &["resume", run])["error"]["code"], "SW-X252", "nobody knows whether it was paid");
    let shown = call(0, &["threads", "show", "p"]);
    assert_eq!(shown["unknown_effects"], serde_json::json!(["pay@1.0"]));

    assert_eq!(call(1, &["runs", "settle", run, "pay@9.9", "1"])["error"]["code"], "SW-X255");
    assert_eq!(
        call(1, &["runs", "settle", run, "pay@1.0", "--not-done"])["outcome"],
        "failed",
        "it began anew"
    );
    let settled = call(0, &["runs", "settle", run, "pay@1.0", "4711"]);
    assert_eq!((&settled["outcome"], &settled["answer"]), (&"finished".into(), &"receipt 4711".into()));

    let shown = call(0, &["threads", "show", "p"]);
    assert_eq!(shown["undelivered"], serde_json::json!(["1.0#0"]), "there was no letter box");
    assert_eq!(call(1, &["runs", "deliver", run])["undelivered"], serde_json::json!(["1.0#0"]));
    std::fs::write(home.path().join("letters.txt"), "").unwrap();
    let delivered = call(0, &["runs", "deliver", run]);
    assert_eq!((&delivered["delivered"], &delivered["undelivered"]), (&1.into(), &serde_json::json!([])));
    let letters = std::fs::read_to_string(home.path().join("letters.txt")).unwrap();
    assert!(letters.ends_with(" Elm Street 4\n") && letters.lines().count() == 1, "{letters}");
    assert_eq!(
        call(0, &["runs", "deliver", run])["delivered"],
        0,
        "what is delivered is not delivered again"
    );
    assert_eq!(call(0, &["runs", "list"])["runs"][0]["status"], "finished");
}

fn results_that_are_kept_are_found_by_the_next_run_and_said_to_be_so() {
    let home = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let call = |args: &[&str]| -> String {
        let mut command = Command::new(&program);
        command.args(args).current_dir(home.path());
        let output = command.env(IS_PROGRAM, "1").env("STATEWRIGHT_HOME", home.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json =
        |args: &[&str]| -> Value { serde_json::from_str(&call(&[args, &["--json"]].concat())).unwrap() };
    let run = ["run", "--graph", "kept", "a lamp"];
    assert_eq!(json(&run)["steps"][0]["cached"], false, "the first time it runs");
    let found = json(&run);
    assert_eq!((&found["steps"][0]["cached"], &found["answer"]), (&true.into(), &"a lamp for 6".into()));
    assert_eq!(json(&["run", "--graph", "kept", "a lamp", "--no-cache"])["steps"][0]["cached"], false);
    let shown = ["runs", "show", found["run"].as_str().unwrap()];
    assert_eq!(json(&shown)["steps"][0]["cached"], true, "the journal knows it, too");
    assert!(
        call(&shown).lines().any(|line| line.contains("look") && line.ends_with("cached")),
        "{}",
        call(&shown)
    );
    assert!(call(&run).lines().any(|line| line.contains("look") && line.ends_with("cached")));
    assert_eq!(json(&["db", "vacuum"])["expired_results"], 0, "what is not over stays");
    assert_eq!(json(&run)["steps"][0]["cached"], true);
}
