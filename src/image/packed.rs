//! Compressed dumps: `vmcore.N.gz` and `vmcore.N.zst`, and what the kernel compressed on its way to the dump device.
//!
//! Neither stream can be entered in the middle, so it is unpacked once into a sparse file, which the next open finds
//! again. An index of places to resume at would spare the disk, but: gzip's holds 32 KiB of window for each place and
//! pays for every random read by unpacking up to the next place, hundreds of microseconds for 8 bytes; zstd's frames
//! (the kernel writes a single one) cannot be resumed at all. And making the index unpacks everything just the same.

use super::Source;
use super::part::Stream;
use super::unpacked::{Cache, Spill};
use super::wrapped::{Layers, Wrapper};
use crate::{Error, Result};
use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

pub(super) const GZIP: Wrapper = Wrapper {
    name: "gzip",
    probe: |source, _| begins(source, 0, &GZ.magic).unwrap_or(false),
    open: |source, layers| open(source, layers, &GZ),
};

pub(super) const ZSTD: Wrapper = Wrapper {
    name: "zstd",
    probe: |source, _| begins(source, 0, &ZST.magic).unwrap_or(false),
    open: |source, layers| open(source, layers, &ZST),
};

/// One compression.
pub(super) struct Codec<const N: usize> {
    pub(super) name: &'static str,
    pub(super) magic: [u8; N],
    /// Unpacks one member (gzip) or frame (zstd), and reads nothing behind it.
    pub(super) member: for<'a> fn(&'a mut dyn BufRead) -> io::Result<Box<dyn Read + 'a>>,
}

/// The third byte says "deflate", the only method there is.
static GZ: Codec<3> = Codec {
    name: "gzip stream",
    magic: [0x1f, 0x8b, 8],
    member: |input| Ok(Box::new(flate2::bufread::GzDecoder::new(input))),
};

static ZST: Codec<4> = Codec {
    name: "zstd stream",
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    member: |input| Ok(Box::new(zstd::stream::read::Decoder::with_buffer(input)?.single_frame())),
};

/// Whether these bytes, at most 4, stand at a place.
pub(super) fn begins(source: &dyn Source, at: u64, magic: &[u8]) -> io::Result<bool> {
    let mut bytes = [0; 4];
    let bytes = bytes.get_mut(..magic.len()).unwrap_or_default();
    Ok(source.read_at(at, bytes)? == magic.len() && bytes == magic)
}

/// A dump is far from a thousand times smaller when compressed; a bomb can be.
const RATIO: u64 = 1000;

/// What is small enough not to matter: a synthetic or a trimmed dump is mostly zeros.
const HARMLESS: u64 = 256 << 20;

/// Why unpacking ended.
enum End {
    Whole,
    /// The compressed bytes end too early, or turn into nonsense: what came before is usable.
    Cut(String),
}

pub(super) fn open<const N: usize>(
    source: Arc<dyn Source>,
    layers: &mut Layers<'_>,
    codec: &Codec<N>,
) -> Result<Arc<dyn Source>> {
    let cache = Cache::open(layers.settings)?;
    // What was encrypted is not left on a disk in the clear.
    let name = (!layers.decrypted()).then(|| cache.name(&*source, &layers.facts.layers)).flatten();
    if let Some((unpacked, cut)) = name.as_deref().and_then(|name| cache.find(name, source.path())) {
        layers.warnings.extend(cut.then(|| format!("{} is cut off or damaged", codec.name)));
        return Ok(Arc::new(unpacked));
    }
    let limit = source.len().saturating_mul(RATIO).max(layers.extent).max(HARMLESS);
    let mut spill = cache.spill()?;
    let end = unpack(&*source, codec, limit, &mut spill, layers)?;
    if let End::Cut(why) = &end {
        layers.warn(format!("{} is cut off or damaged, it can be used up to there: {why}", codec.name));
    }
    Ok(Arc::new(spill.finish(name.as_deref(), matches!(end, End::Cut(_)), source.path())?))
}

/// Bytes unpacked at a time.
const CHUNK: usize = 256 << 10;

fn unpack<const N: usize>(
    source: &dyn Source,
    codec: &Codec<N>,
    limit: u64,
    spill: &mut Spill<'_>,
    layers: &Layers<'_>,
) -> Result<End> {
    let fetched = Cell::new(0);
    let progress = || {
        let tell = layers.settings.progress.as_deref();
        tell.into_iter().for_each(|tell| tell(fetched.get(), source.len()));
    };
    let corrupt = |what: String| Error::Corrupt { format: codec.name, offset: fetched.get(), what };
    let mut input = Stream::new(source, &fetched);
    let mut chunk = vec![0; CHUNK];
    // Members may follow each other (pigz, pzstd, cat); zeros that fill a dump device's last block are no member.
    while begins(source, input.position(), &codec.magic).map_err(Error::io(source.path()))? {
        let mut member = (codec.member)(&mut input).map_err(Error::io(source.path()))?;
        loop {
            let (got, error) = fill(&mut *member, &mut chunk);
            spill.write(chunk.get(..got).unwrap_or_default())?;
            progress();
            if spill.len() > limit && !layers.settings.force {
                let from = source.len();
                let what = format!("more than {limit} bytes come out of {from}: not a dump; --force goes on");
                return Err(corrupt(what));
            }
            match error {
                Some(error) if error.raw_os_error().is_some() => return Err(Error::io(source.path())(error)),
                Some(error) if error.kind() == io::ErrorKind::UnexpectedEof || layers.settings.force => {
                    return Ok(End::Cut(format!("after {} bytes of {}", fetched.get(), source.len())));
                }
                Some(error) => return Err(corrupt(format!("{error}; --force opens what comes before"))),
                None if got < chunk.len() => break,
                None => {}
            }
        }
    }
    Ok(End::Whole)
}

/// Fills the buffer as far as there is something, and says what stopped it other than the end.
fn fill(input: &mut dyn Read, buf: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(got) => done += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Some(error)),
        }
    }
    (done, None)
}
