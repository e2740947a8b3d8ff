//! The calculator as a tool, and the sample.

use std::collections::HashMap;

use serde_json::{Value, json};
use statewright_nodes_ports::{SideEffect, Tool, ToolCall};
use statewright_nodes_tools::storage_metrics::{self, Band, StorageMetrics};
use statewright_nodes_tools::{Toolbox, calculator};

use crate::common::call_tool;

#[test]
fn the_calculator_answers_a_model() {
    let tool = calculator::tool();
    assert_eq!((tool.spec().name.as_str(), tool.side_effect()), ("calculator", SideEffect::Read));
    let answer = call_tool(&tool, &json!({"expression": "25 * 4"})).unwrap();
    assert_eq!(answer.content, "25 × 4 = 100");
    let error = call_tool(&tool, &json!({"expression": "1 / 0"})).unwrap_err();
    assert_eq!(error.code, "SW-N305");
    assert!(error.message.contains("division by zero"), "{error}");
    let arguments = json!({"expression": "1 ".repeat(1_000)}).to_string();
    let call = ToolCall { id: String::new(), name: "calculator".to_owned(), arguments };
    let error = Toolbox::new([tool.shared()]).unwrap().check(&call).unwrap_err();
    assert!(error.message.contains("at most 1000 characters"), "{error}");
}

#[test]
fn storage_metrics_are_the_same_for_the_same_cluster_and_reach_every_band() {
    let tool = storage_metrics::tool();
    assert_eq!(tool.side_effect(), SideEffect::Read);
    let told = call_tool(&tool, &json!({"cluster": "eu-west-1"})).unwrap().content;
    assert_eq!(call_tool(&tool, &json!({"cluster": "eu-west-1"})).unwrap().content, told);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["cluster"], "eu-west-1");
    assert_eq!(StorageMetrics::of(" EU-West-1 ").used_percent, StorageMetrics::of("eu-west-1").used_percent);

    let mut bands: HashMap<Band, u32> = HashMap::new();
    for n in 0..1_000 {
        let metrics = StorageMetrics::of(&format!("cluster-{n}"));
        let status = match metrics.used_percent {
            40..=74 => Band::Ok,
            75..=89 => Band::Warning,
            90..=99 => Band::Critical,
            other => panic!("{other} %"),
        };
        assert_eq!(metrics.status, status);
        assert!((10..=500).contains(&metrics.capacity_tb) && (1..=40).contains(&metrics.p99_ms));
        *bands.entry(status).or_default() += 1;
    }
    for band in [Band::Ok, Band::Warning, Band::Critical] {
        assert!(bands[&band] > 100, "{bands:?}");
    }
}
