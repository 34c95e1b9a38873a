//! `docs/architecture.md` names every folder of the sources, every file of those that are not described as a whole, and
//! nothing that is not there.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../docs/architecture.md");

const ROOTS: [&str; 5] = ["arch/src", "src", "tests", "benches", "scripts"];

/// Each file of these has a place in the tree. Of the other folders it is said what their files have in common.
const FILE_BY_FILE: [&str; 8] =
    ["arch/src", "src", "src/dump", "src/image", "src/kernel", "src/kvm", "src/stub", "src/symbols"];

/// The words of the tree: `name.rs`, `folder/`.
fn named() -> BTreeSet<&'static str> {
    let tree = PAGE.split("```").nth(1).expect("the tree");
    let is_separator = |letter: char| letter.is_whitespace() || "(),:;".contains(letter);
    tree.split(is_separator).map(|word| word.trim_end_matches('.')).collect()
}

/// Everything below a folder, as paths from the root; folders end in a slash.
fn listing(root: &Path, folder: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root.join(folder)).expect("a folder").flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => {
                listing(root, &path, found);
                found.push(path + "/");
            }
            false => found.push(path),
        }
    }
}

fn sources() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ROOTS {
        listing(&root, folder, &mut found);
    }
    found
}

fn name(path: &str) -> &str {
    let end = path.trim_end_matches('/').rfind('/').map_or(0, |slash| slash + 1);
    path.split_at(end).1
}

#[test]
fn the_tree_names_what_there_is() {
    let named = named();
    let is_meant = |path: &&String| {
        let (folder, name) = path.trim_end_matches('/').rsplit_once('/').expect("a folder");
        let is_one_of_them = FILE_BY_FILE.contains(&folder) && name.ends_with(".rs");
        path.ends_with('/') || is_one_of_them
    };
    // The tests of a file stand in a folder of its name, and the root of a folder's module beside or in it.
    let is_named = |path: &&String| {
        let name = name(path);
        ["mod.rs", "tests/"].contains(&name)
            || named.contains(name)
            || named.contains(name.replace(".rs", "/").as_str())
            || named.contains(name.replace('/', ".rs").as_str())
    };
    let missing: Vec<String> =
        sources().into_iter().filter(|path| is_meant(&path) && !is_named(&path)).collect();
    assert!(missing.is_empty(), "docs/architecture.md does not name {missing:#?}");
}

#[test]
fn what_the_tree_names_is_there() {
    let sources = sources();
    let there: BTreeSet<&str> = sources.iter().map(|path| name(path)).collect();
    let is_path = |word: &&str| word.ends_with(".rs") || word.ends_with('/');
    let is_there = |word: &str| there.contains(word) || ROOTS.contains(&word.trim_end_matches('/'));
    let stale: Vec<&str> = named().into_iter().filter(is_path).filter(|word| !is_there(word)).collect();
    assert!(stale.is_empty(), "docs/architecture.md names {stale:?}, which are not there");
}
