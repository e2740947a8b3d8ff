use statewright_engine_runtime::*;

#[derive(Route)]
enum Planned {
    Search { text: String },
    Answer,
}

fn main() {}
