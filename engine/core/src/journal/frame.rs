//! The frame around every entry: format version, checksum, body. Finds out truncation and flipped bits before a
//! deserialiser sees them.

use serde::{Serialize, de::DeserializeOwned};

use super::values::Parts;
use crate::ids::Seq;

/// The version of the entry format that this build writes.
pub const FORMAT: u8 = 1;

/// The version of entries that leave out values which other entries hold; this build reads no later one.
pub const CUT_FORMAT: u8 = 2;

/// The largest entry that is written or read, in bytes.
pub const MAX_ENTRY_BYTES: usize = 8 * 1024 * 1024;

/// What records of graphs inside nodes may have beyond that for the records around them.
pub(super) const WRAPPING_BYTES: usize = 64 * 1024;

pub(super) const HEADER_BYTES: usize = 5;

/// Stands in the place of the format version where the body is sealed: whoever has no key can still see that it is
/// whole.
const SEALED: u8 = 0xff;

/// Why bytes are not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Shorter than a header.
    #[error("a journal entry has {bytes} bytes, fewer than its header; restore the database from a backup")]
    Truncated {
        /// How many bytes there are.
        bytes: usize,
    },
    /// Written by a later build.
    #[error(
        "a journal entry has format {found}, and this build reads up to {CUT_FORMAT}; use the build that wrote it"
    )]
    NewerFormat {
        /// The version found.
        found: u8,
    },
    /// The bytes are not those that were written.
    #[error("a journal entry does not match its checksum: it is corrupt; restore the database from a backup")]
    Checksum,
    /// The bytes are those that were written, and are sealed.
    #[error("a journal entry is sealed; open the store by `Sealed` with the key that it was sealed with")]
    Sealed,
    /// The bytes are those that were written, but do not hold an entry.
    #[error("a journal entry cannot be read: {reason}")]
    Malformed {
        /// The deserialiser's words.
        reason: String,
    },
    /// The entry is larger than any may be.
    #[error(
        "a journal entry of {bytes} bytes is larger than the limit of {MAX_ENTRY_BYTES}; store large values elsewhere and keep a reference in the state"
    )]
    Oversize {
        /// How many bytes there are.
        bytes: usize,
    },
    /// The entry leaves values out that were not put back before it was decoded.
    #[error("a journal entry leaves out values that the entries {sources:?} hold; read those with it")]
    Unfilled {
        /// The entries that hold them.
        sources: Vec<Seq>,
    },
    /// The entry leaves a value out that is not where it should be.
    #[error(
        "a journal entry leaves out a value that entry {holder} should hold, and does not; restore the database from a backup"
    )]
    Dangling {
        /// The entry that should hold it.
        holder: Seq,
    },
}

impl FrameError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            FrameError::Truncated { .. } | FrameError::Checksum | FrameError::Malformed { .. } => "SW-S410",
            FrameError::NewerFormat { .. } => "SW-S411",
            FrameError::Oversize { .. } => "SW-S412",
            FrameError::Unfilled { .. } => "SW-S441",
            FrameError::Dangling { .. } => "SW-S442",
            FrameError::Sealed => "SW-S460",
        }
    }
}

/// Frames a body.
///
/// # Errors
/// [`FrameError::Oversize`] above the limit, [`FrameError::Malformed`] if the body cannot be serialised.
pub fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>, FrameError> {
    encode_up_to(MAX_ENTRY_BYTES, body)
}

/// Frames a body that holds an entry.
pub(crate) fn encode_wrapping<T: Serialize>(body: &T) -> Result<Vec<u8>, FrameError> {
    encode_up_to(MAX_ENTRY_BYTES + WRAPPING_BYTES, body)
}

/// Frames a body of about this many bytes, so that a large one is not copied again and again while it grows.
pub(crate) fn encode_about<T: Serialize>(about: usize, body: &T) -> Result<Vec<u8>, FrameError> {
    encode_into(Vec::with_capacity(about.clamp(192, MAX_ENTRY_BYTES)), MAX_ENTRY_BYTES, body)
}

fn encode_up_to<T: Serialize>(most: usize, body: &T) -> Result<Vec<u8>, FrameError> {
    encode_into(Vec::with_capacity(192), most, body)
}

fn encode_into<T: Serialize>(mut bytes: Vec<u8>, most: usize, body: &T) -> Result<Vec<u8>, FrameError> {
    bytes.extend_from_slice(&[FORMAT, 0, 0, 0, 0]);
    rmp_serde::encode::write_named(&mut bytes, body)
        .map_err(|error| FrameError::Malformed { reason: error.to_string() })?;
    if bytes.len() > most {
        return Err(FrameError::Oversize { bytes: bytes.len() });
    }
    seal(&mut bytes);
    Ok(bytes)
}

/// Writes the checksum of what stands behind the header into it.
pub(super) fn seal(bytes: &mut [u8]) {
    let checksum = crc32fast::hash(&bytes[HEADER_BYTES..]);
    bytes[1..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// Frames what a sealer made of an entry.
pub fn frame_sealed(sealed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + sealed.len());
    bytes.extend_from_slice(&[SEALED, 0, 0, 0, 0]);
    bytes.extend_from_slice(sealed);
    seal(&mut bytes);
    bytes
}

/// What a sealer made of an entry, if the bytes are a whole frame around that.
pub fn unframe_sealed(bytes: &[u8]) -> Option<&[u8]> {
    let (header, sealed) = bytes.split_at_checked(HEADER_BYTES)?;
    (header[0] == SEALED && header[1..] == crc32fast::hash(sealed).to_le_bytes()).then_some(sealed)
}

/// Reads a framed body back.
///
/// # Errors
/// Every variant of [`FrameError`]: the bytes may be anything.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    let parts = Parts::of(bytes)?;
    if !parts.is_whole {
        let mut sources: Vec<Seq> = parts.cuts.iter().map(|cut| cut.seq).collect();
        sources.sort_unstable();
        sources.dedup();
        return Err(FrameError::Unfilled { sources });
    }
    rmp_serde::from_slice(parts.body).map_err(|error| FrameError::Malformed { reason: error.to_string() })
}

/// The format of an entry, and what stands behind its header.
pub(super) fn open(bytes: &[u8]) -> Result<(u8, &[u8]), FrameError> {
    if bytes.first() == Some(&SEALED) {
        return Err(unframe_sealed(bytes).map_or(FrameError::Checksum, |_| FrameError::Sealed));
    }
    // The list of cuts is never longer than the values that it stands for.
    let most = if bytes.first() == Some(&CUT_FORMAT) { 2 * MAX_ENTRY_BYTES } else { MAX_ENTRY_BYTES };
    let most = most + WRAPPING_BYTES;
    if bytes.len() > most {
        return Err(FrameError::Oversize { bytes: bytes.len() });
    }
    let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(FrameError::Truncated { bytes: bytes.len() });
    };
    if header[0] > CUT_FORMAT {
        return Err(FrameError::NewerFormat { found: header[0] });
    }
    let stored = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    if crc32fast::hash(body) != stored || header[0] == 0 {
        return Err(FrameError::Checksum);
    }
    Ok((header[0], body))
}
