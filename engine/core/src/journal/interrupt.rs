//! Questions as they are stored.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::ladder::Ladder;

/// A question as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredInterrupt {
    /// Its id within the thread.
    #[serde(rename = "i")]
    pub id: String,
    /// The name that the node gave it.
    #[serde(rename = "n")]
    pub name: String,
    /// The question, MessagePack.
    #[serde(rename = "q")]
    pub question: ByteBuf,
    /// From when on, in milliseconds since 1970, it is answered by what follows.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The answer that counts after the deadline, MessagePack.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub default: Option<ByteBuf>,
    /// To whom it is posed, and to whom next.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub ladder: Option<Box<Ladder>>,
}
