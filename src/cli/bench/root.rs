//! The root file system that every contender gets: a few programs of this machine and the
//! libraries they are linked with.

use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that is run, on this machine and in every sandbox.
pub(super) const PROGRAM: &str = "/bin/true";
/// What else is there: for commands that write files and look at them.
const PROGRAMS: [&str; 3] = [PROGRAM, "/bin/sh", "/bin/cat"];

/// Writes twenty small files and appends to one of the image; run in the root, or in a directory
/// made like it.
pub(super) const SCRIPT: &str = "i=0; while [ $i -lt 20 ]; do echo $i > file$i; i=$((i+1)); done; \
     echo more >> etc/passwd";

/// Makes it in an empty directory.
pub(super) fn make(root: &Path) -> Result<()> {
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs_err::create_dir_all(root.join(name))?;
    }
    fs_err::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    let mut files = BTreeSet::new();
    for program in PROGRAMS {
        files.extend(libraries(program)?);
        files.insert(PathBuf::from(program));
    }
    for file in files {
        let to = root.join(file.strip_prefix("/")?);
        if let Some(parent) = to.parent() {
            fs_err::create_dir_all(parent)?;
        }
        // Links are followed: where they lead is a file of the same name here.
        fs_err::copy(&file, &to)?;
    }
    Ok(())
}

/// The files that the dynamic loader maps for a program, itself included; none for one that is
/// linked statically.
fn libraries(program: &str) -> Result<Vec<PathBuf>> {
    let listed = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&listed.stdout);
    if !listed.status.success() {
        if text.contains("statically") || text.contains("not a dynamic") {
            return Ok(Vec::new());
        }
        bail!("ldd {program}: {text}{}", String::from_utf8_lossy(&listed.stderr));
    }
    Ok(paths(&text))
}

/// The absolute paths in what `ldd` prints.
fn paths(text: &str) -> Vec<PathBuf> {
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0d)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f0e)\n";
        let wanted = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(paths(text), wanted.map(PathBuf::from));
    }
}
