//! Zeros, which dumps leave out and kernels put in the place of what they withhold.

/// Bytes that are compared at once.
const PIECE: usize = 64;

/// Whether there is nothing but zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Within a piece without a branch, which compilers make wide instructions of; the first piece with another byte is the last.
    bytes.chunks(PIECE).all(|piece| piece.iter().fold(0, |any, byte| any | byte) == 0)
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
