use statewright_engine_runtime::*;

#[derive(Clone)]
struct Raw;

#[derive(Route)]
enum Planned {
    Search(Raw),
    Answer,
}

fn main() {}
