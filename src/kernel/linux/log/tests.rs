//! Both generations of message buffers, in memory laid out as no compiler would.

use super::*;
use crate::image::ram::Ram;
use kgdbserver_arch::{Machine, Pa, Region, Via, x86_64};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A machine's memory under construction.
#[derive(Clone)]
struct Machinery {
    /// By their addresses. What was never written is not there.
    bytes: BTreeMap<u64, u8>,
    word: usize,
    big_endian: bool,
    info: String,
    symbols: BTreeMap<&'static str, u64>,
}

impl Machinery {
    fn new(word: usize, big_endian: bool, info: &str) -> Self {
        let info = format!("OSRELEASE=5.10.0\n{info}");
        Self { bytes: BTreeMap::new(), word, big_endian, info, symbols: BTreeMap::new() }
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        self.bytes.extend((at..).zip(bytes.iter().copied()));
        self
    }

    fn number(&mut self, at: u64, size: usize, value: u64) -> &mut Self {
        let mut bytes = value.to_le_bytes()[..size].to_vec();
        if self.big_endian {
            bytes.reverse();
        }
        self.put(at, &bytes)
    }

    fn word(&mut self, at: u64, value: u64) -> &mut Self {
        self.number(at, self.word, value)
    }

    fn remove(&mut self, at: u64, length: u64) -> &mut Self {
        (at..at + length).for_each(|at| assert!(self.bytes.remove(&at).is_some(), "{at:#x}"));
        self
    }

    fn read(&self) -> Result<Log> {
        let machine =
            Machine { arch: &x86_64::ARCH, big_endian: self.big_endian, ptr_bytes: self.word as u8 };
        let all = Region { first: Va(0), last: Va(u64::MAX), via: Via::Linear(Pa(0)) };
        let ram: Ram = self.bytes.iter().map(|(at, byte)| (*at, vec![*byte])).collect();
        let mem = Space::new(machine, vec![all], Arc::new(ram));
        let known = self.symbols.clone();
        let symbols = Symbols::new(None, Some(Arc::new(move |name: &str| known.get(name).copied())));
        let info = Vmcoreinfo::parse(self.info.as_bytes()).unwrap();
        read(&Source { info: &info, symbols: &symbols, mem: &mem })
    }

    #[track_caller]
    fn prints(&self, expected: &str) {
        assert_eq!(self.read().unwrap().text, expected);
    }

    #[track_caller]
    fn fails(&self, expected: &str) {
        let error = self.read().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

mod ring {
    use super::*;

    const INFO: &str = "SYMBOL(prb)=1000\nOFFSET(printk_ringbuffer.desc_ring)=16\nOFFSET(printk_ringbuffer.text_data_ring)=96\n\
        OFFSET(prb_desc_ring.count_bits)=4\nOFFSET(prb_desc_ring.descs)=16\nOFFSET(prb_desc_ring.infos)=8\n\
        OFFSET(prb_desc_ring.head_id)=24\nOFFSET(prb_desc_ring.tail_id)=32\nSIZE(prb_desc)=40\nSIZE(printk_info)=48\n\
        OFFSET(prb_data_ring.size_bits)=0\nOFFSET(prb_data_ring.data)=8\nOFFSET(prb_desc.state_var)=24\n\
        OFFSET(prb_desc.text_blk_lpos)=0\nOFFSET(prb_data_blk_lpos.begin)=8\nOFFSET(prb_data_blk_lpos.next)=0\n\
        OFFSET(printk_info.seq)=24\nOFFSET(printk_info.ts_nsec)=8\nOFFSET(printk_info.text_len)=4\n";
    const RING: u64 = 0x2000;
    const DESCRIPTORS: u64 = 0x3000;
    const INFOS: u64 = 0x4000;
    const TEXTS: u64 = 0x5000;
    const FINALIZED: u64 = 2;

    /// Room for four messages, and for 128 bytes of text.
    fn empty(word: usize, big_endian: bool, tail: u64, head: u64) -> Machinery {
        let mut ring = Machinery::new(word, big_endian, INFO);
        ring.word(0x1000, RING).number(RING + 20, 4, 2).number(RING + 96, 4, 7).put(TEXTS, &[0; 128]);
        ring.word(RING + 16 + 16, DESCRIPTORS).word(RING + 16 + 8, INFOS).word(RING + 96 + 8, TEXTS);
        ring.word(RING + 16 + 24, head).word(RING + 16 + 32, tail);
        ring
    }

    fn message(ring: &mut Machinery, id: u64, state: u64, begin: u64, next: u64, text: &str) {
        let (descriptor, info) = (DESCRIPTORS + id % 4 * 40, INFOS + id % 4 * 48);
        let shift = ring.word * 8 - 2;
        ring.word(descriptor + 24, state << shift | id & ((1 << shift) - 1));
        ring.word(descriptor + 8, begin).word(descriptor, next);
        ring.number(info + 24, 8, 100 + id).number(info + 8, 8, id.wrapping_mul(1_000_001_000)).number(
            info + 4,
            2,
            text.len() as u64,
        );
        // A text that would wrap around lies at the start.
        let at = if begin / 128 == next.wrapping_sub(1) / 128 { begin % 128 } else { 0 };
        ring.put(TEXTS + at + ring.word as u64, text.as_bytes());
    }

    fn full(word: usize, big_endian: bool) -> Machinery {
        let mut ring = empty(word, big_endian, 5, 8);
        message(&mut ring, 5, FINALIZED, 160, 176, "one");
        message(&mut ring, 6, FINALIZED, 176, 192, "another");
        message(&mut ring, 7, 1, 192, 216, "two\nlines"); // not final: a line that may be continued
        message(&mut ring, 8, FINALIZED, 232, 280, "wrapped");
        ring
    }

    const FULL: &str =
        "[    5.000005] one\n[    6.000006] another\n[    7.000007] two\n[    7.000007] lines\n";

    #[test]
    fn messages_are_read_in_their_order() {
        for (word, big_endian) in [(8, false), (8, true), (4, false), (4, true)] {
            let mut ring = full(word, big_endian);
            ring.remove(DESCRIPTORS + 24, word as u64);
            ring.word(DESCRIPTORS + 24, 0); // number 8 has not been written
            ring.prints(FULL);
        }
    }

    #[test]
    fn a_text_that_would_wrap_around_lies_at_the_start() {
        full(8, false).prints(&format!("{FULL}[    8.000008] wrapped\n"));
        let mut ring = full(8, false);
        message(&mut ring, 8, FINALIZED, 232, 256, "the very end"); // since 6.18
        ring.prints(&format!("{FULL}[    8.000008] the very end\n"));
    }

    #[test]
    fn numbers_wrap_around_too() {
        let last = u64::MAX >> 2;
        let mut ring = empty(8, false, last, 0);
        message(&mut ring, last, FINALIZED, 0u64.wrapping_sub(16), 0, "before");
        message(&mut ring, 0, FINALIZED, 0, 16, "after");
        let text = ring.read().unwrap().text;
        assert!(text.ends_with("] before\n[    0.000000] after\n"), "{text}");
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        for (what, state, id, begin, next) in [
            ("being written", 0, 6, 8, 24),
            ("overwritten", 3, 6, 8, 24),
            ("another message's", FINALIZED, 10, 8, 24),
            ("without room for its text", FINALIZED, 6, 1, 1),
        ] {
            let mut ring = full(8, false);
            message(&mut ring, id, state, begin, next, "other");
            let text = ring.read().unwrap().text;
            assert!(!text.contains("6.0") && text.contains("5.0") && text.contains("7.0"), "{what}: {text}");
        }
    }

    #[test]
    fn a_message_may_be_empty() {
        let mut ring = empty(8, false, 5, 5);
        message(&mut ring, 5, FINALIZED, 3, 3, "");
        ring.prints("[    5.000005] \n");
    }

    #[test]
    fn what_the_log_daemon_has_not_read_is_told_where_there_is_one() {
        let mut ring = full(8, false);
        assert_eq!(ring.read().unwrap().unread, "");
        ring.symbols.insert("syslog_seq", 0x100);
        assert_eq!(ring.number(0x100, 8, 0).read().unwrap().unread, "");
        assert_eq!(ring.number(0x100, 8, 108).read().unwrap().unread, "[    8.000008] wrapped\n");
        assert_eq!(ring.number(0x100, 8, 109).read().unwrap().unread, "");
    }

    #[test]
    fn what_the_image_lacks_is_said_in_its_place() {
        let mut ring = full(8, false);
        ring.remove(DESCRIPTORS + 2 * 40 + 24, 8).remove(INFOS + 3 * 48 + 8, 8);
        ring.prints(
            "[    5.000005] one\n(2 messages cannot be read: invalid address (0x3068): physical address 0x3068 is not in \
             the image)\n[    8.000008] wrapped\n",
        );
        ring.remove(DESCRIPTORS + 24, 8);
        assert!(ring.read().unwrap().text.ends_with("not in the image)\n"));
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        full(8, false).number(RING + 20, 4, 63).fails("its size is 2 to the 63");
        full(8, false).number(RING + 20, 4, 64).fails("its size is 2 to the 64");
        full(8, false).number(RING + 96, 4, 29).fails("its size is 2 to the 29");
        full(8, false).word(0x1000, 0xbad000).fails("0xbad030");
        let mut ring = full(8, false);
        (5..9).for_each(|id| message(&mut ring, id, FINALIZED, 0, 64, &"x".repeat(56)));
        let text = ring.read().unwrap().text;
        assert_eq!(text.matches('\n').count(), 3, "{text}");
        assert!(text.ends_with("its text overlaps others)\n"), "{text}");
    }

    #[test]
    fn a_length_beyond_its_place_is_cut() {
        let mut ring = full(8, false);
        ring.number(INFOS + 48 + 4, 2, 0xffff);
        assert!(ring.read().unwrap().text.starts_with("[    5.000005] one"));
    }
}

mod buffer {
    use super::*;

    const INFO: &str = "SYMBOL(log_buf)=1000\nSYMBOL(log_buf_len)=1008\nSYMBOL(log_first_idx)=1010\nSYMBOL(log_next_idx)=1018\n\
        SIZE(printk_log)=24\nOFFSET(printk_log.ts_nsec)=8\nOFFSET(printk_log.len)=2\nOFFSET(printk_log.text_len)=4\n";
    const TEXTS: u64 = 0x2000;

    fn buffer(first: u64, next: u64) -> Machinery {
        let mut buffer = Machinery::new(8, false, INFO);
        buffer.word(0x1000, TEXTS).number(0x1008, 4, 128).number(0x1010, 4, first).number(0x1018, 4, next);
        buffer.put(TEXTS, &[0; 128]);
        buffer
    }

    fn record(buffer: &mut Machinery, index: u64, length: u64, seconds: u64, text: &str) {
        let at = TEXTS + index;
        buffer.number(at + 8, 8, seconds * 1_000_000_000).number(at + 2, 2, length);
        buffer.number(at + 4, 2, text.len() as u64).put(at + 24, text.as_bytes());
    }

    fn wrapped() -> Machinery {
        let mut buffer = buffer(40, 32);
        record(&mut buffer, 40, 32, 1, "one");
        record(&mut buffer, 72, 32, 2, "two"); // there is only room for an empty header behind it
        record(&mut buffer, 0, 32, 3, "three");
        buffer
    }

    #[test]
    fn records_are_read_around_the_buffers_end() {
        wrapped().prints("[    1.000000] one\n[    2.000000] two\n[    3.000000] three\n");
        buffer(40, 40).prints("");
    }

    #[test]
    fn the_structure_had_a_shorter_name() {
        let mut buffer = wrapped();
        buffer.info = buffer.info.replace("printk_log", "log");
        buffer.prints("[    1.000000] one\n[    2.000000] two\n[    3.000000] three\n");
    }

    #[test]
    fn some_kernels_print_who_wrote_a_message() {
        let mut buffer = wrapped();
        buffer.info += "OFFSET(printk_log.caller_id)=16\n";
        buffer.number(TEXTS + 40 + 16, 4, 157).number(TEXTS + 72 + 16, 4, 1 << 31 | 3);
        buffer
            .prints("[    1.000000][  T157] one\n[    2.000000][    C3] two\n[    3.000000][    T0] three\n");
    }

    #[test]
    fn records_are_counted_from_the_first() {
        let mut buffer = wrapped();
        buffer.symbols.extend([("log_first_seq", 0x100), ("syslog_seq", 0x108)]);
        buffer.number(0x100, 8, 7).number(0x108, 8, 9);
        assert_eq!(buffer.read().unwrap().unread, "[    3.000000] three\n");
    }

    #[test]
    fn a_buffer_that_cannot_be_believed_ends_where_it_goes_wrong() {
        let ends = |buffer: &Machinery, end: &str| {
            let text = buffer.read().unwrap().text;
            assert!(
                text.starts_with("[    1.000000] one\n(1 messages") && text.trim_end().ends_with(end),
                "{text}"
            );
        };
        let mut short = wrapped();
        short.number(TEXTS + 72 + 2, 2, 8);
        ends(&short, "its length is 8)");
        let mut far = wrapped();
        far.number(TEXTS + 72 + 2, 2, 500);
        ends(&far, "its length is 500)");
        let mut absent = wrapped();
        absent.remove(TEXTS + 72, 8);
        ends(&absent, "is not in the image)");
    }

    #[test]
    fn a_buffer_without_an_end_is_read_once() {
        let mut around = buffer(0, 120);
        record(&mut around, 0, 32, 1, "one");
        let text = around.read().unwrap().text;
        assert_eq!(text.matches("one").count(), 4, "{text}");
        buffer(0, 0).number(0x1008, 4, 1 << 29).fails("its size is 536870912");
        buffer(200, 0)
            .prints("(1 messages cannot be read: printk_log at 0x20c8: it lies behind the buffer)\n");
    }
}

#[test]
fn without_a_buffer_its_name_is_said() {
    Machinery::new(8, false, "").fails("log_buf: no such symbol");
}
