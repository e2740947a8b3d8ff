use statewright_engine_runtime::*;

#[derive(Route)]
enum Planned {}

fn main() {}
