//! Large values are stored once in a thread: what the thread holds and where, and the entries that leave it out.

use std::collections::{BTreeMap, VecDeque};

use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};

use super::recover::RecoverError;
use super::types::Entry;
use crate::ids::Seq;
use crate::journal::{self, Cut, FrameError, Parts};

/// A value of this size or less is never left out: naming its place takes up to 40 bytes.
const VALUE_BYTES_MIN: usize = 64;
/// Values in one block of a snapshot: so many that a full block is itself just large enough to be stored once.
const BLOCK: usize = 86;
/// The thread remembers so many blocks of values. One that is older is stored again.
const BLOCKS_MAX: usize = 48;
/// A hash, a position, a place and a length.
const KNOWN_BYTES: usize = 32 + 8 + 4 + 4;

type Hash = [u8; 32];

/// Where a value stands in the body of an entry as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    seq: Seq,
    from: u32,
    length: u32,
}

/// The large values that a thread holds, by their hash.
#[derive(Debug)]
pub(super) struct Values {
    above: usize,
    known: BTreeMap<Hash, Place>,
    /// The same, oldest first. It begins at the beginning of a block.
    order: VecDeque<Hash>,
}

impl Default for Values {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Values {
    pub(super) fn new(above: usize) -> Self {
        Self { above: above.max(VALUE_BYTES_MIN), known: BTreeMap::new(), order: VecDeque::new() }
    }

    /// The entry as it is stored: without what the thread holds already. What it holds first is known from now on.
    pub(super) fn store_once(&mut self, seq: Seq, bytes: Vec<u8>) -> Vec<u8> {
        if bytes.len() <= self.above {
            return bytes;
        }
        let Ok(parts) = Parts::of(&bytes) else { return bytes };
        let (mut cuts, mut left_out) = (Vec::new(), 0);
        let above = self.above;
        journal::large_values(parts.body, above, &mut |range| {
            let hash: Hash = Sha256::digest(&parts.body[range.clone()]).into();
            // Entries have at most 8 MiB.
            let (at, length) = (range.start as u32, range.len() as u32);
            match self.known.get(&hash) {
                Some(place) => {
                    cuts.push(Cut { at, length, seq: place.seq, from: place.from });
                    left_out += length;
                }
                None => self.note(hash, Place { seq, from: at - left_out, length }),
            }
        });
        if cuts.is_empty() {
            return bytes;
        }
        // An entry whose cuts could not be written down is stored whole, where the places above would be wrong.
        journal::cut(&bytes, cuts).unwrap_or_else(|_| {
            self.forget(seq);
            bytes
        })
    }

    /// Takes note of what an entry of the thread holds. Its cuts are filled; where they are stands in it.
    pub(super) fn learn(&mut self, entry: &Entry) {
        if entry.bytes.len() <= self.above {
            return;
        }
        let Ok(parts) = Parts::of(&entry.bytes) else { return };
        let mut cuts = parts.cuts.iter().peekable();
        let mut left_out = 0;
        journal::large_values(parts.body, self.above, &mut |range| {
            while let Some(cut) = cuts.next_if(|cut| cut.end() <= range.start) {
                left_out += cut.length;
            }
            if cuts.peek().is_some_and(|cut| (cut.at as usize) < range.end) {
                return;
            }
            let hash: Hash = Sha256::digest(&parts.body[range.clone()]).into();
            if !self.known.contains_key(&hash) {
                let (at, length) = (range.start as u32, range.len() as u32);
                self.note(hash, Place { seq: entry.seq, from: at - left_out, length });
            }
        });
    }

    fn note(&mut self, hash: Hash, place: Place) {
        self.known.insert(hash, place);
        self.order.push_back(hash);
        if self.order.len() > BLOCKS_MAX * BLOCK {
            for gone in self.order.drain(..BLOCK) {
                self.known.remove(&gone);
            }
        }
    }

    fn forget(&mut self, seq: Seq) {
        let known = &mut self.known;
        self.order.retain(|hash| {
            let goes = known.get(hash).is_some_and(|place| place.seq == seq);
            if goes {
                known.remove(hash);
            }
            !goes
        });
    }

    /// What a snapshot says about it.
    pub(super) fn image(&self) -> Vec<ByteBuf> {
        let mut blocks: Vec<ByteBuf> = Vec::with_capacity(self.order.len().div_ceil(BLOCK));
        for (number, hash) in self.order.iter().enumerate() {
            if number % BLOCK == 0 {
                blocks.push(ByteBuf::with_capacity(BLOCK * KNOWN_BYTES));
            }
            if let (Some(block), Some(place)) = (blocks.last_mut(), self.known.get(hash)) {
                block.extend_from_slice(hash);
                block.extend_from_slice(&place.seq.to_le_bytes());
                block.extend_from_slice(&place.from.to_le_bytes());
                block.extend_from_slice(&place.length.to_le_bytes());
            }
        }
        blocks
    }

    /// Takes over what the snapshot at this position says.
    pub(super) fn load(&mut self, at: Seq, blocks: &[ByteBuf]) -> Result<(), RecoverError> {
        for known in blocks.iter().flat_map(|block| block.chunks(KNOWN_BYTES)) {
            let Some((hash, place)) = read(known).filter(|(_, place)| place.seq < at) else {
                let what = "what it says about the values of the thread cannot be read".to_owned();
                return Err(RecoverError::Inconsistent { seq: at, what });
            };
            self.note(hash, place);
        }
        Ok(())
    }
}

fn read(known: &[u8]) -> Option<(Hash, Place)> {
    let (hash, rest) = known.split_first_chunk()?;
    let (seq, rest) = rest.split_first_chunk()?;
    let (from, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(rest.try_into().ok()?);
    let place = Place { seq: Seq::from_le_bytes(*seq), from: u32::from_le_bytes(*from), length };
    Some((*hash, place))
}

/// The positions of entries that hold values which these leave out and that are not among them, as closed ranges in
/// ascending order. Read those; [`fill_values`] puts back what they hold.
///
/// # Errors
/// [`RecoverError::Entry`] if one of them cannot be read.
pub fn missing_values(entries: &[Entry]) -> Result<Vec<(Seq, Seq)>, RecoverError> {
    let mut wanted = Vec::new();
    for entry in entries {
        let sources = journal::sources(entry.seq, &entry.bytes);
        wanted.extend(sources.map_err(|error| RecoverError::Entry { seq: entry.seq, error })?);
    }
    wanted.sort_unstable();
    wanted.dedup();
    wanted.retain(|seq| entries.binary_search_by_key(seq, |entry| entry.seq).is_err());
    Ok(wanted.into_iter().map(|seq| (seq, seq)).collect())
}

/// Puts back what entries leave out, from one another and from `others`; both in ascending order.
///
/// # Errors
/// [`RecoverError::Entry`] if one of them cannot be read, or if a value is not where it should be.
pub fn fill_values(entries: &mut [Entry], others: &[Entry]) -> Result<(), RecoverError> {
    fn at(entries: &[Entry], seq: Seq) -> Option<&[u8]> {
        let place = entries.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        Some(&entries[place].bytes)
    }
    for place in 0..entries.len() {
        let entry = &entries[place];
        let source = |seq| at(entries, seq).or_else(|| at(others, seq));
        let filled: Result<Option<Vec<u8>>, FrameError> = journal::fill(entry.seq, &entry.bytes, source);
        match filled {
            Ok(Some(bytes)) => entries[place].bytes = bytes,
            Ok(None) => {}
            Err(error) => return Err(RecoverError::Entry { seq: entry.seq, error }),
        }
    }
    Ok(())
}
