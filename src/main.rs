//! The kgdbserver command.
fn main() {}
