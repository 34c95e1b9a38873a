//! Which debugger is on the line, by what it sends. Some answers must differ: see `docs/debuggers.md`.

/// What is known of the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// lldb, rather than gdb or something of gdb's kind.
    pub(super) lldb: bool,
    /// It wants just the bytes in the reply to `x`, as lldb before 20, which asks for none of them first. Others want a
    /// `b` before them.
    pub(super) x_bare: bool,
    /// It asked for a text with every error.
    pub(super) error_strings: bool,
    /// lldb asked where its kernel file's sections are, so it has one.
    pub(super) has_file: bool,
    /// It wants to read the list of threads from stop replies.
    pub(super) threads_listed: bool,
    /// lldb has asked for its list of libraries once.
    pub(super) listed: bool,
    /// lldb has found out that registers can be read one by one.
    pub(super) probed: bool,
}

impl Client {
    /// Learns from the features that a client lists in `qSupported`. lldb begins with `xmlRegisters=`, gdb has
    /// `qRelocInsn+`.
    pub(super) fn learn(&mut self, features: &str) {
        let has = |name: &str| features.split(';').any(|feature| feature.starts_with(name));
        self.lldb = self.lldb || has("xmlRegisters=") && !has("qRelocInsn");
    }
}
