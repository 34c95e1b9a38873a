//! Types of the kernel: where the members of its structures lie.
//!
//! A source of type information (BTF, CTF, DWARF) only decodes: it is a [`Graph`] of types. Everything that walks the graph,
//! members of members, anonymous unions, typedefs, arrays, stands here, once for all sources. A further source is one
//! file and a row in [`SOURCES`].

use super::{KernelFile, btf, ctf, dwarf};
use crate::{Error, Result};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Typedefs, qualifiers and arrays in a row: what goes deeper is a cycle.
const CHAIN: usize = 64;
/// Structures looked through for one member: the largest of real kernels has fewer than a hundred anonymous parts.
const PARTS: usize = 1024;
/// A structure with more members is not believed.
pub(super) const MEMBER_LIMIT: usize = 1 << 16;
/// Longer names are not believed.
const NAME_LIMIT: usize = 512;

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

/// Where a member lies in its structure, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the structure. For a bit field, to the first byte that holds some of it.
    pub offset: u64,
    /// Bytes in all; 0 for a flexible array. For a bit field, the bytes that hold some of it: 1 to 9.
    pub size: u64,
    /// Which of the bits, for a bit field.
    pub bits: Option<Bits>,
    /// Whether it is a signed integer, or an array of these.
    pub signed: bool,
    /// The elements of an array, those of all dimensions together; 0 for a flexible array.
    pub elements: Option<u64>,
    /// Bytes of one element; of the whole, if it is no array.
    pub element_size: u64,
}

/// Which bits a bit field has of the number that its bytes are, these taken in the machine's byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// Bits below it, of that number: always 0 to 7.
    pub offset: u8,
    /// Bits that it has: 1 to 64.
    pub width: u8,
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

/// The types of a file, or why they cannot be used.
pub(super) type Opened = Result<Box<dyn Graph>>;

/// A type in its source: an id, or a place.
pub(super) type Ref = u64;

/// Type information as its source stores it.
pub(super) trait Graph: Send + Sync {
    /// The definition that has this name: of a structure, a union or an enum; else of a typedef or a base type.
    fn named(&self, name: &str) -> Option<Ref>;

    /// What a type is made of; none if the source does not say, or what it says cannot be.
    fn shape(&self, ty: Ref) -> Option<Shape<'_>>;

    /// The value of an enumerator, of any enum.
    fn enumerator(&self, name: &str) -> Option<i64>;

    /// The byte order of the machine.
    fn big_endian(&self) -> bool;

    /// Whether what it does not know need not be looked for elsewhere: DWARF of 200 MB takes a second to say no.
    fn is_whole(&self) -> bool {
        false
    }

    /// The types of a module that builds on these; none if this kind has nothing of the sort.
    fn continued(self: Arc<Self>, _module: Vec<u8>) -> Option<Opened> {
        None
    }
}

/// What a type is made of.
#[derive(Debug)]
pub(super) enum Shape<'a> {
    /// A number or a pointer.
    Scalar(Scalar),
    /// Another name for a type, or a qualified one.
    Alias(Ref),
    /// So many elements of a type.
    Array { of: Ref, count: u64 },
    /// A structure or a union.
    Composite { size: u64, fields: Vec<Field<'a>> },
}

/// A number or a pointer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scalar {
    /// In bytes.
    pub size: u64,
    pub signed: bool,
    /// Offset and width, if the type stands for these bits only: how CTF and old BTF say that a member is a bit field.
    pub bits: Option<(u64, u64)>,
}

/// A member as its source stores it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// Empty if it has none.
    pub name: &'a [u8],
    pub ty: Ref,
    /// Bits from the start of the structure in the machine's order: on a big-endian machine the highest bit of a byte
    /// comes first. All sources count like this.
    pub bit_offset: u64,
    /// The width of a bit field, if the source says it of members.
    pub bit_size: Option<u64>,
}

/// What there is to know of a type without its members.
struct Measure {
    element: Scalar,
    elements: Option<u64>,
}

impl Types {
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
                "none" => format!("{wanted}, and the kernel has no type information"),
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

    #[cfg(test)]
    pub(super) fn from_graph(name: &'static str, graph: Box<dyn Graph>) -> Self {
        Self { sources: vec![Source::new(name, Box::new(|| Some(Arc::from(graph))))], ..Self::default() }
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

impl Member {
    /// The number that the member's bytes hold; a signed one is extended to 64 bits.
    ///
    /// None if these are not `size` bytes, or if the member is an array or has more than 64 bits: that is no number.
    pub fn value(&self, bytes: &[u8], big_endian: bool) -> Option<u64> {
        if bytes.len() as u64 != self.size || self.elements.is_some() || bytes.len() > 9 {
            return None;
        }
        let Bits { offset, width } = self.bits.unwrap_or(Bits { offset: 0, width: bytes.len() as u8 * 8 });
        let join = |number: u128, byte: &u8| number << 8 | u128::from(*byte);
        let number = if big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) };
        let unused = 64_u32.checked_sub(width.into()).filter(|unused| *unused < 64)?;
        let high = (number.checked_shr(offset.into())? as u64) << unused;
        let extended =
            if self.signed { (high.cast_signed() >> unused).cast_unsigned() } else { high >> unused };
        Some(extended)
    }
}

impl Measure {
    fn size(&self) -> Option<u64> {
        self.element.size.checked_mul(self.elements.unwrap_or(1))
    }
}

fn member(graph: &dyn Graph, structure: Ref, path: &str) -> Option<Member> {
    let mut at = Field { name: &[], ty: structure, bit_offset: 0, bit_size: None };
    for name in path.split('.') {
        let field = find_field(graph, at.ty, name)?;
        at = Field { bit_offset: at.bit_offset.checked_add(field.bit_offset)?, ..field };
    }
    let measure = measure(graph, at.ty)?;
    let Measure { element, elements } = measure;
    let bits = at.bit_size.map(|width| (0, width)).or(element.bits.filter(|_| elements.is_none()));
    match bits {
        Some((skip, width)) => {
            bit_field(at.bit_offset.checked_add(skip)?, width, element.signed, graph.big_endian())
        }
        // Not on a byte and without a width: a bit field of an enum type, whose width CTF has no place for.
        None if !at.bit_offset.is_multiple_of(8) => None,
        None => Some(Member {
            offset: at.bit_offset / 8,
            size: measure.size()?,
            bits: None,
            signed: element.signed,
            elements,
            element_size: element.size,
        }),
    }
}

/// A bit field by the bytes that it touches. The declared type's bytes would do as well, but not every source knows these,
/// and in a packed structure the field can reach beyond them.
fn bit_field(bit_offset: u64, width: u64, signed: bool, big_endian: bool) -> Option<Member> {
    let width = u8::try_from(width).ok().filter(|width| (1..=64).contains(width))?;
    let before = (bit_offset % 8) as u8;
    let size = (before + width).div_ceil(8);
    let offset = if big_endian { size * 8 - before - width } else { before };
    Some(Member {
        offset: bit_offset / 8,
        size: size.into(),
        bits: Some(Bits { offset, width }),
        signed,
        elements: None,
        element_size: size.into(),
    })
}

/// A member by name, here or in an anonymous part; its offset is from the start of `structure`.
fn find_field<'a>(graph: &'a dyn Graph, structure: Ref, name: &str) -> Option<Field<'a>> {
    let mut parts = vec![(structure, 0_u64)];
    for _ in 0..PARTS {
        let (part, start) = parts.pop()?;
        let Some(Shape::Composite { fields, .. }) = stripped(graph, part) else { continue };
        for field in fields {
            let bit_offset = start.checked_add(field.bit_offset)?;
            if field.name == name.as_bytes() && !name.is_empty() {
                return Some(Field { bit_offset, ..field });
            }
            if field.name.is_empty() && field.bit_size.is_none() && parts.len() < PARTS {
                parts.push((field.ty, bit_offset));
            }
        }
    }
    None
}

/// A type without its typedefs and qualifiers.
fn stripped(graph: &dyn Graph, mut ty: Ref) -> Option<Shape<'_>> {
    for _ in 0..CHAIN {
        match graph.shape(ty)? {
            Shape::Alias(of) => ty = of,
            shape => return Some(shape),
        }
    }
    None
}

fn measure(graph: &dyn Graph, mut ty: Ref) -> Option<Measure> {
    let mut elements = None;
    for _ in 0..CHAIN {
        match stripped(graph, ty)? {
            Shape::Array { of, count } => {
                elements = Some(elements.unwrap_or(1_u64).checked_mul(count)?);
                ty = of;
            }
            Shape::Scalar(element) => return Some(Measure { element, elements }),
            Shape::Composite { size, .. } => {
                return Some(Measure { element: Scalar { size, ..Scalar::default() }, elements });
            }
            Shape::Alias(_) => return None,
        }
    }
    None
}

/// Definitions by name; the first of a name stays. The names are hashed with a secret key and not kept: two of them, 64
/// bits each, will not meet, and a file cannot make the table larger than itself.
#[derive(Default)]
pub(super) struct Names {
    key: RandomState,
    places: HashMap<(Space, u64), u64>,
}

/// What a name stands for: C keeps these apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Space {
    /// `struct name`, `union name`, `enum name`.
    Tag,
    /// A typedef or a base type.
    Ordinary,
    /// An enumerator; its value is kept, not a type.
    Enumerator,
}

impl Names {
    pub(super) fn add(&mut self, space: Space, name: &[u8], place: u64) {
        if !name.is_empty() && name.len() <= NAME_LIMIT {
            self.places.entry((space, self.key.hash_one(name))).or_insert(place);
        }
    }

    pub(super) fn get(&self, space: Space, name: &str) -> Option<u64> {
        self.places.get(&(space, self.key.hash_one(name.as_bytes()))).copied()
    }
}

/// The name at an offset of a table of names; empty if there is none, or one that is longer than any.
pub(super) fn name_at(names: &[u8], offset: usize) -> &[u8] {
    let rest = names.get(offset..).unwrap_or_default();
    // A table without ends would be gone through for every name in it.
    let rest = rest.get(..NAME_LIMIT).unwrap_or(rest);
    rest.get(..memchr::memchr(0, rest).unwrap_or(0)).unwrap_or_default()
}

/// What zlib made of exactly `size` bytes; none if it is not that, or if the size is above the limit.
pub(super) fn inflate(compressed: &[u8], size: u64, limit: u64) -> Option<Vec<u8>> {
    let decoder = flate2::read::ZlibDecoder::new(compressed);
    // Memory grows with what arrives, not with what was promised; one byte more shows a broken promise.
    let mut decoder = decoder.take(size.checked_add(1).filter(|_| size <= limit)?);
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == size).then_some(bytes)
}

#[cfg(test)]
mod tests;
