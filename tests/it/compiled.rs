//! Programs in C that tests run in sandboxes: compiled on the spot, once for each source, and static
//! where the C library can be, so that they run in any image.

use evalrun::model::Digest;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Where compiled programs are kept. With the folder of another machine's run no compiler is needed.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("EVALRUN_TEST_BUILT")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("built"), PathBuf::from)
}

/// The program of this name, compiled from `source`.
pub(crate) fn compile(name: &str, source: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let digest = Digest::of(source).to_string();
    let program = folder().join(format!("{name}-{}", &digest[..12]));
    if program.exists() {
        return program;
    }
    fs_err::create_dir_all(folder()).unwrap();
    let scratch = tempfile::tempdir_in(folder()).unwrap();
    let (text, made) = (scratch.path().join("program.c"), scratch.path().join("program"));
    fs_err::write(&text, source).unwrap();
    let compile = |linking: &[&str]| {
        let options = ["-O1", "-w", "-pthread", "-D_GNU_SOURCE", "-o"];
        Command::new("cc").args(options).arg(&made).arg(&text).args(linking).output().unwrap()
    };
    if !compile(&["-static"]).status.success() {
        let output = compile(&[]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs_err::rename(made, &program).unwrap();
    program
}
