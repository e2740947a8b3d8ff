//! Pictures of a graph as text: Mermaid, DOT, and a plain listing for terminals. With an [`Overlay`] they show what
//! a run did. Never decides anything: what is drawn here is read from the [`Plan`] alone.

use std::fmt::Write as _;

use super::JoinMode;
use super::plan::{Plan, PlanEdge, Via};
use crate::ids::{EdgeIx, NodeIx};

/// In which language a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A listing for terminals.
    Terminal,
    /// Mermaid's `flowchart`. <https://mermaid.js.org/syntax/flowchart.html>
    Mermaid,
    /// Graphviz DOT. <https://graphviz.org/doc/info/lang.html>
    Dot,
}

/// What a run did, drawn over the graph.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// How often each node ran, by its number.
    pub visits: Vec<u32>,
    /// How often each edge was taken, by its number.
    pub taken: Vec<u32>,
    /// A remark for a node, such as a score.
    pub remarks: Vec<(NodeIx, String)>,
}

impl Overlay {
    fn visits(&self, node: usize) -> u32 {
        self.visits.get(node).copied().unwrap_or(0)
    }

    fn taken(&self, edge: EdgeIx) -> u32 {
        self.taken.get(edge.index()).copied().unwrap_or(0)
    }

    fn remark(&self, node: usize) -> Option<&str> {
        self.remarks.iter().find(|(at, _)| at.index() == node).map(|(_, remark)| remark.as_str())
    }
}

impl Plan {
    /// Draws the graph, with what a run did if an overlay is given.
    pub fn render(&self, format: Format, overlay: Option<&Overlay>) -> String {
        match format {
            Format::Terminal => self.terminal(overlay),
            Format::Mermaid => self.mermaid(overlay),
            Format::Dot => self.dot(overlay),
        }
    }

    fn mermaid(&self, overlay: Option<&Overlay>) -> String {
        let mut out = String::from("flowchart TD\n  START([START])\n");
        for (place, node) in self.nodes.iter().enumerate() {
            let _ = writeln!(
                out,
                "  n{place}[\"{}\"]",
                mermaid_text(&caption(&node.name, place, overlay, "<br/>"))
            );
        }
        out.push_str("  END([END])\n");
        for (place, edge) in self.edges.iter().enumerate() {
            let (from, to) = (mermaid_id(edge.source, "START"), mermaid_id(edge.target, "END"));
            let label = self.edge_label(edge, EdgeIx(place as u32), overlay);
            let arrow = match edge.each {
                true => "==>",
                false if edge.via == Via::Error || self.is_optional(edge) => "-.->",
                false => "-->",
            };
            if label.is_empty() {
                let _ = writeln!(out, "  {from} {arrow} {to}");
            } else {
                let _ = writeln!(out, "  {from} {arrow}|\"{}\"| {to}", mermaid_text(&label));
            }
        }
        if let Some(overlay) = overlay {
            out.push_str("  classDef ran fill:#d5f5e3,stroke:#1e8449,color:#000\n");
            for place in (0..self.nodes.len()).filter(|place| overlay.visits(*place) > 0) {
                let _ = writeln!(out, "  class n{place} ran");
            }
            let taken: Vec<String> = (0..self.edges.len())
                .filter(|place| overlay.taken(EdgeIx(*place as u32)) > 0)
                .map(|place| place.to_string())
                .collect();
            if !taken.is_empty() {
                let _ = writeln!(out, "  linkStyle {} stroke:#1e8449,stroke-width:3px", taken.join(","));
            }
        }
        out
    }

    fn dot(&self, overlay: Option<&Overlay>) -> String {
        let mut out = format!("digraph {} {{\n  rankdir=TB;\n", dot_text(&self.name));
        out.push_str("  START [shape=oval];\n  END [shape=oval];\n  node [shape=box, style=rounded];\n");
        for (place, node) in self.nodes.iter().enumerate() {
            let ran = if overlay.is_some_and(|overlay| overlay.visits(place) > 0) {
                ", color=darkgreen"
            } else {
                ""
            };
            let caption = dot_text(&caption(&node.name, place, overlay, "\n"));
            let _ = writeln!(out, "  n{place} [label={caption}{ran}];");
        }
        for (place, edge) in self.edges.iter().enumerate() {
            let (from, to) = (mermaid_id(edge.source, "START"), mermaid_id(edge.target, "END"));
            let mut attributes = Vec::new();
            let label = self.edge_label(edge, EdgeIx(place as u32), overlay);
            if !label.is_empty() {
                attributes.push(format!("label={}", dot_text(&label)));
            }
            if edge.each {
                attributes.push("style=bold".to_owned());
            }
            if edge.via == Via::Error || self.is_optional(edge) {
                attributes.push("style=dashed".to_owned());
            }
            if overlay.is_some_and(|overlay| overlay.taken(EdgeIx(place as u32)) > 0) {
                attributes.push("color=darkgreen".to_owned());
            }
            let _ = match attributes.as_slice() {
                [] => writeln!(out, "  {from} -> {to};"),
                some => writeln!(out, "  {from} -> {to} [{}];", some.join(", ")),
            };
        }
        out.push_str("}\n");
        out
    }

    fn terminal(&self, overlay: Option<&Overlay>) -> String {
        let captions: Vec<String> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(place, node)| caption(&node.name, place, overlay, "  "))
            .collect();
        let width = captions.iter().map(|caption| caption.chars().count()).max().unwrap_or(0).max(5);
        let mut out = format!("{}  (fingerprint {})\n\n", self.name, self.fingerprint);
        self.terminal_rows(&mut out, "START", width, &self.start, overlay, false);
        for (place, node) in self.nodes.iter().enumerate() {
            let branched = node.branches.iter().flat_map(|branch| &branch.variants);
            let chosen = node.route.iter().chain(branched).flat_map(|variant| variant.edges.iter().copied());
            let handled = node.on_error.iter().copied();
            let edges: Vec<EdgeIx> = node.direct.iter().copied().chain(chosen).chain(handled).collect();
            let ran = overlay.is_some_and(|overlay| overlay.visits(place) > 0);
            self.terminal_rows(&mut out, &captions[place], width, &edges, overlay, ran);
        }
        out
    }

    fn terminal_rows(
        &self,
        out: &mut String,
        caption: &str,
        width: usize,
        edges: &[EdgeIx],
        overlay: Option<&Overlay>,
        ran: bool,
    ) {
        let mark = if ran { "●" } else { "○" };
        for (row, ix) in edges.iter().enumerate() {
            let edge = &self.edges[ix.index()];
            let label = self.edge_label(edge, *ix, overlay);
            let label = if label.is_empty() { String::new() } else { format!(" {label} ") };
            let arrow = match (edge.via, edge.each) {
                (Via::Error, _) => "╌╌▶",
                (_, true) => "══▶",
                (_, false) => "──▶",
            };
            let bend = match (row, edges.len()) {
                (0, 1) => "──",
                (0, _) => "┬─",
                (row, count) if row + 1 == count => "└─",
                _ => "├─",
            };
            let (mark, caption) = if row == 0 { (mark, caption) } else { (" ", "") };
            let pad = " ".repeat(width.saturating_sub(caption.chars().count()));
            let to = self.name_of(edge.target, "END");
            let join = self.gathering(edge);
            let _ = writeln!(out, "  {mark} {caption}{pad} {bend}{label}{arrow} {to}{join}");
        }
    }
}

impl Plan {
    /// Whether a join goes on without this edge's source if it has to.
    fn is_optional(&self, edge: &PlanEdge) -> bool {
        let Some(join) = edge.join.and_then(|join| self.joins.get(join as usize)) else { return false };
        let place = join.sources.iter().position(|source| Some(*source) == edge.source);
        place.is_some_and(|place| join.optional[place])
    }

    fn edge_label(&self, edge: &PlanEdge, ix: EdgeIx, overlay: Option<&Overlay>) -> String {
        let mut parts = Vec::new();
        if let Via::Goto { .. } = edge.via {
            parts.push("goto".to_owned());
        }
        if !edge.label.is_empty() {
            parts.push(edge.label.to_owned());
        }
        if edge.each {
            parts.push("each".to_owned());
        }
        if let Some(most) = edge.at_most.or_else(|| self.retries(edge)) {
            parts.push(format!("≤{most}"));
        }
        match overlay.map_or(0, |overlay| overlay.taken(ix)) {
            0 | 1 => {}
            times => parts.push(format!("×{times}")),
        }
        parts.join(" ")
    }

    /// How often a gate may take an edge to a node to blame.
    fn retries(&self, edge: &PlanEdge) -> Option<u32> {
        let Via::Branch { branch, .. } = edge.via else { return None };
        let gate = self.nodes.get(edge.source?.index())?.branches.get(usize::from(branch))?.gate()?;
        edge.retries.then(|| gate.attempts.saturating_sub(1))
    }

    /// How the target of an edge gathers, in words.
    fn gathering(&self, edge: &PlanEdge) -> String {
        let Some(join) = edge.join.and_then(|join| self.joins.get(join as usize)) else {
            return String::new();
        };
        let how = match join.mode {
            JoinMode::All => "join".to_owned(),
            JoinMode::Quorum(needed) => format!("join, {needed} of {}", join.sources.len()),
            JoinMode::Quiet => "deferred".to_owned(),
        };
        format!("  ({how}{})", if self.is_optional(edge) { ", optional" } else { "" })
    }
}

fn caption(name: &str, place: usize, overlay: Option<&Overlay>, separator: &str) -> String {
    let Some(overlay) = overlay else { return name.to_owned() };
    let mut caption = name.to_owned();
    if overlay.visits(place) > 1 {
        let _ = write!(caption, " ×{}", overlay.visits(place));
    }
    if let Some(remark) = overlay.remark(place) {
        let _ = write!(caption, "{separator}{remark}");
    }
    caption
}

fn mermaid_id(node: Option<NodeIx>, otherwise: &str) -> String {
    node.map_or_else(|| otherwise.to_owned(), |node| format!("n{}", node.0))
}

/// Mermaid has no escapes, only entity codes; `#` itself must be one too.
fn mermaid_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("<br/>") {
            out.push_str("<br/>");
            rest = after;
            continue;
        }
        match c {
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '\n' => out.push(' '),
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn dot_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
