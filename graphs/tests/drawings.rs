//! The shapes of the graphs, pinned: a change of wiring shows up here.

mod common;

use common::offline;
use statewright_engine_runtime::Format;
use statewright_graphs::{classic, research};

const NODES: &str = r#"flowchart TD
  START([START])
  n0["orchestrator"]
  n1["research"]
  n2["calculator"]
  n3["writer"]
  n4["reviewer"]
  END([END])
  START --> n0
"#;

#[test]
fn research_as_mermaid() {
    let edges = r#"  n0 -->|"Research"| n1
  n0 -->|"Calculate"| n2
  n0 -->|"Both"| n1
  n0 -->|"Both"| n2
  n0 -->|"Neither"| n3
  n1 -->|"Calculate"| n2
  n1 -->|"Write"| n3
  n2 --> n3
  n3 --> n4
  n4 -->|"pass"| END
  n4 -->|"stop"| END
  n4 -->|"Research ≤2"| n1
  n4 -->|"Calculator ≤2"| n2
  n4 -->|"Writer ≤2"| n3
"#;
    let drawn = research(&offline()).unwrap().render(Format::Mermaid, None);
    assert_eq!(drawn, format!("{NODES}{edges}"));
}

#[test]
fn classic_as_mermaid() {
    let edges = r#"  n0 -->|"Research"| n1
  n0 -->|"Calculate"| n2
  n1 -->|"Calculate"| n2
  n1 -->|"Write"| n3
  n2 --> n3
  n3 --> n4
  n4 -->|"Accept"| END
  n4 -->|"Retry ≤1"| n1
"#;
    let drawn = classic(&offline()).unwrap().render(Format::Mermaid, None);
    assert_eq!(drawn, format!("{NODES}{edges}"));
}
