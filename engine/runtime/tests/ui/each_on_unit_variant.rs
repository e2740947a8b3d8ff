use statewright_engine_runtime::*;

#[derive(Route)]
enum Planned {
    #[each]
    Search,
    Answer,
}

fn main() {}
