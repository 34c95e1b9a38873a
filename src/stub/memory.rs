//! Memory: `m` and `x`, which gdbstub would answer too, but with pieces glued together where a read ends early.

use super::front::{PACKET_SIZE, Reply, Session};
use super::{encode, errno};

/// `mADDRESS,LENGTH`: hexadecimal digits.
pub(super) fn m(session: &mut Session, arguments: &[u8]) -> Reply {
    match read(session, arguments, PACKET_SIZE / 2 - 16) {
        Ok(bytes) => Reply::Packet(encode::hex(&bytes)),
        Err(reply) => reply,
    }
}

/// `xADDRESS,LENGTH`: binary data with a `b` before it, as we announce (`binary-upload+`). lldb before 20 does not look at
/// that: it asks for no bytes first, expects `OK`, and then wants the bytes alone.
pub(super) fn x(session: &mut Session, arguments: &[u8]) -> Reply {
    let bytes = match read(session, arguments, PACKET_SIZE - 16) {
        Ok(bytes) => bytes,
        Err(reply) => return reply,
    };
    if bytes.is_empty() && session.target.client.lldb {
        session.target.client.x_bare = true;
        return Reply::Ok;
    }
    let mut packet = if session.target.client.x_bare { Vec::new() } else { b"b".to_vec() };
    encode::escape(&mut packet, &bytes);
    Reply::Packet(packet)
}

/// `MultiMemRead:ranges:ADDRESS,LENGTH,ADDRESS,LENGTH;`, of lldb since 22: how many bytes of each could be read, and the bytes.
pub(super) fn ranges(session: &mut Session, arguments: &[u8]) -> Reply {
    let Some(ranges) = parse_ranges(arguments) else { return Reply::malformed("ranges:ADDRESS,LENGTH,..;") };
    let mut left = PACKET_SIZE / 2;
    let mut bytes = Vec::new();
    let mut read = |(va, length): (u64, u64)| {
        let begin = bytes.len();
        bytes.resize(begin + usize::try_from(length).unwrap_or(left).min(left), 0);
        let got = session.target.read(va, bytes.get_mut(begin..).unwrap_or_default()).unwrap_or(0);
        bytes.truncate(begin + got);
        left -= got;
        format!("{got:x}")
    };
    let lengths: Vec<String> = ranges.into_iter().map(&mut read).collect();
    let mut packet = (lengths.join(",") + ";").into_bytes();
    encode::escape(&mut packet, &bytes);
    Reply::Packet(packet)
}

fn parse_ranges(arguments: &[u8]) -> Option<Vec<(u64, u64)>> {
    let list = arguments.strip_prefix(b"ranges:")?.strip_suffix(b";")?;
    let list = list.strip_suffix(b",").unwrap_or(list);
    let numbers: Option<Vec<u64>> = list.split(|byte| *byte == b',').map(encode::number).collect();
    let pair = |pair: &[u64]| match pair {
        [va, length] => Some((*va, *length)),
        _ => None,
    };
    numbers?.chunks(2).map(pair).collect()
}

/// Reads at most `limit` bytes; what is asked beyond that, or cannot be read, the client asks for again.
fn read(session: &Session, arguments: &[u8], limit: usize) -> Result<Vec<u8>, Reply> {
    let (va, length) = encode::pair(arguments).ok_or_else(|| Reply::malformed("ADDRESS,LENGTH"))?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(limit).min(limit)];
    if bytes.is_empty() {
        return Ok(bytes);
    }
    let got =
        session.target.read(va, &mut bytes).map_err(|error| Reply::Error(errno::FAULT, error.to_string()))?;
    bytes.truncate(got);
    Ok(bytes)
}
