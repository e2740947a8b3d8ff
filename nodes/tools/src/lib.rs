//! Tools that a node can call. Today: the exact [`calculator`].
//!
//! Not here: the loop that lets a model call tools, and any knowledge of graphs or models.

pub mod calculator;
