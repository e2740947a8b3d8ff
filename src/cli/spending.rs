//! What was spent of budgets, as it is shown.

use serde_json::{Value, json};
use statewright_engine_runtime::{Scope, Spending};

use super::output::Output;

/// For people: nothing if nothing was counted and nothing is limited.
pub(crate) fn table(out: &Output, spending: &[Spending]) {
    if spending.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = spending.iter().map(row).collect();
    out.line("");
    out.table(&["budget of", "unit", "spent", "limit"], &rows);
}

fn row(row: &Spending) -> Vec<String> {
    let mut spent = row.spent.to_string();
    if row.estimated > 0 {
        spent += &format!(" ({} estimated)", row.estimated);
    }
    if row.open > 0 {
        spent += &format!(" + {} reserved", row.open);
    }
    let limit = row.limit.map_or("none".to_owned(), |limit| limit.to_string());
    vec![row.scope.to_string(), row.unit.clone(), spent, limit]
}

/// For programs.
pub(crate) fn json(spending: &[Spending]) -> Value {
    let row = |row: &Spending| {
        let (scope, node) = match &row.scope {
            Scope::Thread => ("thread", None),
            Scope::Run => ("run", None),
            Scope::OneNode(node) => ("node", Some(node)),
        };
        json!({
            "scope": scope, "node": node, "unit": row.unit, "limit": row.limit,
            "spent": row.spent, "estimated": row.estimated, "open": row.open,
        })
    };
    spending.iter().map(row).collect()
}
