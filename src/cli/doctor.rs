//! `evalrun doctor`: what this machine can do, what is missing, and how to mend it.

mod paths;

use super::args::DoctorArgs;
use super::exit::{self, Failure};
use super::places::program;
use super::terminal::bytes;
use super::{Session, runtime};
use crate::layers;
use crate::sandbox::native::{self, Probe};
use crate::sandbox::{Command, Root, SandboxError, SandboxOptions};
use anyhow::anyhow;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    /// What.
    name: String,
    /// Whether it is as it should be.
    ok: bool,
    /// Whether evalrun can do its main work without it.
    needed: bool,
    /// What was found.
    detail: String,
    /// What to do where it is not.
    remedy: Option<String>,
    /// How long it takes, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    microseconds: Option<u64>,
}

/// Programs that evalrun starts: name, whether it is needed, what for, Debian's package.
const PROGRAMS: [(&str, bool, &str, &str); 8] = [
    ("git", true, "fetches repositories and applies patches", "git"),
    ("patch", true, "applies what git does not", "patch"),
    ("python3", false, "tasks in Python on the host source, such as datasets/mini", "python3"),
    ("make", false, "tasks in C on the host source, such as datasets/mini", "make"),
    ("cc", false, "tasks in C on the host source, such as datasets/mini", "gcc"),
    ("mmdebstrap", false, "makes Debian bases; debootstrap serves as well", "mmdebstrap"),
    ("uv", false, "brings Pythons that a base does not have", ""),
    ("docker", false, "the docker back-end, --backend docker", "docker.io"),
];

pub(super) fn run(args: &DoctorArgs, session: &Session) -> Result<u8, Failure> {
    let home = session.settings.home()?;
    if args.leaks {
        return leaks(&home, session);
    }
    let mut checks = vec![home_check(&home)];
    checks.extend(native::probe().into_iter().map(Check::from));
    checks.push(trial_check(session));
    checks.extend(paths::checks(session));
    checks.extend(PROGRAMS.map(program_check));
    let sound = checks.iter().all(|check| check.ok || !check.needed);
    match session.terminal.json {
        true => session.terminal.print_json(&checks),
        false => session.terminal.print(&text_of(&checks)),
    }
    if sound {
        session.terminal.say("evalrun can run here");
        return Ok(exit::FINISHED);
    }
    session.terminal.note("error: something that evalrun needs is missing");
    Ok(exit::BROKEN)
}

impl From<Probe> for Check {
    fn from(probe: Probe) -> Self {
        Self {
            name: probe.name.to_owned(),
            ok: probe.ok,
            needed: true,
            detail: probe.detail,
            remedy: probe.remedy,
            microseconds: probe.took.and_then(|took| u64::try_from(took.as_micros()).ok()),
        }
    }
}

/// The cache folder: can it be written, and is there room?
fn home_check(home: &Path) -> Check {
    let writable = fs_err::create_dir_all(home)
        .map_err(|error| error.to_string())
        .and_then(|()| tempfile::tempfile_in(home).map_err(|error| error.to_string()));
    let free = rustix::fs::statvfs(home).map(|fs| fs.f_bavail * fs.f_frsize).unwrap_or_default();
    let roomy = free > (1 << 30);
    let detail = match &writable {
        Ok(_) => format!("{}: {} free", home.display(), bytes(free)),
        Err(error) => error.clone(),
    };
    Check {
        name: "cache folder".to_owned(),
        ok: writable.is_ok() && roomy,
        needed: true,
        detail,
        remedy: Some("--home or EVALRUN_HOME names another folder".to_owned()),
        microseconds: None,
    }
}

/// The proof of all that: a sandbox is made, and a program runs in it.
fn trial_check(session: &Session) -> Check {
    let result = runtime().and_then(|runtime| runtime.block_on(trial(session)));
    let (detail, remedy) = match &result {
        Ok((took, caveats)) => {
            let mut detail = format!("made, used and ended in {} ms", took.as_millis());
            for caveat in caveats {
                let _ = write!(detail, "; {caveat}");
            }
            (detail, None)
        }
        Err(failure) => {
            let remedy = "mend what is said above; `evalrun sweep` if runs were killed".to_owned();
            (failure.text().trim_end().replace('\n', ";"), Some(remedy))
        }
    };
    let name = "a sandbox".to_owned();
    Check { name, ok: result.is_ok(), needed: true, detail, remedy, microseconds: None }
}

async fn trial(session: &Session) -> Result<(Duration, Vec<String>), Failure> {
    let store = session.settings.store()?;
    let _in_use = store.use_lock().map_err(Failure::broken)?;
    let backend = session.settings.backend(&store).await?;
    let result = async {
        let (key, config) = (layers::host_key(&[]), layers::host::config());
        let image = backend.import(key, Root::Host, &config).await?;
        let started = Instant::now();
        let sandbox = backend.create(&image, &SandboxOptions::default()).await?;
        let outcome =
            sandbox.exec(&Command::new(["/bin/sh", "-c", "test -w /tmp"])).await?.wait().await?;
        sandbox.terminate().await?;
        Ok::<_, SandboxError>((outcome, started.elapsed()))
    }
    .await;
    backend.close().await;
    match result.map_err(Failure::broken)? {
        (outcome, took) if outcome.success() => Ok((took, backend.caveats())),
        (outcome, _) => Err(Failure::broken(anyhow!("a shell ended with {:?}", outcome.status))),
    }
}

fn program_check((name, needed, purpose, package): (&str, bool, &str, &str)) -> Check {
    let found = program(name).or_else(|| {
        // Debian has it; others have only its elder.
        (name == "mmdebstrap").then(|| program("debootstrap")).flatten()
    });
    let remedy = match package {
        "" => format!("install {name}; evalrun does without where it can"),
        package => format!("apt-get install {package}"),
    };
    Check {
        name: name.to_owned(),
        ok: found.is_some(),
        needed,
        detail: match found {
            Some(path) => path.display().to_string(),
            None => format!("not found; {purpose}"),
        },
        remedy: Some(remedy),
        microseconds: None,
    }
}

fn text_of(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let state = match (check.ok, check.needed) {
            (true, _) => "ok     ",
            (false, true) => "MISSING",
            (false, false) => "without",
        };
        let _ = writeln!(text, "{state}  {:width$}  {}", check.name, check.detail);
        if let (false, Some(remedy)) = (check.ok, &check.remedy) {
            for line in remedy.lines() {
                let _ = writeln!(text, "{:width$}  hint: {line}", "", width = width + 9);
            }
        }
    }
    text
}

/// What dead runs left behind.
fn leaks(home: &Path, session: &Session) -> Result<u8, Failure> {
    let found = native::leaks(home);
    if session.terminal.json {
        session.terminal.print_json(&found);
    } else {
        let lines: String = found.iter().map(|leak| format!("{leak}\n")).collect();
        session.terminal.print(&lines);
    }
    if found.is_empty() {
        session.terminal.say("nothing is left behind");
        return Ok(exit::FINISHED);
    }
    session
        .terminal
        .note(&format!("error: {} things are left behind\nhint: evalrun sweep", found.len()));
    Ok(exit::BROKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_a_remedy() {
        let missing = program_check(("no-such-program", true, "tests", "some-package"));
        assert!(!missing.ok);
        let text = text_of(&[missing, program_check(("sh", true, "everything", "dash"))]);
        assert!(text.contains("MISSING  no-such-program  not found; tests\n"), "{text}");
        assert!(text.contains("hint: apt-get install some-package\n"), "{text}");
        assert!(text.contains("ok       sh"), "{text}");
    }
}
