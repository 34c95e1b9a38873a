//! Privileges, which are needed to open a running kernel, and for nothing after that.

use crate::{Error, Result};
use std::io;
use std::path::PathBuf;

/// Whom the server runs as once the kernel is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    uid: libc::uid_t,
    gid: libc::gid_t,
    home: Option<PathBuf>,
}

impl User {
    /// The user of a name or a number. Without one: who called sudo(8), or nobody.
    ///
    /// # Errors
    /// There is no such user.
    pub fn find(name: Option<&str>) -> Result<Self> {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let sudo = std::env::var("SUDO_UID").ok();
        Self::among(&passwd, name, sudo.as_deref())
    }

    fn among(passwd: &str, name: Option<&str>, sudo: Option<&str>) -> Result<Self> {
        const NOBODY: libc::uid_t = 65534;
        let entry = |wanted: &str| {
            passwd.lines().find_map(|line| {
                // NAME:PASSWORD:UID:GID:COMMENT:HOME:SHELL
                let fields: Vec<&str> = line.split(':').collect();
                let (name, uid, gid) = (fields.first()?, fields.get(2)?, fields.get(3)?);
                let home = fields.get(5).map(PathBuf::from);
                let user = Self { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home };
                [*name, *uid].contains(&wanted).then_some(user)
            })
        };
        let nobody = || Self { uid: NOBODY, gid: NOBODY, home: None };
        match name {
            Some(name) => {
                entry(name).ok_or_else(|| Error::Usage(format!("{name}: no such user in /etc/passwd")))
            }
            None => Ok(sudo.and_then(entry).or_else(|| entry("nobody")).unwrap_or_else(nobody)),
        }
    }

    /// Becomes this user for good, if we are root; everybody else stays who they are, without the capabilities that they may
    /// have. To be called before there are other threads.
    ///
    /// # Errors
    /// The system refuses. Then we are still root, and had better end.
    pub fn become_it(&self) -> Result<()> {
        let refused = |error| Error::io("dropping privileges")(error);
        let done = |result: libc::c_int| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
        // SAFETY: geteuid(2) has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            return drop_capabilities().map_err(refused);
        }
        if self.uid == 0 {
            return Ok(());
        }
        // SAFETY: the calls have no preconditions; the group list is empty, so its address is not used. The environment is
        // changed while there is no other thread, as our caller must see to.
        unsafe {
            done(libc::setgroups(0, std::ptr::null()))
                .and_then(|()| done(libc::setgid(self.gid)))
                .and_then(|()| done(libc::setuid(self.uid)))
                .map_err(refused)?;
            // Who can become root again has dropped nothing.
            if libc::setuid(0) == 0 {
                return Err(refused(io::ErrorKind::PermissionDenied.into()));
            }
            // Root's folders are no place for files of ours any more.
            std::env::remove_var("XDG_CACHE_HOME");
            match &self.home {
                Some(home) => std::env::set_var("HOME", home),
                None => std::env::remove_var("HOME"),
            }
        }
        log::info!("privileges dropped: user {}, group {}", self.uid, self.gid);
        Ok(())
    }
}

/// Gives up all capabilities of this thread: a program may have been given some (setcap(8)).
#[cfg(target_os = "linux")]
fn drop_capabilities() -> io::Result<()> {
    // struct __user_cap_header_struct: the version with 64 bits, and this thread; none of the sets has any bit.
    let (header, sets) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    // SAFETY: both are as large as this version of the call takes them for.
    match unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn drop_capabilities() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          nobody:x:99:98:nobody:/nonexistent:/bin/false\n\
                          alice:x:1000:1001:Alice:/home/alice:/bin/sh\n\
                          broken:x\n";

    fn uid(passwd: &str, name: Option<&str>, sudo: Option<&str>) -> Option<libc::uid_t> {
        User::among(passwd, name, sudo).ok().map(|user| user.uid)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn no_capability_is_left() {
        // They are each thread's own.
        let status = std::thread::spawn(|| {
            drop_capabilities().unwrap();
            std::fs::read_to_string("/proc/thread-self/status").unwrap()
        });
        let status = status.join().unwrap();
        for set in ["CapEff", "CapPrm", "CapInh"] {
            assert!(status.contains(&format!("{set}:\t0000000000000000\n")), "{status}");
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        let alice = User::among(PASSWD, Some("alice"), None).unwrap();
        assert_eq!(alice, User { uid: 1000, gid: 1001, home: Some("/home/alice".into()) });
        assert_eq!(uid(PASSWD, Some("1000"), None), Some(1000));
        assert_eq!(uid(PASSWD, Some("broken"), None), None);
        assert_eq!(uid(PASSWD, Some("bob"), Some("1000")), None);
    }

    #[test]
    fn without_a_name_it_is_who_called_sudo_or_nobody() {
        assert_eq!(uid(PASSWD, None, Some("1000")), Some(1000));
        assert_eq!(uid(PASSWD, None, None), Some(99));
        assert_eq!(uid("", None, None), Some(65534));
    }
}
