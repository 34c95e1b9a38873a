//! Where /dev/mem has memory: /proc/iomem.

use crate::image::raw::RawMemory;

/// Below this a PC has its BIOS. Where the kernel protects itself (`CONFIG_STRICT_DEVMEM`) it gives zeros for it.
pub(super) const LOWEST: u64 = 1 << 20;

/// The ranges of memory in the text of /proc/iomem; none if the addresses are hidden, as they are from all but root.
pub(super) fn ranges(text: &str) -> Option<RawMemory> {
    // Lines that are indented are parts of others.
    let range = |line: &str| {
        let range = line.strip_suffix(" : System RAM")?.split_once('-')?;
        let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
        let (first, last) = (number(range.0)?.max(LOWEST), number(range.1)?);
        (first < last).then(|| format!("{first:#x}:{:#x}@{first:#x}", last - first + 1))
    };
    let ranges: Vec<String> = text.lines().filter_map(range).collect();
    ranges.join(",").parse().ok().filter(|_| !ranges.is_empty())
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn memory_is_where_iomem_says() {
        let text = "\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
000f0000-000fffff : System ROM
00100000-1ffdffff : System RAM
  12e00000-13c01fd6 : Kernel code
b0000000-bfffffff : PCI MMCONFIG 0000 [bus 00-ff]
100000000-17fffffff : System RAM
";
        let expected = "0x100000:0x1fee0000@0x100000,0x100000000:0x80000000@0x100000000";
        assert_eq!(ranges(text), Some(expected.parse().unwrap()));
    }

    #[test]
    fn hidden_addresses_are_none() {
        assert_eq!(ranges("00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n"), None);
        assert_eq!(ranges(""), None);
    }
}
