use super::*;

/// Bytes that count up, from 0x1000 to 0x4000, with a hole at 0x3000.
struct Counting;

impl Memory for Counting {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let Addr::Phys(pa @ Pa(first @ 0x1000..0x3000)) = at else { return Err(Fault::NotInImage(Pa(0))) };
        assert!(pa.0 < 0x3000);
        let got = buf.len().min((0x3000 - first) as usize);
        buf.iter_mut().zip(first..).take(got).for_each(|(byte, address)| *byte = address as u8);
        Ok(got)
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        Ok(pa.0)
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new([Pa(0x1000), Pa(0x2000)].into_iter())
    }

    fn census(&self) -> Census {
        Census { dumped: 2, cut_off: 0 }
    }
}

#[test]
fn it_hides_nothing() {
    crate::image::odd::check(&Overlay::new(Arc::new(crate::image::odd::Odd), 0));
}

fn overlay(limit: usize) -> Overlay {
    Overlay::new(Arc::new(Counting), limit)
}

fn read(overlay: &Overlay, pa: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let got = overlay.read(Addr::Phys(Pa(pa)), &mut bytes).unwrap();
    bytes.truncate(got);
    bytes
}

/// Writes as `Space` does: until nothing more can be written.
fn write(overlay: &Overlay, pa: u64, data: &[u8]) -> Result<usize, String> {
    let mut done = 0;
    while done < data.len() {
        let at = pa + done as u64;
        match overlay.write(Addr::Phys(Pa(at)), &data[done..], Va(at + 0xf000)) {
            Ok(written) => done += written,
            Err(_) if done > 0 => break,
            Err(why) => return Err(format!("{why:?}")),
        }
    }
    Ok(done)
}

#[test]
fn a_change_is_seen_by_every_read_that_touches_it() {
    let overlay = overlay(LIMIT);
    assert_eq!(write(&overlay, 0x1ffe, b"abcd"), Ok(4));
    assert_eq!(read(&overlay, 0x1ffd, 6), [0xfd, b'a', b'b', b'c', b'd', 2]);
    assert_eq!(read(&overlay, 0x2001, 1), b"d");
    assert_eq!(read(&overlay, 0x1000, 0x2000)[0xffe..0x1002], *b"abcd");
    assert_eq!(read(&overlay, 0x1000, 0xffe), (0..0xffe_u16).map(|n| n as u8).collect::<Vec<_>>());
}

#[test]
fn what_is_not_there_is_not_written() {
    let overlay = overlay(LIMIT);
    assert_eq!(write(&overlay, 0x2fff, b"ab"), Ok(1));
    assert_eq!(write(&overlay, 0x3000, b"ab"), Err("Fault(NotInImage(pa 0x0))".into()));
    assert_eq!(read(&overlay, 0x2ffe, 9), [0xfe, b'a']);
    let file = overlay.write(Addr::File(0), b"a", Va(0));
    assert!(matches!(file, Err(Unwritten::ReadOnly)), "{file:?}");
    assert_eq!(overlay.changes().len(), 1);
}

#[test]
fn changes_are_listed_side_by_side_and_taken_back() {
    let overlay = overlay(LIMIT);
    for (at, data) in [(0x1fff, b"ab".as_slice()), (0x1100, b"x"), (0x1101, b"y"), (0x1200, b"z")] {
        write(&overlay, at, data).unwrap();
    }
    let change = |at: u64, was: &[u8], now: &[u8]| Change {
        at: Addr::Phys(Pa(at)),
        va: Va(at + 0xf000),
        was: was.into(),
        now: now.into(),
    };
    let last = change(0x1fff, &[0xff, 0], b"ab");
    assert_eq!(overlay.changes(), [change(0x1100, &[0, 1], b"xy"), change(0x1200, &[0], b"z"), last.clone()]);
    assert_eq!(overlay.revert(Addr::Phys(Pa(0x1102))), None);
    assert_eq!(overlay.revert(Addr::Virt(Va(0x1100))), None);
    assert_eq!(overlay.revert(Addr::Phys(Pa(0x2000))), Some(last));
    assert_eq!(read(&overlay, 0x1fff, 2), [0xff, 0]);
    assert_eq!(overlay.revert_all(), 3);
    assert_eq!(read(&overlay, 0x1100, 2), [0, 1]);
    assert_eq!(overlay.changes(), []);
}

#[test]
fn it_takes_no_more_than_it_may() {
    let overlay = overlay(4096);
    assert_eq!(write(&overlay, 0x1ffe, b"abcd"), Ok(2));
    assert_eq!(write(&overlay, 0x2000, b"c"), Err("Full(4096)".into()));
    assert_eq!(write(&overlay, 0x1000, b"more"), Ok(4));
    overlay.revert_all();
    assert_eq!(write(&overlay, 0x2000, b"c"), Ok(1));
}
