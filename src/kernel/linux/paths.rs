//! Paths of files, by the directory entries that lead to them.

use crate::Result;
use crate::kernel::fields::{Fields, bad};
use crate::kernel::text;
use kgdbserver_arch::Va;

/// `PATH_MAX`: what is longer the kernel does not show either.
const LIMIT: u64 = 4096;
/// A path of that length has no more parts; mounts on mounts are some more.
const PART_LIMIT: usize = 4096;

/// File systems without directories, by their names, and how the names of what is in them begin.
static NUMBERED: &[(&str, &str)] = &[("pipefs", "pipe"), ("sockfs", "socket")];

/// What is in no directory, and was not deleted from one.
enum Nameless {
    /// `pipe:[1234]`
    Numbered(&'static str),
    /// `anon_inode:[eventpoll]`, by the name that the entry has.
    Anonymous,
    /// `anon_inode:[pidfd]`: the entry has none.
    Process,
    /// `mnt:[4026531840]`
    Namespace,
    /// Memory that looks like a file: `/memfd:NAME (deleted)`.
    Memory,
}

impl Nameless {
    fn of(file_system: &str) -> Self {
        match (file_system, NUMBERED.iter().find(|(name, _)| *name == file_system)) {
            (_, Some((_, prefix))) => Self::Numbered(prefix),
            ("anon_inodefs", _) => Self::Anonymous,
            ("pidfs", _) => Self::Process,
            ("nsfs", _) => Self::Namespace,
            _ => Self::Memory,
        }
    }
}

/// What `/proc/PID/fd` shows of an open file, seen from the root of its mount namespace.
pub(super) fn of_file(fields: &Fields<'_>, file: Va) -> Result<String> {
    let mount = fields.pointer(file, "file", "f_path.mnt")?;
    let entry = fields.pointer(file, "file", "f_path.dentry")?;
    let is_root = fields.pointer(entry, "dentry", "d_parent")? == entry;
    if is_root && fields.pointer(mount, "vfsmount", "mnt_root")? != entry {
        return nameless(fields, entry);
    }
    let deleted = !is_root && fields.pointer(entry, "dentry", "d_hash.pprev")? == Va(0);
    let path = from_root(fields, mount, entry)?;
    Ok(if deleted { path + " (deleted)" } else { path })
}

/// The name of the file system that an entry lies in.
pub(super) fn file_system(fields: &Fields<'_>, entry: Va) -> Result<String> {
    let super_block = fields.pointer(entry, "dentry", "d_sb")?;
    fields.text(fields.pointer(super_block, "super_block", "s_type")?, "file_system_type", "name")
}

fn nameless(fields: &Fields<'_>, entry: Va) -> Result<String> {
    let inode = fields.pointer(entry, "dentry", "d_inode")?;
    let numbered = |prefix: &str| Ok(format!("{prefix}:[{}]", fields.uint(inode, "inode", "i_ino")?));
    match Nameless::of(&file_system(fields, entry)?) {
        Nameless::Numbered(prefix) => numbered(prefix),
        Nameless::Anonymous => Ok(format!("anon_inode:{}", name(fields, entry)?)),
        Nameless::Process => Ok("anon_inode:[pidfd]".into()),
        Nameless::Memory => Ok(format!("/{} (deleted)", name(fields, entry)?)),
        Nameless::Namespace => {
            let namespace = fields.pointer(inode, "inode", "i_private")?;
            let operations = fields.pointer(namespace, "ns_common", "ops")?;
            numbered(&fields.text(operations, "proc_ns_operations", "name")?)
        }
    }
}

/// Goes up from an entry, and on from a mount's root to where it is mounted.
fn from_root(fields: &Fields<'_>, mount: Va, entry: Va) -> Result<String> {
    let in_mount = fields.member("mount", "mnt")?.offset;
    let (mut mount, mut entry) = (mount, entry);
    let (mut parts, mut length) = (Vec::new(), 0);
    for _ in 0..PART_LIMIT {
        let parent = fields.pointer(entry, "dentry", "d_parent")?;
        if entry != parent && entry != fields.pointer(mount, "vfsmount", "mnt_root")? {
            let name = name(fields, entry)?;
            length += name.len() as u64 + 1;
            if length > LIMIT {
                break;
            }
            parts.push(name);
            entry = parent;
            continue;
        }
        let here = Va(mount.0.wrapping_sub(in_mount));
        let below = fields.pointer(here, "mount", "mnt_parent")?;
        if below == here {
            parts.push(String::new());
            parts.reverse();
            return Ok(if parts.len() == 1 { "/".into() } else { parts.join("/") });
        }
        entry = fields.pointer(here, "mount", "mnt_mountpoint")?;
        mount = Va(below.0.wrapping_add(in_mount));
    }
    Err(bad("dentry", entry, "its path is too long"))
}

fn name(fields: &Fields<'_>, entry: Va) -> Result<String> {
    let length = fields.uint(entry, "dentry", "d_name.len")?;
    if length > LIMIT {
        return Err(bad("dentry", entry, format!("its name has {length} bytes")));
    }
    let mut bytes = vec![0; length as usize];
    fields.mem.read_exact(fields.pointer(entry, "dentry", "d_name.name")?, &mut bytes)?;
    Ok(text(&bytes))
}
