//! libkvm in Rust, portable, and the parts it stands on.
#![deny(unsafe_code)]

mod cache;
pub mod cells;
pub mod crashdir;
pub mod dump;
mod error;
pub mod image;
pub mod kernel;
pub mod kvm;
pub mod pages;
pub mod patch;
pub mod qmp;
pub mod regions;
pub mod report;
pub mod space;
pub mod stub;
pub mod symbols;
pub mod verify;

pub use error::{Error, Result, describe};
pub use kvm::Kvm;
