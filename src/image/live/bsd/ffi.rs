//! The system calls.

use super::system::System;
use super::{Flavour, open};
use crate::Result;
use crate::image::live::{Device, Live};
use libc::{c_char, c_int, c_uint, c_ulong, c_void, size_t};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::ptr;
use std::sync::Arc;

#[cfg(target_os = "dragonfly")]
use super::dragonfly::DRAGONFLY as FLAVOUR;
#[cfg(target_os = "freebsd")]
use super::freebsd::FREEBSD as FLAVOUR;

/// Opens the kernel that we run on.
pub(in crate::image::live) fn open_running(device: Device, write: bool) -> Result<Live> {
    let flavour: &'static Flavour = &FLAVOUR;
    open::open(Arc::new(Calls), flavour, device, write)
}

/// No node has more numbers (CTL_MAXNAME).
const NUMBERS: usize = 24;
/// No device has a longer name (SPECNAMELEN, 63 until 13).
const NAME_BYTES: u8 = 255;
const KLDSYM_LOOKUP: c_int = 1;

/// `struct kld_sym_lookup` of sys/linker.h, which libc lacks.
#[repr(C)]
struct Lookup {
    /// Bytes of the structure.
    version: c_int,
    name: *const c_char,
    value: c_ulong,
    size: size_t,
}

unsafe extern "C" {
    /// kldsym(2).
    fn kldsym(file: c_int, command: c_int, data: *mut c_void) -> c_int;
}

struct Calls;

fn done(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl System for Calls {
    fn sysctl(&self, mib: &[i32], buf: &mut [u8]) -> io::Result<usize> {
        let mut len: size_t = buf.len();
        let into = if buf.is_empty() { ptr::null_mut() } else { buf.as_mut_ptr().cast() };
        // SAFETY: `mib` has as many numbers and `into` room for as many bytes as is said; without room it is null, which asks
        // for the size. Nothing is set.
        done(unsafe { libc::sysctl(mib.as_ptr(), mib.len() as c_uint, into, &raw mut len, ptr::null(), 0) })?;
        Ok(len)
    }

    fn mib(&self, name: &str) -> io::Result<Vec<i32>> {
        let name = CString::new(name)?;
        let mut mib = vec![0; NUMBERS];
        let mut count: size_t = mib.len();
        // SAFETY: the name ends with a NUL, and there is room for as many numbers as is said.
        done(unsafe { libc::sysctlnametomib(name.as_ptr(), mib.as_mut_ptr(), &raw mut count) })?;
        mib.truncate(count);
        Ok(mib)
    }

    fn kldsym(&self, name: &str) -> Option<(u64, u64)> {
        let name = CString::new(name).ok()?;
        let version = c_int::try_from(size_of::<Lookup>()).ok()?;
        let mut lookup = Lookup { version, name: name.as_ptr(), value: 0, size: 0 };
        // SAFETY: it is such a structure, of the size that it tells; the name ends with a NUL and outlives the call. File 0
        // stands for all that are loaded.
        let result = unsafe { kldsym(0, KLDSYM_LOOKUP, (&raw mut lookup).cast()) };
        (result == 0).then_some((lookup.value as u64, lookup.size as u64))
    }

    fn device_name(&self, device: u64) -> Option<String> {
        let mut name = [0_u8; NAME_BYTES as usize];
        let at = name.as_mut_ptr().cast::<c_char>();
        // SAFETY: there is room for as many bytes as is said.
        let found = unsafe { libc::devname_r(device as libc::dev_t, libc::S_IFCHR, at, NAME_BYTES.into()) };
        let text = CStr::from_bytes_until_nul(&name).ok().filter(|_| !found.is_null())?;
        Some(crate::kernel::text(text.to_bytes()))
    }

    fn open(&self, path: &str, write: bool) -> io::Result<File> {
        File::options().read(true).write(write).open(path)
    }

    fn is_root(&self) -> bool {
        // SAFETY: geteuid(2) has no preconditions.
        unsafe { libc::geteuid() == 0 }
    }
}

/// The tables of members were written from the systems' headers; libc's own idea of the structures must be the same.
macro_rules! agree {
    ($layout:expr, $base:expr, $structure:ty: $($member:ident)*) => {
        $(const _: () = assert!($layout.offset(stringify!($member)) == $base + std::mem::offset_of!($structure, $member));)*
    };
}

#[cfg(all(target_os = "freebsd", target_pointer_width = "64"))]
mod layout {
    use super::super::freebsd::KINFO;

    const _: () = assert!(KINFO.bytes == size_of::<libc::kinfo_proc>());
    agree! { KINFO, 0, libc::kinfo_proc:
    ki_args ki_paddr ki_textvp ki_fd ki_vmspace ki_wchan ki_pid ki_ppid ki_pgid ki_tpgid ki_sid ki_tsid ki_siglist
    ki_sigmask ki_sigignore ki_sigcatch ki_uid ki_ruid ki_svuid ki_rgid ki_svgid ki_ngroups ki_groups ki_size ki_rssize
    ki_swrss ki_tsize ki_dsize ki_ssize ki_xstat ki_acflag ki_swtime ki_runtime ki_flag ki_kiflag ki_traceflag ki_stat
    ki_nice ki_lock ki_tdname ki_wmesg ki_login ki_lockname ki_comm ki_emul ki_moretdname ki_tdev ki_oncpu ki_lastcpu
    ki_cr_flags ki_jid ki_numthreads ki_tid ki_pri ki_rusage ki_tdaddr }
}

#[cfg(target_os = "dragonfly")]
mod layout {
    use super::super::dragonfly::{KINFO, LWP};

    const _: () = assert!(KINFO.bytes == size_of::<libc::kinfo_proc>());
    const _: () = assert!(LWP == std::mem::offset_of!(libc::kinfo_proc, kp_lwp));
    agree! { KINFO, 0, libc::kinfo_proc:
    kp_paddr kp_flags kp_stat kp_lock kp_acflag kp_traceflag kp_fd kp_sigignore kp_sigcatch kp_comm kp_uid kp_ngroups
    kp_groups kp_ruid kp_svuid kp_rgid kp_svgid kp_pid kp_ppid kp_pgid kp_sid kp_login kp_tdev kp_tpgid kp_tsid
    kp_exitstat kp_nthreads kp_nice kp_swtime kp_vm_map_size kp_vm_rssize kp_vm_swrss kp_vm_tsize kp_vm_dsize
    kp_vm_ssize kp_jailid kp_ru kp_auxflags }
    agree! { KINFO, LWP, libc::kinfo_lwp:
    kl_tid kl_stat kl_tdflags kl_cpuid kl_siglist kl_sigmask kl_wchan kl_wmesg kl_comm }
}
