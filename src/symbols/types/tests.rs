use super::*;

fn value(size: u64, bits: Option<(u8, u8)>, signed: bool, bytes: &[u8], big_endian: bool) -> Option<u64> {
    let bits = bits.map(|(offset, width)| Bits { offset, width });
    let member = Member { offset: 0, size, bits, signed, elements: None, element_size: size };
    member.value(bytes, big_endian)
}

#[test]
fn types_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Types>();
}

#[test]
fn numbers_are_read_in_either_order() {
    assert_eq!(value(2, None, false, &[0xfe, 0xff], false), Some(0xfffe));
    assert_eq!(value(2, None, true, &[0xfe, 0xff], false), Some(u64::MAX - 1));
    assert_eq!(value(2, None, true, &[0xfe, 0xff], true), Some(u64::MAX - 0x100));
    assert_eq!(value(8, None, true, &[1, 2, 3, 4, 5, 6, 7, 8], true), Some(0x0102_0304_0506_0708));
    let nine = [0x80, 1, 2, 3, 4, 5, 6, 7, 0x7f];
    assert_eq!(value(9, Some((7, 64)), false, &nine, false), Some(0xfe0e_0c0a_0806_0403));
    assert_eq!(value(1, Some((1, 3)), true, &[0b1000], false), Some(u64::MAX - 3));
}

#[test]
fn what_is_no_number_has_no_value() {
    assert_eq!(value(4, None, false, &[0; 3], false), None);
    assert_eq!(value(0, None, false, &[], false), None);
    assert_eq!(value(9, None, false, &[0; 9], false), None);
    assert_eq!(value(1, Some((200, 1)), false, &[0], false), None);
    assert_eq!(value(1, Some((0, 0)), false, &[0], false), None);
    assert_eq!(value(1, Some((0, 65)), false, &[0], false), None);
}

#[test]
fn only_what_was_promised_is_inflated() {
    let zeros = [0x78, 0xda, 0x63, 0x60, 0, 0, 0, 2, 0, 1]; // two of them
    assert_eq!(inflate(&zeros, 2, 2), Some(vec![0, 0]));
    assert_eq!(
        [(1, 9), (3, 9), (2, 1), (u64::MAX, u64::MAX)].map(|(size, limit)| inflate(&zeros, size, limit)),
        [None, None, None, None]
    );
}
