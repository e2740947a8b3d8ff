//! Explores all graphs up to so many nodes, and all orders of completion: `exhaust --nodes 4`.
//!
//! Exit code 0 if every order ended as the reference did and no graph was wrongly accepted, 1 otherwise, 2 on a wrong command
//! line. Graphs with loops may have very many orders, of which `--loop-orders` are tried, 24 unless said otherwise.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

mod graphs;

use graphs::{Found, NODES_MAX, explore_all, shapes};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (message, code) = match read(&arguments) {
        Some((nodes, orders)) => explored(nodes, orders),
        None => (format!("usage: exhaust --nodes N   [--loop-orders N]   (up to {NODES_MAX} nodes)"), 2),
    };
    match writeln!(std::io::stdout(), "{message}") {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn read(arguments: &[String]) -> Option<(usize, usize)> {
    let (mut nodes, mut orders) = (None, 24);
    for pair in arguments.chunks(2) {
        let [option, value] = pair else { return None };
        match option.as_str() {
            "--nodes" => nodes = value.parse().ok().filter(|nodes| (1..=NODES_MAX).contains(nodes)),
            "--loop-orders" => orders = value.parse().ok()?,
            _ => return None,
        }
    }
    Some((nodes?, orders))
}

fn explored(nodes: usize, loop_orders: usize) -> (String, u8) {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found =
        explore_all(|first| (1..=nodes).flat_map(shapes).skip(first).step_by(threads), threads, loop_orders);
    let Found { shapes, accepted, histories, parallel, sampled, orders_most, unsound } = found;
    let mut message = format!(
        "{shapes} shapes of up to {nodes} nodes, {accepted} accepted graphs, {parallel} of them with parallel activations; {histories} runs, each in another order, ended as the reference ({orders_most} orders at most without a loop; of {sampled} graphs with loops {loop_orders} orders were tried and not all) in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    if let Some(first) = unsound.first() {
        message.push_str(&format!("\n{} should have been refused, such as: {first}", unsound.len()));
    }
    (message, u8::from(!unsound.is_empty()))
}
