//! Kdump-compressed dumps: every writer's layout, every way to pack a page, split dumps, and files that are broken.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

#[path = "../synth/mod.rs"]
mod synth;

mod broken;
mod layouts;
mod pages;
mod real;
mod split;

use kgdbserver::image::{self, Addr, Image, Settings, Store};
use kgdbserver::{Result, describe};
use kgdbserver_arch::Pa;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use synth::Kdump;
use synth::kdump::PACKINGS;
use tempfile::TempDir;

/// Pages of every packing: 3 to 7, and 9000, which lies in another part of the bitmap. 8 and 9 were left out.
fn dump() -> Kdump {
    let mut dump = Kdump::new(10_000);
    for (number, packing) in (3..).zip(PACKINGS) {
        dump.page(number, &format!("page {number:x}"), packing);
    }
    dump.page(9000, "page 2328", PACKINGS[1]);
    dump.excluded.extend([8, 9]);
    dump
}

/// A folder of files.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn open_parts(path: &Path, parts: &[PathBuf]) -> Result<Image> {
    let settings = Settings { parts: parts.to_vec(), ..Settings::default() };
    image::open(Arc::new(Store::open(path)?), &settings)
}

/// Opens these bytes.
fn open(bytes: &[u8]) -> Result<Image> {
    let folder = Folder::new();
    open_parts(&folder.write("vmcore", bytes), &[])
}

/// What is at a page: the text that it begins with, or why it cannot be read.
fn at(image: &Image, number: u64) -> String {
    let mut page = vec![0xaa; 1 << image.page_shift];
    match image.memory.read(Addr::Phys(Pa(number << image.page_shift)), &mut page) {
        Ok(got) => {
            assert_eq!(got, page.len());
            let text = page.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        }
        Err(why) => {
            let address = format!("physical address {:#x} ", number << image.page_shift);
            describe(why).replace(&address, "")
        }
    }
}

const EXCLUDED: &str = "was left out of the image on purpose";
const NOWHERE: &str = "is not in the image";
const CUT_OFF: &str = "was dumped, but the image file is cut off before it";
const DAMAGED: &str = "is in the image, but its page there is damaged";
const ELSEWHERE: &str = "is in another file of the split set: name all its files";

/// All of `dump()`, in the image: its pages, what was left out, and what never was.
#[track_caller]
fn check_pages(image: &Image) {
    for number in [3, 4, 5, 6, 7, 9000] {
        assert_eq!(at(image, number), format!("page {number:x}"));
    }
    for number in [8, 9] {
        assert_eq!(at(image, number), EXCLUDED);
    }
    for number in [0, 2, 10, 8999, 9001, 9999, 10_000, 1 << 40] {
        assert_eq!(at(image, number), NOWHERE, "page {number:x}");
    }
    let listed: Vec<u64> = image.memory.pages().map(|pa| pa.0 >> image.page_shift).collect();
    assert_eq!(listed, [3, 4, 5, 6, 7, 9000]);
    let census = image.memory.census();
    assert_eq!((census.dumped, census.cut_off), (6, 0));
}
