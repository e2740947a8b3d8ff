use statewright_engine_runtime::*;

#[derive(Route)]
enum Planned<T> {
    Search(T),
    Answer,
}

fn main() {}
