//! Documents that a draw of numbers makes up: chains of nodes with more ways between them, of which now and then something
//! is misspelt, of another shape or left out.

use serde_json::{Map, Value, json};
use statewright_engine_testkit::Rng;

/// How often, of a thousand, something is not as it should be.
#[derive(Clone, Copy)]
struct Slips(usize);

/// A document.
pub(crate) fn document(rng: &mut Rng) -> Value {
    let slips = Slips([0, 0, 5, 30, 200][rng.below(5)]);
    let count = rng.between(1, 5);
    let fields = fields(rng, slips);
    let nodes: Vec<Value> = (0..count).map(|number| node(rng, slips, number, count)).collect();
    let mut edges: Vec<Value> = (0..count)
        .filter(|number| nodes[*number].get("routes").is_none())
        .map(|number| {
            let to = if number + 1 == count { json!("END") } else { json!(format!("n{}", number + 1)) };
            json!({ "from": format!("n{number}"), "to": slip(rng, slips, to) })
        })
        .collect();
    for _ in 0..rng.below(3) {
        edges.push(edge(rng, slips, count));
    }
    let mut document = json!({
        "name": "g", "state": { "fields": fields }, "nodes": nodes, "start": target(rng, slips, 1), "edges": edges,
    });
    let several = |rng: &mut Rng, make: &dyn Fn(&mut Rng) -> Value| -> Vec<Value> {
        (0..rng.below(3)).map(|_| make(rng)).collect()
    };
    document["branches"] = Value::from(several(rng, &|rng| branch(rng, slips, count)));
    if rng.chance(400) {
        document["maps"] = json!([map(rng, slips, count)]);
    }
    if rng.chance(300) {
        document["joins"] = json!([join(rng, slips, count)]);
    }
    for _ in 0..rng.below(1 + slips.0 / 50) {
        damage(rng, &mut document, 0);
    }
    document
}

fn fields(rng: &mut Rng, slips: Slips) -> Vec<Value> {
    const REDUCERS: [&str; 8] = ["replace", "last", "append", "union", "upsert", "sum", "min", "max"];
    let mut fields =
        vec![json!({ "name": "word" }), json!({ "name": "items", "type": "list", "default": [1, 2] })];
    for number in 0..rng.below(5) {
        let reducer = REDUCERS[rng.below(REDUCERS.len())];
        let mut field = json!({ "name": format!("f{number}"), "reducer": slip(rng, slips, json!(reducer)) });
        if reducer == "upsert" {
            field["key"] = slip(rng, slips, json!("k"));
        }
        for flag in ["ephemeral", "reset_on_run"] {
            if rng.chance(100) {
                field[flag] = json!(true);
            }
        }
        fields.push(field);
    }
    fields
}

fn node(rng: &mut Rng, slips: Slips, number: usize, count: usize) -> Value {
    let code = ["write", "route", "fail"][rng.weighted(&[8, 2, 1]).unwrap_or(0)];
    let mut node = json!({ "name": format!("n{number}"), "run": slip(rng, slips, json!(code)), "any": true });
    if code == "route" {
        let each = rng.chance(300);
        let on =
            json!({ "name": "on", "to": target(rng, slips, count), "at_most": rng.below(4), "each": each });
        let out = json!({ "name": "out", "to": "END" });
        node["routes"] = json!([on, out]);
        node["goto"] = json!(rng.chance(200));
    }
    if rng.chance(100) {
        node["on_error"] = target(rng, slips, count);
    }
    if rng.chance(100) {
        node["attempts"] = json!(rng.below(3));
    }
    if rng.chance(50) {
        node["deferred"] = json!(true);
    }
    node
}

/// The name of a node, mostly one that is there.
fn target(rng: &mut Rng, slips: Slips, count: usize) -> Value {
    let name = if rng.chance(150) { json!("END") } else { json!(format!("n{}", rng.below(count))) };
    slip(rng, slips, name)
}

fn targets(rng: &mut Rng, slips: Slips, count: usize) -> Value {
    match rng.below(5) {
        0 => Value::from(vec![target(rng, slips, count), target(rng, slips, count)]),
        _ => target(rng, slips, count),
    }
}

fn edge(rng: &mut Rng, slips: Slips, count: usize) -> Value {
    json!({ "from": target(rng, slips, count), "to": targets(rng, slips, count), "at_most": rng.below(4) })
}

fn branch(rng: &mut Rng, slips: Slips, count: usize) -> Value {
    let cases: Vec<Value> = (0..rng.between(1, 3))
        .map(|number| {
            let equals = [json!(number), json!("a"), json!(null), json!([number])][rng.below(4)].clone();
            json!({ "equals": equals, "to": targets(rng, slips, count), "at_most": rng.between(1, 3) })
        })
        .collect();
    let after = target(rng, slips, count);
    json!({ "after": after, "field": slip(rng, slips, json!("word")), "cases": cases, "otherwise": "END" })
}

fn map(rng: &mut Rng, slips: Slips, count: usize) -> Value {
    let (after, to) = (target(rng, slips, count), target(rng, slips, count));
    json!({ "after": after, "over": slip(rng, slips, json!("items")), "to": to, "at_most": rng.between(1, 3) })
}

fn join(rng: &mut Rng, slips: Slips, count: usize) -> Value {
    let source = |rng: &mut Rng| json!({ "node": target(rng, slips, count), "optional": rng.chance(700) });
    let sources = [source(rng), source(rng)];
    let mut join = json!({ "sources": sources, "target": target(rng, slips, count) });
    if rng.chance(300) {
        join["quorum"] = json!(rng.between(1, 2));
    }
    join
}

/// The value, or something else in its place.
fn slip(rng: &mut Rng, slips: Slips, value: Value) -> Value {
    if rng.chance(slips.0) { anything(rng, 0) } else { value }
}

fn anything(rng: &mut Rng, depth: usize) -> Value {
    const WORDS: [&str; 10] =
        ["", "n0", "n9", "END", "START", "write", "word", "word:overwrite", "\0", "ünï"];
    match rng.below(if depth > 3 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(rng.chance(500)),
        2 => json!(rng.draw()),
        3 => json!(f64::from_bits(rng.draw())),
        4 => json!(WORDS[rng.below(WORDS.len())]),
        5 => json!("x".repeat(rng.below(400))),
        6 => (0..rng.below(4)).map(|_| anything(rng, depth + 1)).collect(),
        _ => {
            let members = (0..rng.below(4))
                .map(|_| (WORDS[rng.below(WORDS.len())].to_owned(), anything(rng, depth + 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

/// Changes one place, wherever it is.
fn damage(rng: &mut Rng, value: &mut Value, depth: usize) {
    let goes_on = depth < 2 || rng.chance(700);
    match value {
        Value::Object(members) if !members.is_empty() && goes_on => {
            let place = rng.below(members.len());
            let Some(name) = members.keys().nth(place).cloned() else { return };
            match rng.below(10) {
                0 => drop(members.remove(&name)),
                1 => drop(members.insert("more".to_owned(), anything(rng, 0))),
                _ => {
                    if let Some(member) = members.get_mut(&name) {
                        damage(rng, member, depth + 1);
                    }
                }
            }
        }
        Value::Array(items) if !items.is_empty() && goes_on => {
            let place = rng.below(items.len());
            match rng.below(10) {
                0 => drop(items.remove(place)),
                1 => items.push(items[place].clone()),
                _ => damage(rng, &mut items[place], depth + 1),
            }
        }
        other => *other = anything(rng, 0),
    }
}
