//! libkvm in Rust, portable, and the parts it stands on.
#![deny(unsafe_code)]

mod error;
pub mod image;
pub mod space;
pub mod symbols;

pub use error::{Error, Result, describe};
