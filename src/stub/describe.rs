//! The target description, made from the architecture's register table.

use kgdbserver_arch::{Arch, Reg};
use std::fmt::Write;

/// `target.xml`. `more` registers come behind the architecture's own.
pub(super) fn target_xml(arch: &Arch, more: &[Reg]) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n\
         <architecture>{}</architecture>\n<osabi>none</osabi>\n",
        arch.gdb_name
    );
    let features = [arch.regs, more].into_iter();
    for group in features.flat_map(|regs| regs.chunk_by(|one, other| one.feature == other.feature)) {
        let feature = group.first().map_or("", |reg| reg.feature);
        let _ = writeln!(xml, "<feature name=\"{feature}\">"); // writing to a String cannot fail
        for reg in group {
            let (name, bits, kind) = (reg.name, u16::from(reg.bytes) * 8, reg.gdb_type);
            let _ = writeln!(xml, "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\"/>");
        }
        xml += "</feature>\n";
    }
    xml + "</target>\n"
}
