//! Debugging information in lines like C, as gimli reads it.

use crate::symbols::served::debug_info::DebugInfo;
use gimli::constants as dw;
use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugStr, DwAt, EndianSlice, EntriesTreeNode, RunTimeEndian,
    UnitHeader, UnitOffset,
};

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;
type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;

struct Unit<'a> {
    header: UnitHeader<Slice<'a>>,
    abbreviations: Abbreviations,
    strings: DebugStr<Slice<'a>>,
}

/// What has a name, in the order in which it is told.
pub(super) fn lines(made: &DebugInfo, big_endian: bool) -> Vec<String> {
    let endian = if big_endian { RunTimeEndian::Big } else { RunTimeEndian::Little };
    let mut units = gimli::DebugInfo::new(&made.info, endian).units();
    let header = units.next().unwrap().unwrap();
    assert!(units.next().unwrap().is_none(), "one unit");
    let abbreviations =
        DebugAbbrev::new(&made.abbreviations, endian).abbreviations(header.debug_abbrev_offset());
    let strings = DebugStr::new(&made.strings, endian);
    let unit = Unit { header, abbreviations: abbreviations.unwrap(), strings };
    let mut tree = unit.header.entries_tree(&unit.abbreviations, None).unwrap();
    let mut lines = Vec::new();
    let root = tree.root().unwrap();
    assert_eq!(unit.name(root.entry()), "BTF");
    let mut children = root.children();
    while let Some(child) = children.next().unwrap() {
        let name = unit.name(child.entry());
        if !name.is_empty() {
            lines.push(format!("{name}: {}", unit.defined(child)));
        }
    }
    lines
}

impl<'a> Unit<'a> {
    fn name(&self, entry: &Entry<'a>) -> String {
        match entry.attr_value(dw::DW_AT_name) {
            Some(AttributeValue::DebugStrRef(at)) => {
                self.strings.get_str(at).unwrap().to_string().unwrap().to_owned()
            }
            None => String::new(),
            other => panic!("{other:?}"),
        }
    }

    fn number(&self, entry: &Entry<'a>, name: DwAt) -> String {
        match entry.attr_value(name) {
            Some(AttributeValue::Udata(number)) => number.to_string(),
            Some(AttributeValue::Sdata(number)) => number.to_string(),
            Some(AttributeValue::Addr(number)) => format!("{number:#x}"),
            None => String::new(),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// What a definition says.
    fn defined(&self, node: EntriesTreeNode<'_, '_, Slice<'a>>) -> String {
        let entry = node.entry().clone();
        let only = if entry.attr_value(dw::DW_AT_declaration).is_some() { " only" } else { "" };
        let size = self.number(&entry, dw::DW_AT_byte_size);
        let ty = self.ty(&entry);
        match entry.tag() {
            dw::DW_TAG_base_type => {
                let Some(AttributeValue::Encoding(encoding)) = entry.attr_value(dw::DW_AT_encoding) else {
                    panic!()
                };
                format!("base {size} {encoding}")
            }
            dw::DW_TAG_typedef => format!("typedef {ty}"),
            dw::DW_TAG_structure_type | dw::DW_TAG_union_type if !only.is_empty() => {
                format!("{} declared{only}", kind(&entry))
            }
            dw::DW_TAG_structure_type | dw::DW_TAG_union_type => {
                format!("{} {size} {{ {} }}", kind(&entry), self.inside(node, "; "))
            }
            dw::DW_TAG_enumeration_type => {
                let ty = if ty == "void" { String::new() } else { ty + " " };
                format!("enum {ty}{size} {{ {} }}", self.inside(node, "; "))
            }
            dw::DW_TAG_variable => format!("{} {ty}", self.place(&entry)),
            dw::DW_TAG_subprogram => {
                let [start, len] =
                    [dw::DW_AT_low_pc, dw::DW_AT_high_pc].map(|name| self.number(&entry, name));
                format!("{start}+{:#x} {ty} ({})", len.parse::<u64>().unwrap(), self.inside(node, ", "))
            }
            tag => panic!("{tag}"),
        }
    }

    fn inside(&self, node: EntriesTreeNode<'_, '_, Slice<'a>>, between: &str) -> String {
        let (mut all, mut children) = (Vec::new(), node.children());
        while let Some(child) = children.next().unwrap() {
            let entry = child.entry();
            let (name, ty) = (self.name(entry), self.ty(entry));
            let number = |name| self.number(entry, name);
            all.push(match entry.tag() {
                dw::DW_TAG_enumerator => format!("{name} = {}", number(dw::DW_AT_const_value)),
                dw::DW_TAG_formal_parameter => ty,
                dw::DW_TAG_unspecified_parameters => "...".into(),
                dw::DW_TAG_member => {
                    let name = if name.is_empty() { name } else { format!(" {name}") };
                    match (number(dw::DW_AT_data_member_location), number(dw::DW_AT_data_bit_offset)) {
                        (at, bit) if at.is_empty() => {
                            format!("{ty}{name} @{bit} bits {}", number(dw::DW_AT_bit_size))
                        }
                        (at, _) => format!("{ty}{name} @{at}"),
                    }
                }
                tag => panic!("{tag}"),
            });
        }
        all.join(between)
    }

    fn place(&self, entry: &Entry<'a>) -> String {
        let Some(AttributeValue::Exprloc(place)) = entry.attr_value(dw::DW_AT_location) else { panic!() };
        let mut operations = place.operations(self.header.encoding());
        let Some(gimli::Operation::Address { address }) = operations.next().unwrap() else { panic!() };
        format!("{address:#x}")
    }

    /// The type of an entry: by its name, if it has one.
    fn ty(&self, entry: &Entry<'a>) -> String {
        match entry.attr_value(dw::DW_AT_type) {
            Some(AttributeValue::UnitRef(at)) => self.referred(at),
            None => "void".into(),
            other => panic!("{other:?}"),
        }
    }

    fn referred(&self, at: UnitOffset) -> String {
        let mut tree = self.header.entries_tree(&self.abbreviations, Some(at)).unwrap();
        let node = tree.root().unwrap();
        let entry = node.entry().clone();
        match (entry.tag(), self.name(&entry)) {
            (_, name) if !name.is_empty() => name,
            (dw::DW_TAG_pointer_type, _) => format!("*{}", self.ty(&entry)),
            (dw::DW_TAG_const_type, _) => format!("const {}", self.ty(&entry)),
            (dw::DW_TAG_volatile_type, _) => format!("volatile {}", self.ty(&entry)),
            (dw::DW_TAG_restrict_type, _) => format!("restrict {}", self.ty(&entry)),
            (dw::DW_TAG_subroutine_type, _) => format!("{} ({})", self.ty(&entry), self.inside(node, ", ")),
            (dw::DW_TAG_array_type, _) => {
                let mut children = node.children();
                let count = self.number(children.next().unwrap().unwrap().entry(), dw::DW_AT_count);
                format!("{}[{count}]", self.ty(&entry))
            }
            _ => self.defined(node),
        }
    }
}

fn kind(entry: &Entry<'_>) -> &'static str {
    if entry.tag() == dw::DW_TAG_union_type { "union" } else { "struct" }
}
