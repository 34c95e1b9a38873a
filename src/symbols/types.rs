//! Types of the kernel: where the members of its structures lie.
//!
//! A source of type information (BTF, CTF, DWARF) only decodes: it is a [`Graph`] of types. Everything that walks the graph,
//! members of members, anonymous unions, typedefs, arrays, stands in `member.rs`, once for all sources. A further source
//! is one file and a row in [`SOURCES`].

pub(super) mod declared;
mod graph;
mod inflate;
mod member;
mod names;

pub use member::{Bits, Member};

pub(super) use graph::{Field, Graph, MEMBER_LIMIT, Opened, Ref, Scalar, Shape};
pub(super) use inflate::inflate;
pub(super) use names::{Names, Space, name_at};

use super::{KernelFile, btf, ctf, dwarf};
use crate::{Error, Result};
use declared::Declarations;
use member::{measure, member};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The types of a kernel, from its file and the files of debugging information that belong to it.
///
/// Nothing is read before the first question.
#[derive(Default)]
pub struct Types {
    sources: Vec<Source>,
    answers: Answers,
}

/// Members that were asked for: a walk over a list asks the same of every element. They are kept by a keyed hash of the
/// question, as [`Names`] are.
#[derive(Default)]
struct Answers {
    key: RandomState,
    known: Mutex<HashMap<u64, Option<Member>>>,
}

/// A kind of type information.
struct Kind {
    name: &'static str,
    /// None if the file has nothing of this kind.
    open: fn(&KernelFile) -> Option<Opened>,
}

/// Every kind, the preferred first: BTF and CTF are a hundredth of DWARF's size, and made from it.
static SOURCES: &[Kind] = &[
    Kind { name: btf::NAME, open: btf::open },
    Kind { name: "CTF", open: ctf::open },
    Kind { name: "DWARF", open: dwarf::open },
];

/// One kind of type information in one file, opened on first use.
struct Source {
    name: &'static str,
    graph: LazyLock<Option<Arc<dyn Graph>>, Opener>,
}

type Opener = Box<dyn FnOnce() -> Option<Arc<dyn Graph>> + Send>;

impl Types {
    /// The types of one source.
    pub(super) fn of_graph(name: &'static str, graph: Arc<dyn Graph>) -> Self {
        Self { sources: vec![Source::new(name, Box::new(|| Some(graph)))], ..Self::default() }
    }

    /// The types that a kernel file describes.
    pub fn of(file: Arc<KernelFile>) -> Self {
        Self::default().with_debug_file(file)
    }

    /// Asks a file of debugging information as well, for what the files before it do not know.
    #[must_use]
    pub fn with_debug_file(mut self, file: Arc<KernelFile>) -> Self {
        let source = |kind: &'static Kind| {
            let file = Arc::clone(&file);
            Source::new(kind.name, Box::new(move || kind.read(&file)))
        };
        self.sources.extend(SOURCES.iter().map(source));
        self
    }

    /// Asks BTF from elsewhere as well, for what no BTF before it knows: from the image's memory, or a copy of
    /// `/sys/kernel/btf/vmlinux`. `read` is called when that is needed, at most once.
    #[must_use]
    pub fn with_btf(mut self, read: impl FnOnce() -> Option<Vec<u8>> + Send + 'static) -> Self {
        let before = self.sources.iter().take_while(|source| source.name == btf::NAME).count();
        let open = move || {
            let warn = |error: &Error| log::warn!("the BTF of the image is not used: {error}");
            btf::parse(read()?).inspect_err(warn).ok().map(Arc::from)
        };
        self.sources.insert(before, Source::new(btf::NAME, Box::new(open)));
        self
    }

    /// The types of a module, from its own BTF, and those of the kernel, which that builds on.
    ///
    /// # Errors
    /// The kernel has no BTF, or the module's is corrupt.
    pub fn of_module(&self, btf: Vec<u8>) -> Result<Self> {
        let kernel =
            self.sources.iter().find_map(|source| Some((source.name, Arc::clone(source.graph.as_ref()?))));
        let missing = || Error::Unsupported("a module's BTF is of no use without the kernel's".into());
        let (name, kernel) = kernel.ok_or_else(missing)?;
        let module = Arc::clone(&kernel).continued(btf).ok_or_else(missing)??;
        let source = |graph| Source::new(name, Box::new(|| Some(graph)));
        Ok(Self { sources: vec![source(Arc::from(module)), source(kernel)], ..Self::default() })
    }

    /// A member of a structure or union, by the structure's tag or a typedef of it. The path goes through structures that
    /// lie inside (`p_vmspace.vm_map`), never through pointers; members of anonymous ones are found like the others.
    ///
    /// None if there is no such member, or nothing is known of the structure. The first source that knows the structure
    /// has the last word.
    pub fn member(&self, structure: &str, path: &str) -> Option<Member> {
        // With another source there may be another answer.
        let question = self.answers.key.hash_one((structure, path, self.sources.len()));
        self.answers.get(question, || {
            let (graph, ty) = self.named(structure)?;
            member(graph, ty, path)
        })
    }

    /// As [`Types::member`], for a member that there is no doing without.
    ///
    /// # Errors
    /// It is missing; the text names it.
    pub fn require(&self, structure: &str, path: &str) -> Result<Member> {
        self.first_of(structure, &[path])
    }

    /// As [`Types::require`], for a member that had other names in other releases: the first that there is.
    ///
    /// # Errors
    /// All are missing; the text names them.
    pub fn first_of(&self, structure: &str, paths: &[&str]) -> Result<Member> {
        let missing = || {
            let wanted = format!("{structure}.{} is needed", paths.join(" or "));
            match self.source() {
                "none" => format!(
                    "{wanted}, and the kernel has no type information: name its kernel.debug or vmlinux"
                ),
                source => format!("{wanted}, and the kernel's {source} has no such member"),
            }
        };
        let mut members = paths.iter().filter_map(|path| self.member(structure, path));
        members.next().ok_or_else(|| Error::Unsupported(missing()))
    }

    /// The bytes of a structure, a union, an enum or a typedef.
    pub fn size_of(&self, name: &str) -> Option<u64> {
        let (graph, ty) = self.named(name)?;
        measure(graph, ty)?.size()
    }

    /// The value of an enumerator, by its own name alone.
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        self.graphs().find_map(|graph| graph.enumerator(name))
    }

    /// The kind of type information that is asked first, or "none".
    pub fn source(&self) -> &'static str {
        let first = self.sources.iter().find(|source| source.graph().is_some());
        first.map_or("none", |source| source.name)
    }

    /// The first source that can be gone through whole, and what kind it is.
    pub(super) fn declarations(&self) -> Option<(&'static str, &dyn Declarations)> {
        self.sources.iter().find_map(|source| Some((source.name, source.graph()?.declarations()?)))
    }

    /// Every source that there is, up to the first one that leaves nothing to the others.
    fn graphs(&self) -> impl Iterator<Item = &dyn Graph> {
        let mut graphs = self.sources.iter().filter_map(Source::graph);
        let mut whole = false;
        std::iter::from_fn(move || {
            let graph = if whole { None } else { graphs.next() }?;
            whole = graph.is_whole();
            Some(graph)
        })
    }

    fn named(&self, name: &str) -> Option<(&dyn Graph, Ref)> {
        self.graphs().find_map(|graph| Some((graph, graph.named(name)?)))
    }
}

impl Answers {
    fn get(&self, question: u64, find: impl FnOnce() -> Option<Member>) -> Option<Member> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known().get(&question) {
            return *answer;
        }
        let answer = find();
        known().insert(question, answer);
        answer
    }
}

impl Source {
    fn new(name: &'static str, open: Opener) -> Self {
        Self { name, graph: LazyLock::new(open) }
    }

    fn graph(&self) -> Option<&dyn Graph> {
        self.graph.as_deref()
    }
}

impl Kind {
    fn read(&self, file: &KernelFile) -> Option<Arc<dyn Graph>> {
        let path = file.source().path().display();
        match (self.open)(file)? {
            Ok(graph) => {
                log::debug!("{path}: types from {}", self.name);
                Some(Arc::from(graph))
            }
            Err(error) => {
                log::warn!("{path}: its {} is not used: {error}", self.name);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
