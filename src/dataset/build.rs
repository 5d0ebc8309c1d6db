//! The build script: puts the registry of names and the recipes into the program, so that it
//! works away from its source folder.

use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let recipes = root.join("configs/envs");
    let registry = root.join("datasets/registry.toml");
    for path in [&recipes, &registry] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rerun-if-changed=src/dataset/build.rs");

    let mut files: Vec<PathBuf> = recipes
        .read_dir()
        .expect("configs/envs is part of the source")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();

    let mut code = format!("const REGISTRY: &str = include_str!({});\n", literal(&registry));
    code.push_str("const RECIPES: &[(&str, &str)] = &[\n");
    for path in &files {
        let name = path.file_name().expect("a file of a folder has a name");
        let _ =
            writeln!(code, "    ({}, include_str!({})),", literal(name.as_ref()), literal(path));
    }
    code.push_str("];\n");

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("embedded.rs");
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&out)
        .and_then(|mut file| file.write_all(code.as_bytes()))
        .expect("cargo's output folder can be written");
}

/// The path as a Rust text literal.
fn literal(path: &Path) -> String {
    format!("{:?}", path.to_str().expect("the source folder's path is UTF-8"))
}
