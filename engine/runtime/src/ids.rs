//! Names that nobody else has: 60 random bits, written so that they can be read out and typed.

/// A random number.
pub(crate) fn draw() -> u32 {
    // Without a source of randomness nothing is spread, and nothing else suffers.
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// A fresh identifier of twelve characters (Crockford's base 32, lower case).
pub fn random_id() -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = [0u8; 12];
    if getrandom::fill(&mut bytes).is_err() {
        // Without a source of randomness the clock is the best that is left.
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        bytes.copy_from_slice(&nanos.to_le_bytes()[..12]);
    }
    bytes.iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)])).collect()
}
