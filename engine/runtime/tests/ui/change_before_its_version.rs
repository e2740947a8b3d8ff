use statewright_engine_runtime::State;

// A change since a version that the struct does not have, a name without a version, and a default of a field that grows.
#[derive(State, Clone, Default)]
#[state(version = 2, dropped("mood"))]
struct Draft {
    #[state(renamed_from = "topic", since = 3)]
    title: String,
    #[state(renamed_from = "sum")]
    total: u64,
    #[reduce(append)]
    #[state(default = Vec::new(), since = 2)]
    notes: Vec<String>,
    mood: String,
}

fn main() {}
