//! The protocol's ways to write bytes.

/// Two hexadecimal digits a byte.
pub(super) fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of hexadecimal digits; none if that is not what they are.
pub(super) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

/// A number in hexadecimal digits, of at most 64 bits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u64::from_str_radix(text, 16).ok()
}

/// Two numbers and the comma between them: address and length.
pub(super) fn pair(arguments: &[u8]) -> Option<(u64, u64)> {
    let comma = memchr::memchr(b',', arguments)?;
    let (first, second) = arguments.split_at_checked(comma)?;
    Some((number(first)?, number(second.get(1..)?)?))
}

/// Appends binary data, with the protocol's own characters escaped.
pub(super) fn escape(out: &mut Vec<u8>, data: &[u8]) {
    for byte in data {
        match byte {
            b'#' | b'$' | b'}' | b'*' => out.extend([b'}', byte ^ 0x20]),
            _ => out.push(*byte),
        }
    }
}

/// Binary data, with what was escaped as it was; none where it ends within an escape.
pub(super) fn unescape(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.iter();
    let mut out = Vec::with_capacity(data.len());
    while let Some(byte) = bytes.next() {
        out.push(if *byte == b'}' { bytes.next()? ^ 0x20 } else { *byte });
    }
    Some(out)
}

/// A packet: `$`, the payload, `#`, and the checksum.
pub(super) fn frame(out: &mut Vec<u8>, payload: &[u8]) {
    let sum = payload.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    out.reserve(payload.len() + 4);
    out.push(b'$');
    out.extend_from_slice(payload);
    out.push(b'#');
    out.extend(hex(&[sum]));
}

/// Text that is safe within an XML attribute or element.
pub(super) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no way to write a control character.
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hexadecimal_and_at_most_64_bits() {
        assert_eq!(pair(b"ffffffff81000ff8,10"), Some((0xffff_ffff_8100_0ff8, 16)));
        for bad in ["", ",", "1", "1,", ",1", "zz,4", "+1,4", "1,2,3", "10000000000000000,4", "-1,4"] {
            assert_eq!(pair(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_protocols_own_characters_are_escaped() {
        let mut out = Vec::new();
        escape(&mut out, b"a#b$c}d*");
        assert_eq!(out, b"a}\x03b}\x04c}]d}\x0a");
        assert_eq!(unescape(&out).as_deref(), Some(b"a#b$c}d*".as_slice()));
        assert_eq!(unescape(b"a}"), None);
        let mut packet = Vec::new();
        frame(&mut packet, b"OK");
        assert_eq!(packet, b"$OK#9a");
    }

    #[test]
    fn hex_goes_both_ways() {
        assert_eq!(hex(b"\x00\xffA"), b"00ff41");
        assert_eq!(unhex(b"00ff41").as_deref(), Some(b"\x00\xffA".as_slice()));
        assert_eq!(unhex(b"0"), None);
        assert_eq!(unhex(b"0g"), None);
    }
}
