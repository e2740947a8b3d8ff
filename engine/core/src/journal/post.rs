//! Items of the outbox as they are stored.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::Seq;

/// Something that an activation wants delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPost {
    /// Its id within the thread.
    #[serde(rename = "i")]
    pub id: String,
    /// Which handler delivers it.
    #[serde(rename = "k")]
    pub kind: String,
    /// What is delivered, MessagePack.
    #[serde(rename = "u")]
    pub payload: ByteBuf,
}

/// An undelivered item in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostImage {
    /// The record that holds it, and its place there.
    #[serde(rename = "n")]
    At(Seq, u32),
    /// The item itself, since no entry holds it.
    #[serde(rename = "p")]
    Held(StoredPost),
}
