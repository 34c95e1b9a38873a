//! Error numbers of replies; Linux's values, which clients print.

/// No such file, or part of the protocol's own.
pub(super) const NO_ENTRY: u8 = 2;
/// No such thread.
pub(super) const NO_THREAD: u8 = 3;
/// Reading a file failed.
pub(super) const IO: u8 = 5;
/// No file is open under this number.
pub(super) const BAD_HANDLE: u8 = 9;
/// A file that may not be read.
pub(super) const NO_ACCESS: u8 = 13;
/// Memory that cannot be read.
pub(super) const FAULT: u8 = 14;
/// A packet that cannot be understood.
pub(super) const INVALID: u8 = 22;
/// No more files can be open.
pub(super) const TOO_MANY: u8 = 24;
/// No room for more.
pub(super) const FULL: u8 = 28;
/// A write.
pub(super) const READ_ONLY: u8 = 30;
/// A register that was not saved.
pub(super) const UNAVAILABLE: u8 = 61;
