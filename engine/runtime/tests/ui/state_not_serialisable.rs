use statewright_engine_runtime::*;

#[derive(Clone, Default)]
struct Handle;

#[derive(State, Clone, Default)]
struct Chat {
    handle: Handle,
}

fn main() {}
