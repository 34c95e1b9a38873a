//! Which of the arguments are the kernel and the image.

use super::{Failure, Named, ending};
use kgdbserver::image::live::{Device, User};
use kgdbserver::image::{self, Settings, Store};
use kgdbserver::kernel::Hints;
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver::qmp::Qmp;
use kgdbserver::symbols;
use kgdbserver_arch::Pa;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The status of a shell's command that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// The files of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) kernel: Option<PathBuf>,
    pub(super) image: Option<PathBuf>,
    /// Further files of an image that was split.
    pub(super) parts: Vec<PathBuf>,
}

/// What a file is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Kernel,
    Image,
    /// An image, or one of the files of an image that was split.
    Part,
    Other,
}

impl Files {
    /// Takes the files from the front of `arguments`; returns what follows them. Arguments are files as long as they
    /// name something that exists, there is room for another file (files of a split image have room always), and `keep`
    /// arguments are left.
    pub(super) fn take(
        named: &Named,
        arguments: &[OsString],
        keep: usize,
    ) -> Result<(Self, Vec<OsString>), Failure> {
        let (image, found_kernel) = match named.wrapping.find()? {
            Some(found) => (Some(found.image), found.kernel),
            None => (named.image(), None),
        };
        let mut files = Self { kernel: named.kernel.as_ref().map(PathBuf::from), image, parts: Vec::new() };
        let candidates = arguments.len().saturating_sub(keep);
        let is_file = |argument: &&OsString| Path::new(argument).exists();
        let room = files.room();
        let is_part = |argument: &&OsString| matches!(content(Path::new(argument)), Ok(Content::Part));
        let existing = arguments.iter().take(candidates).take_while(is_file);
        let parts = existing.clone().skip(room).take_while(is_part).count();
        let (paths, rest) = arguments.split_at(existing.take(room).count() + parts);
        files.sort(paths)?;
        files.kernel = files.kernel.or(found_kernel);
        if files.image.is_some() {
            return Ok((files, rest.to_vec()));
        }
        Err(match (rest.first().filter(|_| rest.len() > keep || keep == 0), &files.kernel) {
            (Some(missing), _) => Failure::Usage(format!("{}: no such file", missing.display())),
            (None, Some(kernel)) => {
                Failure::Usage(format!("{} is a kernel; name the image too", kernel.display()))
            }
            (None, None) => Failure::Usage("name the image to open (and its kernel, if you have it)".into()),
        })
    }

    /// The files, where nothing may follow them.
    pub(super) fn only(named: &Named, arguments: &[OsString]) -> Result<Self, Failure> {
        let (files, rest) = Self::take(named, arguments, 0)?;
        match rest.first() {
            None => Ok(files),
            Some(extra) if Path::new(extra).exists() => {
                Err(Failure::Usage(format!("{}: one kernel and one image are enough", extra.display())))
            }
            Some(missing) => Err(Failure::Usage(format!("{}: no such file", missing.display()))),
        }
    }

    fn room(&self) -> usize {
        usize::from(self.kernel.is_none()) + usize::from(self.image.is_none())
    }

    /// Puts each file in its place; what is not recognised gets the place that is left.
    fn sort(&mut self, paths: &[OsString]) -> Result<(), Failure> {
        let known = |path: PathBuf| Ok((content(&path)?, path));
        let mut known: Vec<_> = paths.iter().map(PathBuf::from).map(known).collect::<Result<_, Failure>>()?;
        let parts_only = self.image.is_none() && !known.iter().any(|(content, _)| *content == Content::Image);
        known.sort_by_key(|(content, _)| *content == Content::Other);
        for (content, path) in known {
            let place = match (content, self.kernel.is_some(), self.image.is_some()) {
                (Content::Kernel, false, _) | (Content::Other, false, true) => &mut self.kernel,
                (Content::Image | Content::Part | Content::Other, _, false) => &mut self.image,
                (Content::Part, _, true) if parts_only => {
                    self.parts.push(path);
                    continue;
                }
                (Content::Kernel, true, _) => {
                    return Err(Failure::Usage(format!("{}: a second kernel file", path.display())));
                }
                _ => return Err(Failure::Usage(format!("{}: a second image", path.display()))),
            };
            *place = Some(path);
        }
        Ok(())
    }

    /// Opens them, and says on stderr what is to be known about them.
    pub(super) fn open(&self, named: &Named) -> Result<Kvm, Failure> {
        Ok(self.open_as(named, false)?.held_still()?)
    }

    /// The same, perhaps for writing too. A guest is held still for single questions only.
    pub(super) fn open_as(&self, named: &Named, write: bool) -> Result<Kvm, Failure> {
        let image = self.image.as_deref().ok_or_else(|| Failure::Usage("no image".into()))?;
        let user = User::find(named.user.as_deref());
        let qmp = named.qmp.as_deref().map(Qmp::new).transpose()?.map(Arc::new);
        if let Some(qmp) = qmp.clone().filter(|_| named.pause) {
            ending::on_signal(move || {
                qmp.let_go();
                std::process::exit(INTERRUPTED);
            })?;
        }
        let options = Options {
            kernel: self.kernel.clone(),
            btf: named.btf.clone(),
            resolver: None,
            write,
            qmp,
            pause: named.pause,
            force: named.force,
            image: Settings { parts: self.parts.clone(), ..named.wrapping.settings() },
            raw_memory: named.raw_memory.clone(),
            hints: Hints {
                vmcoreinfo: named.vmcoreinfo.clone(),
                vmcoreinfo_at: named.vmcoreinfo_at.map(Pa),
                ..Hints::default()
            },
        };
        let kvm = Kvm::open_with(image, options)?;
        // The socket is connected to again and again, which another user may not do.
        if kvm.is_live() && named.qmp.is_none() {
            // What it takes from files of the system it reads now.
            let _ = kvm.kernel();
            user?.become_it()?;
        }
        kvm.set_user_registers(named.user_regs);
        kvm.image().warnings.iter().for_each(|warning| log::warn!("{}: {warning}", image.display()));
        match kvm.verdict() {
            kgdbserver::verify::Verdict::Forced(text) => log::warn!("forced: {text}"),
            kgdbserver::verify::Verdict::Unverified if self.kernel.is_some() => log::warn!(
                "the kernel file could not be compared with the image (one of them lacks the bytes): if names lead to \
                 nonsense, it is the wrong kernel"
            ),
            _ => {}
        }
        Ok(kvm)
    }
}

fn content(path: &Path) -> Result<Content, Failure> {
    if path.is_dir() {
        return Ok(Content::Image);
    }
    if Device::named(path).is_some() {
        return Ok(Content::Image);
    }
    let store = Store::open(path)?;
    Ok(match () {
        () if symbols::is_kernel(&store) => Content::Kernel,
        () if image::may_be_part(&store) => Content::Part,
        () if image::is_image(&store) => Content::Image,
        () => Content::Other,
    })
}
