//! Finds the large values in the body of an entry, from the MessagePack alone: without knowing what the entry says.

use std::ops::Range;

use super::frame::{FORMAT, HEADER_BYTES};

/// How many entries may be wrapped in one another before the inner ones are taken as they are.
const DEPTH_MAX: usize = 8;

/// Calls `visit` with the place of each value of more than `above` bytes: ascending, and none within another.
///
/// A value is a string, a byte string, or, where a byte string is one whole map, a value of that map. A byte string that is
/// itself an entry is looked through like the outer one.
pub(crate) fn large_values(body: &[u8], above: usize, visit: &mut dyn FnMut(Range<usize>)) {
    if body.len() > above {
        walk(body, 0, above, 0, visit);
    }
}

/// Goes through all tokens of one value, however deep. `base` is where it stands in the body.
fn walk(bytes: &[u8], base: usize, above: usize, depth: usize, visit: &mut dyn FnMut(Range<usize>)) {
    let (mut at, mut left) = (0, 1_u64);
    while left > 0 {
        let Some(token) = Token::read(bytes, at) else { return };
        left = (left - 1).saturating_add(token.items);
        if token.content.len() > above {
            let content = &bytes[token.content.clone()];
            within(content, base + token.content.start, above, depth, visit);
        }
        at = token.end;
    }
}

/// The values in a string or byte string, or else the whole of it.
fn within(content: &[u8], base: usize, above: usize, depth: usize, visit: &mut dyn FnMut(Range<usize>)) {
    if depth < DEPTH_MAX
        && content[0] == FORMAT
        && let Some(body) = content.get(HEADER_BYTES..)
        && is_map(body)
        && skip(body, 0) == Some(body.len())
    {
        return walk(body, base + HEADER_BYTES, above, depth + 1, visit);
    }
    match large_fields(content, above) {
        Some(fields) if !fields.is_empty() => {
            fields.into_iter().for_each(|field| visit(base + field.start..base + field.end));
        }
        _ => visit(base..base + content.len()),
    }
}

/// The large values of a map that is the whole of these bytes; `None` if they are anything else.
fn large_fields(bytes: &[u8], above: usize) -> Option<Vec<Range<usize>>> {
    if !is_map(bytes) {
        return None;
    }
    let map = Token::read(bytes, 0)?;
    let mut at = map.end;
    let mut fields = Vec::new();
    for _ in 0..map.items / 2 {
        let value = skip(bytes, at)?;
        at = skip(bytes, value)?;
        if at - value > above {
            fields.push(value..at);
        }
    }
    (at == bytes.len()).then_some(fields)
}

fn is_map(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|marker| matches!(marker, 0x80..=0x8f | 0xde | 0xdf))
}

/// Where the value that begins here ends.
fn skip(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut left) = (from, 1_u64);
    while left > 0 {
        let token = Token::read(bytes, at)?;
        left = (left - 1).saturating_add(token.items);
        at = token.end;
    }
    Some(at)
}

/// A marker with what belongs to it.
struct Token {
    /// Where the next one begins.
    end: usize,
    /// The bytes of a string or byte string.
    content: Range<usize>,
    /// How many values follow that are part of this one.
    items: u64,
}

impl Token {
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let marker = *bytes.get(at)?;
        let number = |width: usize| -> Option<u64> {
            let digits = bytes.get(at + 1..at + 1 + width)?;
            Some(digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)))
        };
        let sized = |width: usize, extra: u64| -> Option<Self> {
            let length = usize::try_from(number(width)?.checked_add(extra)?).ok()?;
            Self::of_content(bytes, at + 1 + width, length)
        };
        let plain = |width: usize| -> Option<Self> {
            Some(Self { content: 0..0, ..Self::of_content(bytes, at + 1, width)? })
        };
        let items = |width: usize, each: u64| -> Option<Self> {
            Some(Self { end: at + 1 + width, content: 0..0, items: number(width)? * each })
        };
        match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => plain(0),
            0x80..=0x8f => Some(Self { end: at + 1, content: 0..0, items: u64::from(marker & 0x0f) * 2 }),
            0x90..=0x9f => Some(Self { end: at + 1, content: 0..0, items: u64::from(marker & 0x0f) }),
            0xa0..=0xbf => Self::of_content(bytes, at + 1, usize::from(marker & 0x1f)),
            0xc1 => None,
            0xc4 | 0xd9 => sized(1, 0),
            0xc5 | 0xda => sized(2, 0),
            0xc6 | 0xdb => sized(4, 0),
            // An extension has a byte for its type before its bytes.
            0xc7 => sized(1, 1),
            0xc8 => sized(2, 1),
            0xc9 => sized(4, 1),
            0xcc | 0xd0 => plain(1),
            0xcd | 0xd1 => plain(2),
            0xca | 0xce | 0xd2 => plain(4),
            0xcb | 0xcf | 0xd3 => plain(8),
            0xd4..=0xd8 => plain(1 + (1 << (marker - 0xd4))),
            0xdc => items(2, 1),
            0xdd => items(4, 1),
            0xde => items(2, 2),
            0xdf => items(4, 2),
        }
    }

    fn of_content(bytes: &[u8], from: usize, length: usize) -> Option<Self> {
        let end = from.checked_add(length).filter(|end| *end <= bytes.len())?;
        Some(Self { end, content: from..end, items: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_bytes::ByteBuf;

    use super::large_values;

    fn found(body: &[u8], above: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut last = 0;
        large_values(body, above, &mut |range| {
            assert!(range.start >= last && range.len() > above, "{range:?} after {last}");
            last = range.end;
            found.push(body[range].to_vec());
        });
        found
    }

    fn packed<T: serde::Serialize>(value: &T) -> Vec<u8> {
        rmp_serde::to_vec_named(value).unwrap()
    }

    #[test]
    fn a_large_field_of_an_update_is_found_whatever_stands_beside_it() {
        let text = "x".repeat(50);
        let update = |count: u32| {
            let fields = (text.clone(), count);
            let map = BTreeMap::from([("text", rmp_serde::to_vec(&fields.0).unwrap())]);
            // A map of a text and a number, by hand, since their types differ.
            let mut bytes = vec![0x82, 0xa4];
            bytes.extend(b"text");
            bytes.extend(&map["text"]);
            bytes.extend([0xa1, b'n', u8::try_from(fields.1).unwrap()]);
            ByteBuf::from(bytes)
        };
        let (one, two) = (found(&packed(&(1, update(1))), 20), found(&packed(&(7, "a", update(2))), 20));
        assert_eq!(one, two);
        assert_eq!(one, [rmp_serde::to_vec(&text).unwrap()]);
    }

    #[test]
    fn strings_and_byte_strings_are_found_at_any_depth_and_small_ones_are_not() {
        let body = packed(&vec![vec![vec!["y".repeat(30), "z".repeat(20)]], vec![vec!["w".repeat(300)]]]);
        assert_eq!(found(&body, 20), ["y".repeat(30).into_bytes(), "w".repeat(300).into_bytes()]);
        assert!(found(&body, 300).is_empty());
    }

    #[test]
    fn an_entry_within_an_entry_is_looked_through() {
        let inner = crate::journal::encode(&("k", ByteBuf::from(vec![0xc1; 40]))).unwrap();
        let outer = packed(&BTreeMap::from([("e", ByteBuf::from(inner.clone()))]));
        // A list is not what an entry is made of, so this one is taken as it is.
        assert_eq!(found(&outer, 20), [inner]);
        let inner = crate::journal::encode(&BTreeMap::from([("k", ByteBuf::from(vec![0xc1; 40]))])).unwrap();
        let outer = packed(&BTreeMap::from([("e", ByteBuf::from(inner))]));
        assert_eq!(found(&outer, 20), [vec![0xc1; 40]]);
    }

    #[test]
    fn every_kind_of_value_is_passed_over_to_the_one_behind_it() {
        use serde_json::json;
        let before = json!([
            null, true, 1, -1, 200, -100, 60_000, -30_000, 4_000_000_000_u64, i64::MIN, u64::MAX, 1.5,
            {"a": [], "b": {}}, "", "s".repeat(15), vec![0; 20], vec![0; 70_000]
        ]);
        let body = packed(&(before, 1.5_f32, ByteBuf::from(vec![0; 40])));
        assert_eq!(found(&body, 30), [vec![0; 40]]);
        // Extensions of every size.
        let mut body = vec![0x98];
        for (marker, size) in [(0xd4, 1), (0xd5, 2), (0xd6, 4), (0xd7, 8), (0xd8, 16)] {
            body.extend(std::iter::once(marker).chain(std::iter::repeat_n(5, size + 1)));
        }
        body.extend([0xc7, 1, 5, 5, 0xc8, 0, 1, 5, 5]);
        body.extend([0xc4, 32]);
        body.extend([9; 32]);
        assert_eq!(found(&body, 30), [vec![9; 32]]);
    }

    #[test]
    fn bytes_that_are_no_value_end_the_search() {
        for length in 0..40 {
            let whole = packed(&vec![ByteBuf::from(vec![1; 30])]);
            let cut = &whole[..length.min(whole.len() - 1)];
            assert!(found(cut, 5).is_empty());
        }
        assert!(found(&[0xdf, 0xff, 0xff, 0xff, 0xff, 0xc1, 0, 0], 1).is_empty());
    }
}
