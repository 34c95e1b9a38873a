//! Memory images of Linux machines that hold memory as it is: ELF cores of every writer, flattened ones, LiME.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

#[path = "../synth/mod.rs"]
mod synth;

mod elf;
mod flattened;
mod lime;
mod real;

use kgdbserver::image::{self, Addr, Image, Settings, Store};
use kgdbserver::{Result, describe};
use kgdbserver_arch::Pa;
use std::path::Path;
use std::sync::Arc;

fn open_file(path: &Path) -> Result<Image> {
    let cache = path.parent().map(|folder| folder.join("cache"));
    image::open(Arc::new(Store::open(path)?), &Settings { cache, ..Settings::default() })
}

/// Opens these bytes.
fn open(bytes: &[u8]) -> Result<Image> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmcore");
    std::fs::write(&path, bytes).unwrap();
    open_file(&path)
}

fn refused(bytes: &[u8]) -> String {
    open(bytes).expect_err("this cannot be opened").to_string()
}

/// The bytes at a physical address up to the first break, at most 16; or why there are none.
fn read(image: &Image, pa: u64) -> String {
    let mut buf = [0xee; 16];
    match image.memory.read(Addr::Phys(Pa(pa)), &mut buf) {
        Ok(got) => String::from_utf8_lossy(&buf[..got]).trim_end_matches('\0').into(),
        Err(why) => describe(why),
    }
}

/// Two pages that begin with a text and end with another.
fn pages(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; 8192];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes[8192 - 4..].copy_from_slice(b"end.");
    bytes
}

fn absent(pa: u64) -> String {
    format!("physical address {pa:#x} is not in the image")
}

fn left_out(pa: u64) -> String {
    format!("physical address {pa:#x} was left out of the image on purpose")
}

fn cut_off(pa: u64) -> String {
    format!("physical address {pa:#x} was dumped, but the image file is cut off before it")
}

/// Every page and its contents, or why it has none.
fn everything(image: &Image) -> Vec<(u64, String)> {
    let page = |Pa(pa): Pa| {
        let mut page = vec![0; 4096];
        let read = image.memory.read(Addr::Phys(Pa(pa)), &mut page);
        (pa, read.map_or_else(describe, |got| format!("{:?}", &page[..got])))
    };
    image.memory.pages().map(page).collect()
}
