//! Graphs that are data: a document declares fields, nodes and edges, and the code of the nodes is found by name. What
//! comes out of it is a [`Graph`](crate::Graph) like any other, over the state [`DynState`]: the same checks, runners,
//! journals and pictures. There is no second engine here, only a state whose fields are known at run time.

mod cell;
mod code;
mod document;
mod fold;
mod intern;
mod load;
mod places;
mod problem;
mod read;
mod schema;
mod state;
mod update;
mod value;

pub use code::{DynCommand, DynNode, NodeRegistry};
pub use document::{
    BranchDocument, CaseDocument, EdgeDocument, FieldDocument, FieldShape, GraphDocument, JoinDocument,
    MapDocument, NodeDocument, OneOrMany, RouteDocument, SourceDocument, StateDocument,
};
pub use problem::{DocumentProblem, DocumentProblems};
pub use state::DynState;
pub use update::DynUpdate;
