//! Values that are stored once: an entry may leave out what an earlier entry of the thread, or an earlier place of itself,
//! holds byte for byte, and name that place instead.
//!
//! This knows nothing of records. What was left out is put back as it was, so where the cuts are is a matter of size
//! and never of meaning.

use serde::{Deserialize, Serialize};

use super::frame::{self, CUT_FORMAT, FORMAT, FrameError, HEADER_BYTES, MAX_ENTRY_BYTES, WRAPPING_BYTES};
use crate::ids::Seq;

/// A value that an entry leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cut {
    /// Where it belongs in the whole body.
    #[serde(rename = "a")]
    pub(crate) at: u32,
    /// How many bytes it has.
    #[serde(rename = "l")]
    pub(crate) length: u32,
    /// The entry that holds it; it may be this one.
    #[serde(rename = "n")]
    pub(crate) seq: Seq,
    /// Where it stands in the body of that entry, as that is stored.
    #[serde(rename = "f")]
    pub(crate) from: u32,
}

impl Cut {
    pub(crate) fn end(&self) -> usize {
        self.at as usize + self.length as usize
    }
}

/// What stands before the body of an entry with cuts.
#[derive(Serialize, Deserialize)]
struct CutList {
    /// The length of the whole body.
    #[serde(rename = "w")]
    whole: u32,
    /// The cuts, ascending and without overlap.
    #[serde(rename = "r")]
    cuts: Vec<Cut>,
}

/// An entry's body and what it leaves out.
pub(crate) struct Parts<'a> {
    pub(crate) cuts: Vec<Cut>,
    pub(crate) body: &'a [u8],
    /// Whether the cuts are filled, or there are none.
    pub(crate) is_whole: bool,
}

impl<'a> Parts<'a> {
    /// Takes an entry apart and checks everything that can be checked without others.
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (format, rest) = frame::open(bytes)?;
        if format == FORMAT {
            return Ok(Self { cuts: Vec::new(), body: rest, is_whole: true });
        }
        let mut body = rest;
        let list: CutList = rmp_serde::from_read(&mut body)
            .map_err(|error| FrameError::Malformed { reason: error.to_string() })?;
        let malformed = || FrameError::Malformed { reason: "its cuts do not fit its body".to_owned() };
        let mut end = 0;
        for cut in &list.cuts {
            if (cut.at as usize) < end || cut.end() > list.whole as usize {
                return Err(malformed());
            }
            end = cut.end();
        }
        let whole = list.whole as usize;
        let left_out: usize = list.cuts.iter().map(|cut| cut.length as usize).sum();
        let is_whole = body.len() == whole;
        if (!is_whole && body.len() != whole - left_out) || whole > MAX_ENTRY_BYTES + WRAPPING_BYTES {
            return Err(malformed());
        }
        Ok(Self { cuts: list.cuts, body, is_whole })
    }

    /// The bytes of a value that stands here in the body as it is stored.
    fn value(&self, from: usize, length: usize) -> Option<&'a [u8]> {
        let mut start = from;
        if self.is_whole {
            for cut in &self.cuts {
                if cut.at as usize > start {
                    break;
                }
                start += cut.length as usize;
            }
        }
        self.body.get(start..start.checked_add(length)?)
    }
}

/// The other entries that hold values which this one leaves out; none once they are filled in.
///
/// # Errors
/// [`FrameError`] if the bytes are not an entry.
pub fn sources(seq: Seq, bytes: &[u8]) -> Result<Vec<Seq>, FrameError> {
    if bytes.first() != Some(&CUT_FORMAT) {
        return Ok(Vec::new());
    }
    let parts = Parts::of(bytes)?;
    if parts.is_whole {
        return Ok(Vec::new());
    }
    let mut sources: Vec<Seq> =
        parts.cuts.iter().map(|cut| cut.seq).filter(|source| *source != seq).collect();
    sources.sort_unstable();
    sources.dedup();
    Ok(sources)
}

/// Puts back what the entry at this position leaves out; nothing if it is whole. `source` gives the bytes of other entries.
///
/// # Errors
/// [`FrameError::Dangling`] if an entry that holds a value is not there or does not hold it, and other [`FrameError`]s if
/// bytes are not an entry.
pub fn fill<'a>(
    seq: Seq,
    bytes: &'a [u8],
    source: impl Fn(Seq) -> Option<&'a [u8]>,
) -> Result<Option<Vec<u8>>, FrameError> {
    if bytes.first() != Some(&CUT_FORMAT) {
        return Ok(None);
    }
    let parts = Parts::of(bytes)?;
    if parts.is_whole {
        return Ok(None);
    }
    let mut body = Vec::with_capacity(parts.body.len());
    let mut taken = 0;
    for cut in &parts.cuts {
        let kept = cut.at as usize - body.len();
        body.extend_from_slice(&parts.body[taken..taken + kept]);
        taken += kept;
        let dangling = FrameError::Dangling { holder: cut.seq };
        let place = (cut.from as usize, cut.length as usize);
        let value = if cut.seq == seq {
            parts.value(place.0, place.1)
        } else {
            Parts::of(source(cut.seq).ok_or(dangling.clone())?)?.value(place.0, place.1)
        };
        body.extend_from_slice(value.ok_or(dangling)?);
    }
    body.extend_from_slice(&parts.body[taken..]);
    let whole = body.len();
    join(parts.cuts, &body, whole).map(Some)
}

/// How many bytes of this entry are stored, whether its cuts are filled or not.
pub(crate) fn stored_bytes(bytes: &[u8]) -> usize {
    match Parts::of(bytes) {
        Ok(parts) if parts.is_whole => {
            bytes.len() - parts.cuts.iter().map(|cut| cut.length as usize).sum::<usize>()
        }
        _ => bytes.len(),
    }
}

/// Leaves these values out of an entry that has no cuts.
pub(crate) fn cut(bytes: &[u8], cuts: Vec<Cut>) -> Result<Vec<u8>, FrameError> {
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let left_out: usize = cuts.iter().map(|cut| cut.length as usize).sum();
    let mut kept = Vec::with_capacity(body.len() - left_out.min(body.len()));
    let mut at = 0;
    for cut in &cuts {
        kept.extend_from_slice(&body[at..cut.at as usize]);
        at = cut.end();
    }
    kept.extend_from_slice(&body[at..]);
    join(cuts, &kept, body.len())
}

fn join(cuts: Vec<Cut>, body: &[u8], whole: usize) -> Result<Vec<u8>, FrameError> {
    let too_large = || FrameError::Oversize { bytes: whole };
    let list = CutList { whole: u32::try_from(whole).map_err(|_| too_large())?, cuts };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + 16 + 24 * list.cuts.len() + body.len());
    bytes.extend_from_slice(&[CUT_FORMAT, 0, 0, 0, 0]);
    rmp_serde::encode::write_named(&mut bytes, &list)
        .map_err(|error| FrameError::Malformed { reason: error.to_string() })?;
    bytes.extend_from_slice(body);
    frame::seal(&mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{decode, encode};

    const TEXT: &str = "a value that is large enough";

    fn cut_at(seq: Seq, at: usize, from: usize) -> Cut {
        let number = |number: usize| u32::try_from(number).unwrap();
        Cut { at: number(at), length: number(TEXT.len()), seq, from: number(from) }
    }

    /// `(n, TEXT, TEXT)`: where the texts stand in the body.
    fn entry(number: u8) -> (Vec<u8>, [usize; 2]) {
        (encode(&(number, TEXT, TEXT)).unwrap(), [3, 3 + TEXT.len() + 1])
    }

    #[test]
    fn what_was_cut_out_is_put_back_from_another_entry_and_from_itself() {
        let (first, [one, two]) = entry(1);
        let first_cut = cut(&first, vec![cut_at(1, two, one)]).unwrap();
        let (second, _) = entry(2);
        let second_cut = cut(&second, vec![cut_at(1, one, one), cut_at(1, two, one)]).unwrap();
        assert!(sources(1, &first_cut).unwrap().is_empty());
        assert_eq!(sources(2, &second_cut).unwrap(), [1]);
        let filled = fill(1, &first_cut, |_| None).unwrap().unwrap();
        // Out of the stored entry and out of the filled one.
        for source in [&first_cut, &filled] {
            let whole = fill(2, &second_cut, |seq| (seq == 1).then_some(source.as_slice())).unwrap().unwrap();
            assert_eq!(decode::<(u8, String, String)>(&whole).unwrap(), (2, TEXT.into(), TEXT.into()));
            assert!(sources(2, &whole).unwrap().is_empty());
            assert_eq!(fill(2, &whole, |_| None).unwrap(), None);
            assert_eq!(
                (stored_bytes(&whole), stored_bytes(&second_cut)),
                (second_cut.len(), second_cut.len())
            );
        }
        assert_eq!(stored_bytes(&first), first.len());
    }

    #[test]
    fn a_value_behind_a_cut_is_found_in_the_stored_and_in_the_filled_entry() {
        let (first, [one, two]) = entry(1);
        let stored = cut(&first, vec![cut_at(9, one, 1)]).unwrap();
        let other = encode(&TEXT).unwrap();
        let filled = fill(1, &stored, |seq| (seq == 9).then_some(other.as_slice())).unwrap().unwrap();
        assert_eq!(decode::<(u8, String, String)>(&filled), decode(&first));
        // The second text stands further in front in the stored entry, since the first is left out.
        let second = cut(&entry(2).0, vec![cut_at(1, two, two - TEXT.len())]).unwrap();
        for source in [&stored, &filled] {
            let whole = fill(2, &second, |_| Some(source.as_slice())).unwrap().unwrap();
            assert_eq!(decode::<(u8, String, String)>(&whole).unwrap(), (2, TEXT.into(), TEXT.into()));
        }
    }

    #[test]
    fn an_entry_with_open_cuts_is_refused_and_so_is_a_cut_that_leads_nowhere() {
        let (bytes, [one, two]) = entry(1);
        let open = cut(&bytes, vec![cut_at(7, two, one)]).unwrap();
        let error = decode::<(u8, String, String)>(&open).unwrap_err();
        assert_eq!((error.code(), &error), ("SW-S441", &FrameError::Unfilled { sources: vec![7] }));
        let none = fill(2, &open, |_| None).unwrap_err();
        assert_eq!((none.code(), none), ("SW-S442", FrameError::Dangling { holder: 7 }));
        let short = encode(&1).unwrap();
        assert_eq!(fill(2, &open, |_| Some(&short)).unwrap_err(), FrameError::Dangling { holder: 7 });
    }

    #[test]
    fn cuts_that_do_not_fit_are_refused() {
        let (bytes, [one, two]) = entry(1);
        let body = &bytes[HEADER_BYTES..];
        let wrong = [
            (vec![cut_at(7, two, one), cut_at(7, one, one)], body.len()),
            (vec![cut_at(7, one, one), cut_at(7, one + 1, one)], body.len()),
            (vec![cut_at(7, body.len(), one)], body.len()),
            (vec![cut_at(7, one, one)], body.len() - 1),
            (vec![cut_at(7, one, one)], MAX_ENTRY_BYTES + WRAPPING_BYTES + 1),
        ];
        for (cuts, whole) in wrong {
            let bytes = join(cuts, body, whole).unwrap();
            let error = decode::<(u8, String, String)>(&bytes).unwrap_err();
            assert_eq!(error.code(), "SW-S410", "{error}");
            assert_eq!(fill(1, &bytes, |_| None).unwrap_err(), error);
        }
    }
}
