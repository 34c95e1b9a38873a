//! Functions and variables whose types are known.

use super::{Form, Global, What};
use crate::symbols::types::declared::Declarations;
use crate::symbols::{Kind, Symbol};
use kgdbserver_arch::Va;
use std::collections::HashMap;

/// A variable of which nothing in the image tells the type.
struct Known {
    name: &'static str,
    form: Form,
    /// The names that compilers give the type, or its elements.
    of: &'static [&'static str],
}

const fn plain(name: &'static str, of: &'static [&'static str]) -> Known {
    Known { name, form: Form::Plain, of }
}

const fn pointer(name: &'static str, of: &'static [&'static str]) -> Known {
    Known { name, form: Form::Pointer, of }
}

const fn array(name: &'static str, of: &'static [&'static str]) -> Known {
    Known { name, form: Form::Array, of }
}

const fn text(name: &'static str, of: &'static [&'static str]) -> Known {
    Known { name, form: Form::Text, of }
}

const LIST: &[&str] = &["list_head"];
const ULONG: &[&str] = &["long unsigned int", "unsigned long"];
const INT: &[&str] = &["int"];
const CHAR: &[&str] = &["char"];

/// Until Linux 6.13 (pahole 1.28), and later as configured, BTF knows per-CPU variables only. These others are what people
/// begin with; their types were the same as long as they had these names.
static LINUX: &[Known] = &[
    // Processes.
    plain("init_task", &["task_struct"]),
    plain("init_mm", &["mm_struct"]),
    plain("init_cred", &["cred"]),
    plain("init_fs", &["fs_struct"]),
    plain("init_files", &["files_struct"]),
    plain("init_nsproxy", &["nsproxy"]),
    plain("init_pid_ns", &["pid_namespace"]),
    plain("init_user_ns", &["user_namespace"]),
    plain("init_uts_ns", &["uts_namespace"]),
    plain("init_css_set", &["css_set"]),
    plain("root_task_group", &["task_group"]),
    plain("nr_threads", INT),
    plain("total_forks", ULONG),
    array("avenrun", ULONG),
    // The machine.
    array("__per_cpu_offset", ULONG),
    plain("__cpu_possible_mask", &["cpumask"]),
    plain("__cpu_online_mask", &["cpumask"]),
    plain("__cpu_present_mask", &["cpumask"]),
    plain("boot_cpu_data", &["cpuinfo_x86"]),
    plain("iomem_resource", &["resource"]),
    plain("ioport_resource", &["resource"]),
    plain("system_state", &["system_states"]),
    plain("panic_cpu", &["atomic_t"]),
    plain("oops_in_progress", INT),
    plain("panic_on_oops", INT),
    // Time.
    plain("jiffies", ULONG),
    plain("jiffies_64", &["u64"]),
    // What it says of itself.
    text("linux_banner", CHAR),
    pointer("saved_command_line", CHAR),
    pointer("prb", &["printk_ringbuffer"]),
    // Memory.
    plain("_totalram_pages", &["atomic_long_t"]),
    plain("max_pfn", ULONG),
    plain("max_low_pfn", ULONG),
    plain("vmemmap_base", ULONG),
    plain("page_offset_base", ULONG),
    plain("vmalloc_base", ULONG),
    plain("phys_base", ULONG),
    plain("memstart_addr", &["s64"]),
    plain("contig_page_data", &["pglist_data"]),
    plain("slab_caches", LIST),
    plain("vmap_area_list", LIST),
    // Lists to walk.
    plain("modules", LIST),
    plain("super_blocks", LIST),
    plain("workqueues", LIST),
    plain("net_namespace_list", LIST),
    plain("pci_root_buses", LIST),
    pointer("file_systems", &["file_system_type"]),
    plain("init_net", &["net"]),
    plain("cgrp_dfl_root", &["cgroup_root"]),
];

/// More is no array's size, but what lies between it and the next symbol that there is.
const ARRAY_LIMIT: u64 = 1 << 17;

/// What an image tells of variables.
pub(super) struct Told<'a> {
    /// Where one is that is not among the symbols.
    pub(super) address: &'a dyn Fn(&str) -> Option<Va>,
    /// The bytes of a text, with the zero at its end.
    pub(super) text_size: &'a dyn Fn(Va) -> Option<u64>,
}

/// The functions and variables that the types tell of, and the variables of the table, where there is a symbol for each,
/// or the image tells where it is. Of a module, of which nothing is told, those of its types only. One that several symbols could be is left out.
pub(super) fn globals(
    types: &dyn Declarations,
    symbols: impl Iterator<Item = Symbol>,
    told: Option<&Told<'_>>,
) -> Vec<Global> {
    let mut wanted: HashMap<String, Wanted> = HashMap::new();
    let mut want = |name: String, what: What| {
        wanted.entry(name).or_insert(Wanted { what, found: None, several: false });
    };
    types.functions().into_iter().for_each(|(name, prototype)| want(name, What::Function(prototype)));
    types.variables().into_iter().for_each(|(name, ty)| want(name, What::Variable(Form::Plain, ty)));
    for known in told.iter().flat_map(|_| LINUX) {
        if let Some(ty) = known.of.iter().find_map(|of| types.known(of)) {
            want(known.name.to_owned(), What::Variable(known.form, ty));
        }
    }
    for symbol in symbols {
        if let Some(wanted) = wanted.get_mut(&symbol.name) {
            wanted.offer(symbol);
        }
    }
    let mut found: Vec<_> =
        wanted.into_iter().filter_map(|(name, wanted)| wanted.global(name, told)).collect();
    // A file is known by its content.
    found.sort_unstable_by(|one, other| (one.va, &one.name).cmp(&(other.va, &other.name)));
    // Of functions at one address debuggers want to know one.
    let is_function = |global: &Global| matches!(global.what, What::Function(_));
    found.dedup_by(|other, first| first.va == other.va && is_function(first) && is_function(other));
    found
}

struct Wanted {
    what: What,
    found: Option<Symbol>,
    several: bool,
}

impl Wanted {
    /// A symbol of this name: a global one comes before local ones.
    fn offer(&mut self, symbol: Symbol) {
        if matches!(self.what, What::Function(_)) != (symbol.kind == Kind::Text) {
            return;
        }
        match &self.found {
            Some(found) if found.global && !symbol.global => {}
            Some(found) if found.global == symbol.global => self.several = true,
            _ => (self.found, self.several) = (Some(symbol), false),
        }
    }

    fn global(self, name: String, told: Option<&Told<'_>>) -> Option<Global> {
        let (va, size) = match self.found {
            _ if self.several => return None,
            Some(symbol) => (symbol.va, symbol.size),
            None => ((told?.address)(&name)?, 0),
        };
        let size = match self.what {
            What::Function(_) => Some(size).filter(|size| *size != 0)?,
            What::Variable(Form::Text, _) => (told?.text_size)(va).unwrap_or(0),
            What::Variable(..) if size > ARRAY_LIMIT => 0,
            What::Variable(..) => size,
        };
        Some(Global { name, va, size, what: self.what })
    }
}
