//! LZO1X, as the kernel's documentation describes the stream (Documentation/staging/lzo.rst).
//!
//! No crate will do: the well-kept ones are under the GPL, and the other one panics on damaged input.

/// Bytes copied at once where there is room: runs are short, and a copy of unknown length is a call.
const BLOCK: usize = 16;

/// What the instruction before left to say of a code below 16.
#[derive(Clone, Copy, PartialEq)]
enum After {
    /// A match without literals behind it: such a code is a run of literals.
    Match,
    /// One to three literals: it is a match of two bytes nearby.
    FewLiterals,
    /// A run of literals: it is a match of three bytes farther away.
    Run,
}

/// A match: how far back it begins, its bytes, and how many literals follow it.
struct Match {
    distance: usize,
    length: usize,
    literals: usize,
}

/// What an instruction says.
enum Instruction {
    Literals(usize),
    Match(Match),
    End,
}

/// Unpacks into `page`; returns how many bytes came out. None if `packed` is not one whole stream, or more than `page`
/// holds would come out.
pub(super) fn unpack(packed: &[u8], page: &mut [u8]) -> Option<usize> {
    let mut input = Input(packed);
    let mut output = Output { page, len: 0 };
    let mut after = After::Match;
    if let Some(first @ 18..) = packed.first() {
        input.byte()?;
        let count = usize::from(first - 17);
        output.literals(&mut input, count)?;
        after = if count < 4 { After::FewLiterals } else { After::Run };
    }
    loop {
        match input.instruction(after)? {
            Instruction::Literals(count) => {
                output.literals(&mut input, count)?;
                after = After::Run;
            }
            Instruction::Match(Match { distance, length, literals }) => {
                output.again(distance, length)?;
                output.literals(&mut input, literals)?;
                after = if literals == 0 { After::Match } else { After::FewLiterals };
            }
            Instruction::End => return input.0.is_empty().then_some(output.len),
        }
    }
}

/// What is still packed.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    #[inline(always)]
    fn instruction(&mut self, after: After) -> Option<Instruction> {
        let code = usize::from(self.byte()?);
        let (distance, length, literals) = match code {
            64.. => ((code >> 2 & 7) + (usize::from(self.byte()?) << 3) + 1, (code >> 5) + 1, code),
            32.. => {
                let length = self.count(code & 31, 31)? + 2;
                let word = self.word()?;
                ((word >> 2) + 1, length, word)
            }
            16.. => {
                let length = self.count(code & 7, 7)? + 2;
                let word = self.word()?;
                match (code & 8) << 11 | word >> 2 {
                    0 => return (length == 3).then_some(Instruction::End),
                    distance => (distance + 0x4000, length, word),
                }
            }
            _ => {
                let (nearest, length) = match after {
                    After::Match => return Some(Instruction::Literals(self.count(code, 15)? + 3)),
                    After::FewLiterals => (1, 2),
                    After::Run => (2049, 3),
                };
                ((code >> 2) + (usize::from(self.byte()?) << 2) + nearest, length, code)
            }
        };
        Some(Instruction::Match(Match { distance, length, literals: literals & 3 }))
    }

    #[inline(always)]
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline(always)]
    fn word(&mut self) -> Option<usize> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_le_bytes(*first).into())
    }

    /// A count that stands in its instruction, unless that holds 0: then it follows, as what exceeds `most`. A byte of 0
    /// stands for 255 and for another byte that follows.
    #[inline(always)]
    fn count(&mut self, given: usize, most: usize) -> Option<usize> {
        if given != 0 {
            return Some(given);
        }
        let zeros = self.0.iter().position(|byte| *byte != 0)?;
        self.0 = self.0.get(zeros..)?;
        Some(most + zeros * 255 + usize::from(self.byte()?))
    }
}

/// What is unpacked; what lies behind `len` is of no value yet.
struct Output<'a> {
    page: &'a mut [u8],
    len: usize,
}

impl Output<'_> {
    /// Takes bytes from the input.
    #[inline(always)]
    fn literals(&mut self, input: &mut Input<'_>, count: usize) -> Option<()> {
        let room = self.page.get_mut(self.len..)?;
        match (input.0.first_chunk::<BLOCK>(), room.first_chunk_mut::<BLOCK>()) {
            (Some(from), Some(to)) if count <= BLOCK => *to = *from,
            _ => room.get_mut(..count)?.copy_from_slice(input.0.get(..count)?),
        }
        input.0 = input.0.get(count..)?;
        self.len += count;
        Some(())
    }

    /// Repeats bytes that came out before.
    #[inline(always)]
    fn again(&mut self, distance: usize, length: usize) -> Option<()> {
        let from = self.len.checked_sub(distance)?;
        let window = self.page.get_mut(from..)?;
        if distance < BLOCK || length > 2 * BLOCK || window.len() < distance + 2 * BLOCK {
            repeat(window.get_mut(..distance + length)?, distance);
        } else {
            copy_block(window, 0, distance)?;
            if length > BLOCK {
                copy_block(window, BLOCK, distance + BLOCK)?;
            }
        }
        self.len += length;
        Some(())
    }
}

#[inline(always)]
fn copy_block(window: &mut [u8], from: usize, to: usize) -> Option<()> {
    let block: [u8; BLOCK] = *window.get(from..)?.first_chunk()?;
    *window.get_mut(to..)?.first_chunk_mut()? = block;
    Some(())
}

/// Fills a window with what its first `period` bytes hold, over and over.
#[inline(never)]
fn repeat(window: &mut [u8], period: usize) {
    let mut done = period;
    while let Some(more) = window.len().checked_sub(done).filter(|more| *more > 0) {
        let count = done.min(more);
        window.copy_within(..count, done);
        done += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &[u8], room: usize) -> Option<Vec<u8>> {
        let mut page = vec![0xaa; room];
        let len = unpack(packed, &mut page)?;
        Some(page[..len].to_vec())
    }

    const END: [u8; 3] = [0x11, 0, 0];

    /// Bytes that differ from their neighbours, near and far.
    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    /// A count that does not fit its instruction.
    fn count(exceeding: usize) -> Vec<u8> {
        let mut bytes = vec![0; (exceeding - 1) / 255];
        bytes.push((exceeding - bytes.len() * 255) as u8);
        bytes
    }

    /// A run of literals in the middle of a stream, of at least 19.
    fn run(literals: &[u8]) -> Vec<u8> {
        [&[0][..], &count(literals.len() - 18), literals].concat()
    }

    /// A run, what follows it, and what must come out behind the run.
    fn check(run_of: usize, instructions: &[u8], expected: &[u8]) {
        let literals = text(run_of);
        let packed = [&run(&literals)[..], instructions, &END].concat();
        let whole = [&literals, expected].concat();
        assert_eq!(unpacked(&packed, whole.len()).as_ref(), Some(&whole), "exact room");
        assert_eq!(unpacked(&packed, whole.len() + 100).as_ref(), Some(&whole), "more room");
        assert_eq!(unpacked(&packed, whole.len() - 1), None, "too little room");
        for cut in 0..packed.len() {
            assert_eq!(unpacked(&packed[..cut], whole.len()), None, "cut at {cut}");
        }
    }

    #[test]
    fn the_first_code_may_be_a_run() {
        assert_eq!(unpacked(&END, 8).as_deref(), Some(&b""[..]));
        assert_eq!(unpacked(&[&[21][..], b"abcd", &END].concat(), 8).as_deref(), Some(&b"abcd"[..]));
        // Fewer than four literals, so the next low code is a match of two bytes.
        let packed = [&[19][..], b"xy", &[1 << 2, 0], &END].concat();
        assert_eq!(unpacked(&packed, 8).as_deref(), Some(&b"xyxy"[..]));
    }

    /// What 16 bits behind an instruction hold: the distance, and how many literals follow.
    fn word(distance: usize) -> [u8; 2] {
        ((distance << 2) as u16).to_le_bytes()
    }

    #[test]
    fn every_instruction() {
        let bytes = text(20_000);
        let back = |from: usize, distance: usize, length: usize| &bytes[from - distance..][..length];
        // Up to eight bytes, within 2 KiB; then one literal.
        let (distance, length): (usize, usize) = (1003, 8);
        let near =
            [((length - 1) << 5 | ((distance - 1) % 8) << 2 | 1) as u8, ((distance - 1) / 8) as u8, b'!'];
        check(2000, &near, &[back(2000, distance, length), b"!"].concat());
        // Within 16 KiB, the length in the code and behind it.
        check(9000, &[&[0x20 | 30][..], &word(8001)].concat(), back(9000, 8002, 32));
        check(9000, &[&[0x20][..], &count(300), &word(8001)].concat(), back(9000, 8002, 333));
        // Beyond.
        check(20_000, &[&[0x10 | 7][..], &word(9)].concat(), back(20_000, 0x4009, 9));
        check(20_000, &[&[0x10][..], &count(41), &word(9)].concat(), back(20_000, 0x4009, 50));
        // Behind a run, three bytes from beyond 2 KiB.
        check(3000, &[2 << 2, 3], back(3000, 2049 + 2 + 3 * 4, 3));
    }

    #[test]
    fn a_match_may_reach_into_itself() {
        let bytes = text(100);
        for distance in [1, 2, 3, 7, 15, 16, 17, 31] {
            for length in [3, 8, 16, 17, 32, 33] {
                let expected: Vec<u8> = (0..length).map(|at| bytes[100 - distance + at % distance]).collect();
                check(100, &[0x20 | (length - 2) as u8, ((distance - 1) << 2) as u8, 0], &expected);
            }
        }
    }

    #[test]
    fn what_another_packer_made() {
        for len in [1, 100, 4096, 65536] {
            let page: Vec<u8> = text(len).iter().map(|byte| byte & 0xf3).collect();
            let packed = lzokay_native::compress(&page).unwrap();
            assert_eq!(unpacked(&packed, len).as_ref(), Some(&page), "{len}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |packed: &[u8]| assert_eq!(unpacked(packed, 4096), None, "{packed:x?}");
        refused(&[]);
        refused(&[0; 300]); // a count that does not end
        refused(&[&END[..], &[0]].concat());
        refused(&[0x12, 0, 0]); // an end that is four bytes long
        refused(&[&[18][..], b"x", &[0x20 | 1, 4, 0], &END].concat()); // from before the first byte
        let mut state = 1u64;
        for _ in 0..20_000 {
            let noise: Vec<u8> = (0..40)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            let _ = unpacked(&noise, 64); // whatever it says, it does not panic
        }
    }
}
