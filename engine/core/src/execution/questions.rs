//! What a node asks, and what it is told.

use crate::journal::Ladder;

/// A question that a node asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// The name that the node gave it.
    pub name: String,
    /// The question, MessagePack.
    pub question: Vec<u8>,
    /// After how many milliseconds it is answered by this, MessagePack, when the thread is taken up.
    pub expiry: Option<(u64, Vec<u8>)>,
    /// To whom it is posed, and to whom next.
    pub ladder: Option<Box<Ladder>>,
}

/// An answer to a question of this activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The name that the node gave the question.
    pub name: String,
    /// The answer, MessagePack.
    pub value: Vec<u8>,
}
