//! VMCOREINFO: what a Linux kernel tells of itself for the sake of its dumps. Lines `KEY=VALUE`
//! (Documentation/admin-guide/kdump/vmcoreinfo.rst).

/// The text, as the kernel wrote it; empty if it wrote none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vmcoreinfo(String);

impl Vmcoreinfo {
    /// Takes the text up to its first NUL. None if it is not VMCOREINFO.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = bytes.split(|byte| *byte == 0).next()?;
        let info = Self(super::text(text));
        info.get("OSRELEASE").is_some().then_some(info)
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
    }

    /// The kernel's release: `6.1.0-18-amd64`.
    pub fn release(&self) -> &str {
        self.get("OSRELEASE").unwrap_or_default()
    }

    /// The bytes of the kernel's build id, since 5.9.
    pub fn build_id(&self) -> Option<Vec<u8>> {
        let digits =
            self.get("BUILD-ID").filter(|digits| digits.len().is_multiple_of(2) && digits.is_ascii())?;
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    /// `SYMBOL(name)`: where it lies at run time.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        hexadecimal(self.call("SYMBOL", name)?)
    }

    /// All symbols, and where they lie at run time.
    pub fn symbols(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let symbol = |line: &str| {
            let (name, value) = line.strip_prefix("SYMBOL(")?.split_once(")=")?;
            Some((name.to_owned(), hexadecimal(value.trim())?))
        };
        self.0.lines().filter_map(symbol)
    }

    /// `NUMBER(name)`; a negative one wraps. `PAGESIZE` counts as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        let text = if name == "PAGESIZE" { self.get(name) } else { self.call("NUMBER", name) }?;
        if text.starts_with("0x") {
            return hexadecimal(text);
        }
        text.parse::<i64>().map(i64::cast_unsigned).ok().or_else(|| text.parse().ok())
    }

    /// `OFFSET(structure.member)`, in bytes.
    pub fn offset(&self, member: &str) -> Option<u64> {
        self.call("OFFSET", member)?.parse().ok()
    }

    /// `SIZE(structure)`, in bytes.
    pub fn size(&self, structure: &str) -> Option<u64> {
        self.call("SIZE", structure)?.parse().ok()
    }

    /// `KERNELOFFSET`: by how much the kernel's addresses are higher than those that it was linked for.
    pub fn slide(&self) -> Option<u64> {
        hexadecimal(self.get("KERNELOFFSET")?)
    }

    fn call(&self, kind: &str, name: &str) -> Option<&str> {
        let value = |line: &'_ str| -> Option<usize> {
            let rest = line.strip_prefix(kind)?.strip_prefix('(')?.strip_prefix(name)?.strip_prefix(")=")?;
            Some(line.len() - rest.len())
        };
        self.0.lines().find_map(|line| line.get(value(line)?..)).map(str::trim)
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "OSRELEASE=6.1.0-18-arm64\nBUILD-ID=00ff1a\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffffffb4c0a000\n\
        OFFSET(uts_namespace.name)=4\nSIZE(printk_info)=88\nNUMBER(phys_base)=-459276288\nNUMBER(KERNELPACMASK)=0xff000000000000\n\
        KERNELOFFSET=33000000\nNUMBER(VA_BITS)=junk\n";

    #[test]
    fn values_are_read_as_the_kernel_writes_them() {
        let info = Vmcoreinfo::parse(format!("{TEXT}\0SYMBOL(behind)=1").as_bytes()).unwrap();
        assert_eq!(info.release(), "6.1.0-18-arm64");
        assert_eq!(info.build_id(), Some(vec![0, 0xff, 0x1a]));
        assert_eq!(info.symbol("swapper_pg_dir"), Some(0xffff_ffff_b4c0_a000));
        assert_eq!(info.number("phys_base"), Some(459_276_288_u64.wrapping_neg()));
        assert_eq!(info.number("KERNELPACMASK"), Some(0xff_0000_0000_0000));
        assert_eq!(info.number("PAGESIZE"), Some(4096));
        assert_eq!(info.offset("uts_namespace.name"), Some(4));
        assert_eq!(info.size("printk_info"), Some(88));
        assert_eq!(info.slide(), Some(0x3300_0000));
    }

    #[test]
    fn what_is_not_told_is_none() {
        let info = Vmcoreinfo::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(info.symbol("behind"), None);
        assert_eq!(info.symbol("swapper"), None);
        assert_eq!(info.number("VA_BITS"), None);
        assert_eq!(Vmcoreinfo::parse(b"BUILD-ID=0\n"), None);
        assert_eq!(Vmcoreinfo::parse(b""), None);
    }
}
