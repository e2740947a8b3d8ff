//! A sample tool: made-up metrics of storage clusters, always the same for the same name. For trying out agents and for
//! tests; it measures nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statewright_nodes_ports::SideEffect;

use crate::function::{Function, Json, ToolCx, function};

/// Percent of the capacity from which a cluster is in the band `warning`.
pub const WARNING_PERCENT: u32 = 75;
/// Percent of the capacity from which a cluster is in the band `critical`.
pub const CRITICAL_PERCENT: u32 = 90;

/// How a cluster fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// Below [`WARNING_PERCENT`].
    Ok,
    /// From [`WARNING_PERCENT`] on.
    Warning,
    /// From [`CRITICAL_PERCENT`] on.
    Critical,
}

/// What is told of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageMetrics {
    /// Its name, as it was asked for.
    pub cluster: String,
    /// What it holds, in terabytes.
    pub capacity_tb: u32,
    /// How much of that is used, in percent: 40 to 99.
    pub used_percent: u32,
    /// Operations in a second.
    pub iops: u32,
    /// The time that 99 of 100 operations take at most, in milliseconds.
    pub p99_ms: u32,
    /// What the use comes to.
    pub status: Band,
}

impl StorageMetrics {
    /// The metrics of the cluster of this name. White space around it and the case of its letters do not count.
    ///
    /// ```
    /// use statewright_nodes_tools::storage_metrics::StorageMetrics;
    /// let metrics = StorageMetrics::of("eu-west-1");
    /// assert_eq!(metrics, StorageMetrics::of("eu-west-1"));
    /// assert!((40..100).contains(&metrics.used_percent));
    /// ```
    #[must_use]
    pub fn of(cluster: &str) -> Self {
        let mut chance = seed(&cluster.trim().to_lowercase());
        let mut draw = |least: u32, most: u32| {
            chance = mix(chance);
            // The remainder is far below the range of `u32`.
            least + u32::try_from(chance % u64::from(most - least + 1)).unwrap_or(0)
        };
        let (capacity_tb, used_percent) = (draw(10, 500), draw(40, 99));
        let status = match used_percent {
            CRITICAL_PERCENT.. => Band::Critical,
            WARNING_PERCENT.. => Band::Warning,
            _ => Band::Ok,
        };
        let (iops, p99_ms) = (draw(1_000, 50_000), draw(1, 40));
        Self { cluster: cluster.to_owned(), capacity_tb, used_percent, iops, p99_ms, status }
    }
}

/// What the tool is asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The name of the cluster, such as `eu-west-1`.
    #[schemars(length(min = 1, max = 100))]
    cluster: String,
}

/// `storage_metrics`: a [`StorageMetrics`] as JSON.
#[must_use]
pub fn tool() -> Function {
    let description = "Metrics of a storage cluster: capacity, use, operations, latency, and whether that is ok, \
        a warning or critical.";
    function("storage_metrics", description, SideEffect::Read, |arguments: Arguments, _: ToolCx| async move {
        Json(StorageMetrics::of(&arguments.cluster))
    })
}

/// FNV-1a, which is the same on every machine and in every version. Source: Fowler, Noll and Vo.
fn seed(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One step of SplitMix64: near names lie far apart.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
