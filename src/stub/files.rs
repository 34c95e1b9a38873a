//! `vFile`: the announced files over the wire, for a gdb on another machine (`--serve-files`). Those files, to read, and nothing
//! else. gdbstub could answer it too, but not more than 4 KiB at once.

use super::front::{PACKET_SIZE, Reply, Session};
use super::{encode, errno};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// gdb keeps the file of every module open.
const HANDLES: usize = 4096;
/// Of `vFile:open`'s flags, those that would write: O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_TRUNC.
const WRITING: u64 = 0x1 | 0x2 | 0x8 | 0x200 | 0x400;
/// A regular file that everybody may read.
const MODE: u32 = 0o100_444;

/// Open files, by their numbers. They are really open only while they are read: debuggers would use up what a process may open.
#[derive(Default)]
pub(super) struct Files(Vec<Option<PathBuf>>);

/// The protocol's own error numbers (gdb's include/gdb/fileio.h).
type Answer = Result<Vec<u8>, u8>;

/// One of the packets; it gets what follows its name.
type Packet = fn(&mut Session, &[u8]) -> Answer;

static PACKETS: &[(&str, Packet)] = &[
    ("setfs:", |_, _| Ok(b"0".to_vec())),
    ("open:", open),
    ("pread:", pread),
    ("fstat:", fstat),
    ("stat:", stat),
    ("lstat:", stat),
    ("close:", close),
    ("readlink:", |_, _| Err(errno::INVALID)),
    ("pwrite:", |_, _| Err(errno::READ_ONLY)),
    ("unlink:", |_, _| Err(errno::READ_ONLY)),
];

/// `vFile:OPERATION:ARGUMENTS`. Where there is no answer gdb takes the files from where they are on its own machine.
pub(super) fn operate(session: &mut Session, packet: &[u8]) -> Reply {
    if session.files.is_none() {
        return Reply::Unsupported;
    }
    let known = PACKETS.iter().find_map(|(name, run)| Some((run, packet.strip_prefix(name.as_bytes())?)));
    let Some((run, arguments)) = known else { return Reply::Unsupported };
    Reply::Packet(match run(session, arguments) {
        Ok(result) => [b"F", result.as_slice()].concat(),
        Err(number) => format!("F-1,{number:x}").into_bytes(),
    })
}

/// `PATH,FLAGS,MODE`.
fn open(session: &mut Session, arguments: &[u8]) -> Answer {
    let mut parts = arguments.splitn(3, |byte| *byte == b',');
    let path = announced(session, parts.next())?;
    let flags = parts.next().and_then(encode::number).ok_or(errno::INVALID)?;
    if flags & WRITING != 0 {
        return Err(errno::READ_ONLY);
    }
    let Some(Files(files)) = &mut session.files else { return Err(errno::INVALID) };
    let free = files.iter().position(Option::is_none).unwrap_or(files.len());
    if free >= HANDLES {
        return Err(errno::TOO_MANY);
    }
    File::open(&path).map_err(number)?;
    files.resize(files.len().max(free + 1), None);
    if let Some(place) = files.get_mut(free) {
        *place = Some(path);
    }
    Ok(format!("{free:x}").into_bytes())
}

/// `HANDLE,COUNT,OFFSET`: at most as much as fits into a packet, if all of it must be escaped.
fn pread(session: &mut Session, arguments: &[u8]) -> Answer {
    let mut parts = arguments.splitn(3, |byte| *byte == b',');
    let path = handle(session, parts.next())?;
    let mut number_of = || parts.next().and_then(encode::number).ok_or(errno::INVALID);
    let (count, offset) = (number_of()?, number_of()?);
    let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX).min(PACKET_SIZE / 2 - 64)];
    let got = File::open(path).and_then(|file| file.read_at(&mut bytes, offset)).map_err(number)?;
    let mut answer = format!("{got:x};").into_bytes();
    encode::escape(&mut answer, bytes.get(..got).unwrap_or_default());
    Ok(answer)
}

/// `HANDLE`.
fn fstat(session: &mut Session, arguments: &[u8]) -> Answer {
    let about = handle(session, Some(arguments))?.metadata().map_err(number)?;
    Ok(described(&about))
}

/// `PATH`; of gdb since 16.
fn stat(session: &mut Session, arguments: &[u8]) -> Answer {
    let about = announced(session, Some(arguments))?.metadata().map_err(number)?;
    Ok(described(&about))
}

/// `HANDLE`.
fn close(session: &mut Session, arguments: &[u8]) -> Answer {
    handle(session, Some(arguments))?;
    let number = encode::number(arguments).and_then(|number| usize::try_from(number).ok());
    let Some(Files(files)) = &mut session.files else { return Err(errno::INVALID) };
    if let Some(place) = number.and_then(|number| files.get_mut(number)) {
        *place = None;
    }
    Ok(b"0".to_vec())
}

/// The announced path that is these digits' text, byte for byte: no other spelling of it, and no other file.
fn announced(session: &Session, digits: Option<&[u8]>) -> Result<PathBuf, u8> {
    let path = digits.and_then(encode::unhex).ok_or(errno::INVALID)?;
    let mut all = session.target.symbol_file.announced();
    let known = all.find(|known| known.as_os_str() == OsStr::from_bytes(&path));
    known.map(ToOwned::to_owned).ok_or(errno::NO_ENTRY)
}

fn handle<'a>(session: &'a Session, number: Option<&[u8]>) -> Result<&'a Path, u8> {
    let number = usize::try_from(number.and_then(encode::number).ok_or(errno::INVALID)?);
    let Some(Files(files)) = &session.files else { return Err(errno::INVALID) };
    number.ok().and_then(|number| files.get(number)?.as_deref()).ok_or(errno::BAD_HANDLE)
}

/// `struct fst_stat`, in the protocol's byte order, the upper one. What is of no use to a reader is 0.
fn described(about: &Metadata) -> Vec<u8> {
    const BLOCK: u64 = 512;
    let time = u32::try_from(about.mtime()).unwrap_or(0);
    let (device, number, links, user, group, special) = (0u32, 0u32, 1u32, 0u32, 0u32, 0u32);
    let mut bytes: Vec<u8> = [device, number, MODE, links, user, group, special]
        .iter()
        .flat_map(|field| field.to_be_bytes())
        .collect();
    let (size, block) = (about.size(), 4096u64);
    bytes.extend([size, block, size.div_ceil(BLOCK)].iter().flat_map(|field| field.to_be_bytes()));
    bytes.extend([time; 3].iter().flat_map(|field| field.to_be_bytes()));
    let mut answer = format!("{:x};", bytes.len()).into_bytes();
    encode::escape(&mut answer, &bytes);
    answer
}

/// What gdb is told of an error: the numbers of these are Linux's.
fn number(error: io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => errno::NO_ENTRY,
        io::ErrorKind::PermissionDenied => errno::NO_ACCESS,
        _ => errno::IO,
    }
}
