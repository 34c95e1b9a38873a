//! Descriptors that a parent process passed on.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

/// The file behind a descriptor, under a descriptor of our own.
pub(super) fn file(number: RawFd) -> io::Result<File> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: fcntl(2) with F_GETFD has no preconditions.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and borrowed only until it is duplicated. Nobody else in this process closes it.
    let passed = unsafe { BorrowedFd::borrow_raw(number) };
    passed.try_clone_to_owned().map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_descriptor_stays_the_parents() {
        let passed = tempfile::tempfile().unwrap();
        passed.write_all_at(b"core", 0).unwrap();
        drop(file(passed.as_raw_fd()).unwrap());
        let mut bytes = [0; 4];
        file(passed.as_raw_fd()).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"core");
    }

    #[test]
    fn what_is_not_open_is_an_error() {
        for number in [-1, 1_000_000] {
            assert_eq!(file(number).unwrap_err().raw_os_error(), Some(libc::EBADF));
        }
    }
}
