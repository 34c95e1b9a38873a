//! Which debugger is on the line, by what it sends. Some answers must differ: see `docs/debuggers.md`.

/// How a client is told what an error is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Texts {
    /// Not: it takes a number alone.
    #[default]
    None,
    /// lldb asked for the number, and the text in digits: `E0e;..`.
    Behind,
    /// gdb since 16 takes the text for the number: `E.text`.
    Instead,
}

/// What is known of the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// lldb, rather than gdb or something of gdb's kind.
    pub(super) lldb: bool,
    /// It wants just the bytes in the reply to `x`, as lldb before 20, which asks for none of them first. Others want a
    /// `b` before them.
    pub(super) x_bare: bool,
    /// How it wants the texts of errors.
    pub(super) texts: Texts,
    /// lldb asked where its kernel file's sections are, so it has one.
    pub(super) has_file: bool,
    /// It wants to read the list of threads from stop replies.
    pub(super) threads_listed: bool,
    /// lldb has asked for its list of libraries once.
    pub(super) listed: bool,
    /// The last thing that it asked for were all registers.
    pub(super) at_registers: bool,
    /// lldb has found out that registers can be read one by one.
    pub(super) probed: bool,
}

impl Client {
    /// Learns from the features that a client lists in `qSupported`. lldb begins with `xmlRegisters=`, gdb has
    /// `qRelocInsn+`.
    pub(super) fn learn(&mut self, features: &str) {
        let has = |name: &str| features.split(';').any(|feature| feature.starts_with(name));
        self.lldb = self.lldb || has("xmlRegisters=") && !has("qRelocInsn");
        if has("error-message+") && !self.lldb {
            self.texts = Texts::Instead;
        }
    }
}
