//! Zeros, which dumps leave out and kernels put in the place of what they withhold.

/// Bytes that are compared at once.
const PIECE: usize = 4096;

/// Whether there is nothing but zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // By comparison, not by a loop over bytes: that is memcmp(3), which is as fast in a build that hardly optimises.
    static ZEROS: [u8; PIECE] = [0; PIECE];
    bytes.chunks(PIECE).all(|piece| ZEROS.get(..piece.len()) == Some(piece))
}

#[cfg(test)]
mod tests {
    use super::{PIECE, is_zero};

    #[test]
    fn one_other_byte_is_enough() {
        let mut bytes = [0; 3 * PIECE + 1];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for at in [0, PIECE - 1, PIECE, 3 * PIECE] {
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "{at}");
            bytes[at] = 0;
        }
    }
}
