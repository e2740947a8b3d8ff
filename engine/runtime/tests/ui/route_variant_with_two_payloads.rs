use statewright_engine_runtime::*;

#[derive(Route)]
enum Planned {
    Search(String, u32),
    Answer,
}

fn main() {}
