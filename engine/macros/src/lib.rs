//! `#[derive(State)]` and `#[derive(Route)]`, and nothing else.
//!
//! The expansions hold no logic: they name the fields and variants, and call the traits of the core.

mod field;
mod krate;
mod route;
mod state;
mod versions;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct the state of a graph: each field becomes a channel, and `<Name>Update` its typed partial write.
///
/// | attribute of a field | folding |
/// |---|---|
/// | none, or `#[reduce(replace)]` | the new value replaces; two writers in one superstep are an error |
/// | `#[reduce(last)]` | the new value replaces; the last writer in merge order wins |
/// | `#[reduce(append)]` | items are added at the end (`Vec`, `VecDeque`, `String`, maps) |
/// | `#[reduce(union)]` | items are added to a set |
/// | `#[reduce(upsert = key)]` | items of a `Vec` replace the one with the same `key(&item)` |
/// | `#[reduce(sum)]`, `min`, `max` | numbers; `min` needs an `Option`, since a default of 0 would always win |
/// | `#[reduce(with = f)]` | `f(&mut field, value)` |
/// | `#[state(ephemeral)]` | reset before the writes of each superstep |
/// | `#[state(reset = run)]` | reset when a new run starts on the thread |
///
/// The update has a setter named like each field. For a `title: Option<String>` it takes the `String`; `maybe_title`
/// takes the option itself, and `clear_title` writes `None`. A collection has `extend_notes` beside `notes`. An
/// `Option<Option<T>>` and an `Option<()>` are refused: what is stored of them is the same for two values.
///
/// On the struct, `#[state(version = N)]` numbers the shape of the type. What changed since earlier versions is declared,
/// so that stored runs go on:
///
/// | attribute | what stored updates of earlier versions become |
/// |---|---|
/// | of a field: `#[state(renamed_from = "old", since = 2)]` | what was written to `old` is written here |
/// | of a field: `#[state(default = value, since = 2)]` | threads without the field hold `value`, not the struct's default |
/// | of a field: `#[state(reducer_changed, since = 2)]` | they are folded by the present reducer |
/// | of the struct: `#[state(dropped("old", "older"))]` | what was written to these fields is forgotten |
/// | of the struct: `#[state(migrate = function)]` | whatever `fn(StoredUpdate, from: u32) -> Migrated` makes of them |
///
/// The struct itself derives `Clone` and
/// `Default`; the types of its fields are `Clone`, `Debug`, `Serialize` and `Deserialize`, as the update is.
#[proc_macro_derive(State, attributes(reduce, state))]
pub fn derive_state(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    state::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes an enum a route: its variants are the ways out of a node, and `<Name>Edges` wires each of them to a target.
///
/// A variant carries nothing (`Done`), one payload (`Search(Query)`), or a list that fans out
/// (`#[each] Search(Vec<Query>)`).
#[proc_macro_derive(Route, attributes(each))]
pub fn derive_route(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    route::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
