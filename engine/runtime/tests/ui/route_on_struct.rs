use statewright_engine_runtime::*;

#[derive(Route)]
struct Planned {
    search: String,
}

fn main() {}
