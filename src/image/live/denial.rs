//! Why a running kernel cannot be read or written, and what to do.

use super::Device;

/// What could be seen when the system said no.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed<'a> {
    /// What was to be opened or read.
    pub(super) device: Device,
    /// Whether there is a /proc/kcore.
    pub(super) kcore: bool,
    /// It was to be written too.
    pub(super) write: bool,
    /// The system's answer, an errno; none where it opened, and holds nothing.
    pub(super) errno: Option<i32>,
    /// Whether it opened, and only cannot be read.
    pub(super) opened: bool,
    /// Whether we are root.
    pub(super) root: bool,
    /// Whether we have CAP_SYS_RAWIO, where that is known.
    pub(super) rawio: Option<bool>,
    /// What /sys/kernel/security/lockdown holds, where it can be read: `none integrity [confidentiality]`.
    pub(super) lockdown: Option<&'a str>,
}

const AS_ROOT: &str = "only root may open it: run this with sudo, or have a privileged parent open /proc/kcore and pass \
                       the descriptor on (kgdbserver --kcore-fd 3 3</proc/kcore)";
const TO_WRITE: &str = "only root may write it: run this with sudo";
const RAWIO: &str = "the capability CAP_SYS_RAWIO is missing, as in most containers: run this on the host, or give the \
                     container the capability (docker run --cap-add SYS_RAWIO, with /proc not masked)";
const STRICT: &str = "the kernel keeps its memory out of /dev/mem (CONFIG_STRICT_DEVMEM): use /proc/kcore";
/// So are Debian's kernels for 32-bit arm.
const NEITHER: &str = "the kernel keeps its memory out of /dev/mem (CONFIG_STRICT_DEVMEM), and was built without /proc/kcore \
                       (CONFIG_PROC_KCORE): take a dump with kdump";
const STRICT_TO_WRITE: &str = "the kernel keeps its memory out of /dev/mem (CONFIG_STRICT_DEVMEM), as nearly all kernels \
                               do: it can be read, and not be written. --overlay changes what a debugger sees; a virtual \
                               machine's memory is written from outside (--write on its memory-backend-file)";

/// The reason, and what to do about it.
pub(super) fn explain(observed: &Observed<'_>) -> String {
    let mem = observed.device == Device::Mem;
    let locked = observed.lockdown.and_then(lockdown);
    let (read, instead) = match observed.write {
        true => ("writes", ""),
        false => ("reads", ", or take a dump with kdump"),
    };
    match (observed.errno, observed.opened) {
        (None, _) => "it is empty: a container's runtime has put /dev/null over it. Run this on the host".into(),
        (Some(libc::EBADF), _) => {
            "no such descriptor is open: pass it on (3</proc/kcore), and name its number (--kcore-fd 3)".into()
        }
        (Some(libc::ENOENT | libc::ENXIO | libc::ENODEV), _) => format!(
            "there is none: the kernel was built without it ({}), or the file system is not mounted",
            if mem { "CONFIG_DEVMEM" } else { "CONFIG_PROC_KCORE" }
        ),
        (Some(libc::EACCES), false) if !observed.root => (if observed.write { TO_WRITE } else { AS_ROOT }).into(),
        (Some(libc::EPERM), true) if mem => match (observed.write, observed.kcore) {
            (true, _) => STRICT_TO_WRITE.into(),
            (_, true) => STRICT.into(),
            (_, false) => NEITHER.into(),
        },
        (Some(libc::EPERM | libc::EACCES), _) => match (observed.rawio, locked) {
            (Some(false), _) => RAWIO.into(),
            (_, Some(level)) => format!(
                "the kernel is locked down ({level}), so that not even root {read} its memory. Boot it without lockdown= \
                 (where Secure Boot turns that on, without Secure Boot){instead}"
            ),
            _ => "denied to root: by a lockdown of the kernel (see /sys/kernel/security/lockdown), by a security module (see \
                  the audit log), or by a container's rules for devices"
                .into(),
        },
        (Some(errno), _) => format!("{}", std::io::Error::from_raw_os_error(errno)),
    }
}

/// The level that is chosen; none if none is.
fn lockdown(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(level, _)| level).filter(|level| *level != "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Observed<'_> = Observed {
        device: Device::Kcore,
        kcore: true,
        write: false,
        errno: Some(libc::EPERM),
        opened: false,
        root: true,
        rawio: Some(true),
        lockdown: None,
    };

    #[track_caller]
    fn says(observed: &Observed<'_>, reason: &str) {
        let text = explain(observed);
        assert!(text.contains(reason), "{text}");
    }

    #[test]
    fn each_denial_has_its_reason() {
        let user = Observed { errno: Some(libc::EACCES), root: false, rawio: Some(false), ..ROOT };
        says(&user, "only root may open it");
        says(&Observed { rawio: Some(false), ..ROOT }, "CAP_SYS_RAWIO is missing");
        says(&Observed { lockdown: Some("none integrity [confidentiality]\n"), ..ROOT }, "(confidentiality)");
        says(&Observed { lockdown: Some("[none] integrity confidentiality\n"), ..ROOT }, "security module");
        says(&Observed { errno: Some(libc::ENOENT), ..ROOT }, "CONFIG_PROC_KCORE");
        says(&Observed { errno: Some(libc::EBADF), device: Device::Descriptor(9), ..ROOT }, "--kcore-fd 3");
        says(&Observed { errno: None, opened: true, ..ROOT }, "a container's runtime");
        says(&Observed { errno: Some(libc::EIO), ..ROOT }, "Input/output error");
    }

    #[test]
    fn a_missing_capability_counts_before_a_lockdown() {
        let lockdown = Some("none [integrity] confidentiality");
        says(&Observed { rawio: Some(false), lockdown, ..ROOT }, "CAP_SYS_RAWIO is missing");
    }

    #[test]
    fn dev_mem_opens_and_cannot_be_read() {
        let mem = Observed { device: Device::Mem, ..ROOT };
        says(&Observed { opened: true, ..mem }, "(CONFIG_STRICT_DEVMEM): use /proc/kcore");
        says(&Observed { opened: true, kcore: false, ..mem }, "take a dump with kdump");
        says(&Observed { lockdown: Some("none [integrity] confidentiality"), ..mem }, "(integrity)");
        says(&Observed { errno: Some(libc::ENOENT), ..mem }, "CONFIG_DEVMEM");
    }

    #[test]
    fn what_may_be_read_may_not_be_written() {
        let mem = Observed { device: Device::Mem, write: true, ..ROOT };
        says(&Observed { opened: true, ..mem }, "it can be read, and not be written");
        says(&Observed { errno: Some(libc::EACCES), root: false, ..mem }, "only root may write it");
        says(&Observed { rawio: Some(false), ..mem }, "CAP_SYS_RAWIO is missing");
        says(&mem, "a container's rules for devices");
        let locked = Observed { lockdown: Some("none [integrity] confidentiality"), ..mem };
        says(&locked, "(integrity), so that not even root writes its memory");
    }
}
