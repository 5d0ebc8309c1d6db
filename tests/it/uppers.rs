//! Where sandboxes write, what limits that, and what becomes of it: uppers in memory and on disk,
//! their limits, snapshots of them, and children of those.
//!
//! They need what the conformance suite of the native back-end needs. Those of project quotas need
//! the machine's root besides, and say so where they cannot run; with `CI=true` they fail there.

use crate::conformance::bench::scratch;
use evalrun::layers::{Store, host};
use evalrun::model::{DiskLimit, Outcome, Status};
use evalrun::sandbox::native::{NativeBackend, NativeOptions};
use evalrun::sandbox::{Backend, Command, Limits, Output, Root, Sandbox, SandboxOptions, Upper};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

struct Bench {
    backend: Arc<NativeBackend>,
    image: evalrun::layers::ImageKey,
    _home: tempfile::TempDir,
}

/// `None` where this machine cannot have it.
async fn bench(disk_limit: Option<DiskLimit>) -> Option<Bench> {
    let home = tempfile::tempdir_in(scratch()).unwrap();
    let helper = Some(PathBuf::from(env!("CARGO_BIN_EXE_evalrun")));
    let options = NativeOptions { helper, disk_limit, ..NativeOptions::default() };
    let backend = match NativeBackend::new(Store::open(home.path()).unwrap(), options) {
        Ok(backend) => backend,
        Err(error) => return skip(&format!("needs user namespaces: {error}")),
    };
    let image = backend.import(host::host_key(&[]), Root::Host, &host::config()).await.unwrap();
    Some(Bench { backend, image, _home: home })
}

fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped, {why}");
    None
}

impl Bench {
    async fn sandbox(&self, upper: Upper, change: impl FnOnce(&mut Limits)) -> Arc<dyn Sandbox> {
        let mut options = SandboxOptions { upper, ..SandboxOptions::default() };
        change(&mut options.limits);
        self.backend.create(&self.image, &options).await.unwrap()
    }
}

/// Runs Python; gives its outcome and what it printed.
async fn run(sandbox: &dyn Sandbox, code: &str) -> (Outcome, String) {
    crate::conformance::bench::run(sandbox, Command::new(["python3", "-c", code])).await
}

async fn printed(sandbox: &dyn Sandbox, code: &str) -> String {
    let (outcome, text) = run(sandbox, code).await;
    assert!(outcome.success(), "{code}\n{outcome:?}: {text}");
    text.trim_end().to_owned()
}

/// Makes one of everything below /kept, and changes what the image has.
const MAKE: &str = r"
import os, shutil, socket
os.makedirs('/kept/a/b')
os.chdir('/kept')
open('text', 'w').write('text')
os.chmod('text', 0o4751)
os.link('text', 'a/same')
os.link('text', 'a/b/same')
os.symlink('nowhere', 'link')
os.mkfifo('pipe', 0o640)
socket.socket(socket.AF_UNIX).bind('socket')
with open('holes', 'wb') as file:
    for at in (0, 5 << 20, 70 << 20):
        file.seek(at); file.write(b'x' * 5000)
    file.truncate(100 << 20)
os.setxattr('text', 'user.note', b'a note')
os.mkdir('closed'); open('closed/file', 'w'); os.chmod('closed/file', 0); os.chmod('closed', 0)
os.mkdir('sticky', 0o700); os.chmod('sticky', 0o3775)
try:
    os.chown('a', 12, 34); os.chown('link', 56, 78, follow_symlinks=False)
except OSError: pass
os.utime('text', ns=(1_000_000_007, 2_000_000_011))
os.utime('a', ns=(3, 5))
shutil.rmtree('/srv'); os.mkdir('/srv'); open('/srv/new', 'w')
shutil.rmtree('/media')
";

/// Tells all of it.
const TELL: &str = r"
import hashlib, os, stat
def tell(path):
    s = os.lstat(path)
    what = [path, oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns]
    if not stat.S_ISDIR(s.st_mode): what.append(s.st_size)
    if stat.S_ISLNK(s.st_mode): what.append(os.readlink(path))
    else: what.append([(n, os.getxattr(path, n)) for n in os.listxattr(path)])
    if stat.S_ISREG(s.st_mode):
        what += [s.st_blocks < 4096, hashlib.sha256(open(path, 'rb').read()).hexdigest()]
    print(what)
for top in ('/kept', '/srv'):
    for folder, folders, files in os.walk(top):
        folders.sort()
        for path in sorted([folder] + [os.path.join(folder, f) for f in folders + files]): tell(path)
same = [os.stat(p).st_ino for p in ('/kept/text', '/kept/a/same', '/kept/a/b/same')]
print(len(set(same)), os.path.exists('/media'), sorted(os.listdir('/srv')))
";

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_keep_all_that_programs_go_by() {
    let Some(bench) = bench(None).await else { return };
    for upper in [Upper::Disk, Upper::Memory] {
        let sandbox = bench.sandbox(upper, |_| ()).await;
        printed(&*sandbox, MAKE).await;
        let told = printed(&*sandbox, TELL).await;
        assert!(told.contains("'/kept/socket'") && told.ends_with("1 False ['new']"), "{told}");
        let running = sandbox.snapshot(None, &host::config(), false).await.unwrap();
        let last = sandbox.snapshot(None, &host::config(), true).await.unwrap();
        for image in [running, last] {
            for upper in [Upper::Disk, Upper::Memory] {
                let options = SandboxOptions { upper, ..SandboxOptions::default() };
                let child = bench.backend.create(&image, &options).await.unwrap();
                assert_eq!(printed(&*child, TELL).await, told);
            }
        }
    }
    bench.backend.close().await;
}

/// Writes one number after the other into fifty files, each in turn.
const WRITE_IN_TURN: &str = r"
import os, sys
os.mkdir('/kept')
files = [os.open(f'/kept/{n}', os.O_RDWR | os.O_CREAT) for n in range(50)]
for number in range(1, 10**9):
    for file in files: os.pwrite(file, b'%09d' % number, 0)
    if number == 3: print('begun', flush=True)
";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_while_a_snapshot_is_taken() {
    let Some(bench) = bench(None).await else { return };
    for upper in [Upper::Disk, Upper::Memory] {
        let sandbox = bench.sandbox(upper, |_| ()).await;
        let mut command = Command::new(["python3", "-c", WRITE_IN_TURN]);
        command.stdout = Output::Pipe;
        let mut writer = sandbox.exec(&command).await.unwrap();
        writer.stdout.take().unwrap().read_exact(&mut [0; 5]).await.unwrap();
        let stopped = "import os, signal, time\npid = os.fork()\nif pid == 0: time.sleep(60)\nos.kill(pid, signal.SIGSTOP)\nprint(pid)";
        let stopped = printed(&*sandbox, stopped).await;
        for _ in 0..5 {
            let image = sandbox.snapshot(None, &host::config(), false).await.unwrap();
            let child = bench.backend.create(&image, &SandboxOptions::default()).await.unwrap();
            let read = "print(*[int(open(f'/kept/{n}').read() or 0) for n in range(50)])";
            let read = printed(&*child, read).await;
            let numbers: Vec<u32> = read.split(' ').map(|word| word.parse().unwrap()).collect();
            assert!(numbers.is_sorted_by(|a, b| a >= b), "not of one moment: {numbers:?}");
            assert!(numbers[0] - numbers[49] <= 1, "not of one moment: {numbers:?}");
        }
        let go_on = "import time\nread = lambda: open('/kept/0').read()\nbefore = read()\nwhile read() == before: time.sleep(0.01)";
        printed(&*sandbox, go_on).await;
        let state = format!("print(open('/proc/{stopped}/stat').read().rsplit(')')[1].split()[0])");
        assert_eq!(printed(&*sandbox, &state).await, "T", "what had been stopped stays so");
    }
    bench.backend.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_children_start_from_one_snapshot_at_once() {
    let Some(bench) = bench(None).await else { return };
    let parent = bench.sandbox(Upper::Disk, |_| ()).await;
    printed(&*parent, "open('/shared', 'w').write('ours')").await;
    let image = parent.snapshot(None, &host::config(), true).await.unwrap();
    let children = (0..300).map(|number| {
        let backend = bench.backend.clone();
        tokio::spawn(async move {
            let upper = if number % 2 == 0 { Upper::Disk } else { Upper::Memory };
            let options = SandboxOptions { upper, ..SandboxOptions::default() };
            let child = backend.create(&image, &options).await.unwrap();
            let line = format!("cat /shared; echo {number} > /shared; cat /shared");
            let mut command = Command::new(["/bin/sh", "-c", &line]);
            command.stdout = Output::Pipe;
            let mut process = child.exec(&command).await.unwrap();
            let mut text = String::new();
            process.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
            assert!(process.wait().await.unwrap().success());
            assert_eq!(text, format!("ours{number}\n"));
            child
        })
    });
    let mut alive = Vec::new();
    for child in children.collect::<Vec<_>>() {
        alive.push(child.await.unwrap());
    }
    drop(alive);
    bench.backend.close().await;
}

/// Writes files of this size until it cannot, and says why and how far it came.
fn fill(megabytes: u32, files: u32) -> String {
    format!(
        "import os\nn = 0\ntry:\n  os.makedirs('/var/tmp/fill')\n  for n in range({files}):\n    with open(f'/var/tmp/fill/{{n}}', 'wb') as f:\n      for _ in range({megabytes}): f.write(bytes(1 << 20)); f.flush()\nexcept OSError as e: print(n, e.errno)"
    )
}

const NO_SPACE: &str = "28";
const QUOTA_EXCEEDED: &str = "122";

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_not_what_ends_a_program_that_fills_its_upper() {
    let Some(bench) = bench(None).await else { return };
    for (upper, disk) in [(Upper::Memory, None), (Upper::Auto, Some(1 << 40))] {
        let sandbox = bench
            .sandbox(upper, |limits| {
                limits.memory = Some(128 << 20);
                limits.disk = disk;
            })
            .await;
        assert_eq!(sandbox.disk().limited_by, DiskLimit::FileSystem);
        assert!(sandbox.disk().in_memory && !sandbox.disk().ran_short);
        let (outcome, text) = run(&*sandbox, &fill(4, 100)).await;
        assert_eq!(text.trim_end().rsplit(' ').next(), Some(NO_SPACE), "{text}");
        assert!(outcome.limits_hit.disk && !outcome.limits_hit.memory, "{outcome:?}");
        printed(&*sandbox, "import shutil\nshutil.rmtree('/var/tmp/fill')").await;
        assert!(sandbox.disk().ran_short, "it is remembered");
    }
    let sandbox = bench.sandbox(Upper::Memory, |limits| limits.disk = Some(1 << 20)).await;
    let (outcome, text) = run(&*sandbox, &fill(0, 20_000)).await;
    assert!(text.trim_end().ends_with(NO_SPACE), "files without content: {text}");
    assert!(outcome.limits_hit.disk, "{outcome:?}");
    bench.backend.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_limits_the_disk_is_said() {
    let Some(bench) = bench(Some(DiskLimit::Watch)).await else { return };
    let sandbox = bench.sandbox(Upper::Disk, |_| ()).await;
    assert_eq!(sandbox.disk().limited_by, DiskLimit::Watch);
    let sandbox = bench.sandbox(Upper::Disk, |limits| limits.disk = None).await;
    assert_eq!(sandbox.disk().limited_by, DiskLimit::Nothing);
    assert!(bench.backend.caveats().iter().any(|caveat| caveat.contains("watched")));
    bench.backend.close().await;
}

/// Runs an ignored test of this file with its scratch folder on a file system of its own, in a mount
/// namespace of its own.
fn on_a_file_system(make: &str, mount: &str, test: &str) {
    if !rustix::process::geteuid().is_root() {
        skip::<()>("needs the machine's root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {} && truncate -s 1G image && PATH=$PATH:/usr/sbin:/sbin {make} image && mkdir home || \
         exit 1; mount -o loop,{mount} image home || exit 77; export EVALRUN_TEST_HOME=$PWD/home; \
         exec {} {test} --exact --ignored --nocapture",
        folder.path().display(),
        std::env::current_exe().unwrap().display()
    );
    let done =
        std::process::Command::new("unshare").args(["--mount", "sh", "-c", &script]).output();
    let done = done.unwrap();
    let text = [done.stdout, done.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if done.status.code() == Some(77) {
        eprintln!("skipped, this kernel cannot mount such a file system: {text}");
        return;
    }
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_project_quota_limits_what_goes_to_disk() {
    let test = "uppers::within_a_project_quota";
    on_a_file_system("mkfs.ext4 -q -O quota,project", "prjquota", test);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the one above, on a file system with project quotas"]
async fn within_a_project_quota() {
    let bench = bench(Some(DiskLimit::Quota)).await.unwrap();
    let limited = || bench.sandbox(Upper::Disk, |limits| limits.disk = Some(64 << 20));
    let (full, other) = (limited().await, limited().await);
    assert_eq!(full.disk().limited_by, DiskLimit::Quota);
    for megabytes in [100, 4] {
        let (outcome, text) = run(&*full, &fill(megabytes, 100)).await;
        assert_eq!(text.trim_end().rsplit(' ').next(), Some(QUOTA_EXCEEDED), "{text}");
        assert!(outcome.limits_hit.disk, "{outcome:?}");
        assert_eq!(outcome.status, Status::Code(0), "the program is told, not ended");
        printed(&*full, "import shutil\nshutil.rmtree('/var/tmp/fill')").await;
    }
    let (outcome, text) = run(&*full, &fill(0, 20_000)).await;
    assert!(text.trim_end().ends_with(QUOTA_EXCEEDED), "files without content: {text}");
    assert!(outcome.limits_hit.disk, "{outcome:?}");
    printed(&*full, "import shutil\nshutil.rmtree('/var/tmp/fill')").await;
    assert!(!run(&*full, "pass").await.0.limits_hit.disk, "there is room again");
    assert_eq!(run(&*other, &fill(10, 5)).await.1, "", "the other has all of its own");

    // Nobody inside leaves the project.
    let leave = "import fcntl, os, struct\nos.makedirs('/var/tmp/out')\nf = os.open('/var/tmp/out', os.O_RDONLY)\na = bytearray(28)\nfcntl.ioctl(f, 0x801c581f, a)\nprint(struct.unpack_from('I', a, 12)[0] > 0)\na[12:16] = bytes(4)\ntry: fcntl.ioctl(f, 0x401c5820, bytes(a))\nexcept OSError as e: print('refused')";
    let (_, text) = run(&*full, leave).await;
    assert!(text.ends_with("refused\n"), "{text}");

    // What was taken as a layer is nobody's burden: not of a child, not of whoever comes later.
    printed(&*other, "import shutil\nshutil.rmtree('/var/tmp/fill')").await;
    assert_eq!(run(&*other, &fill(10, 5)).await.1, "");
    let image = other.snapshot(None, &host::config(), true).await.unwrap();
    let mut options = SandboxOptions::default();
    options.limits.disk = Some(64 << 20);
    let child = bench.backend.create(&image, &options).await.unwrap();
    let more = "open('/var/tmp/more', 'wb').write(bytes(50 << 20))";
    printed(&*child, &format!("{more}; import os; os.rename('/var/tmp/fill/0', '/var/tmp/x')"))
        .await;
    drop((full, other, child));
    bench.backend.close().await;
}

/// A data set of one task whose tests write 100 MB.
fn large_task(folder: &Path) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    write("repo/answer", "none\n");
    write("dataset.toml", "name = \"large\"\nrows = \"rows.jsonl\"\nenvs = \"envs\"\n");
    let recipe = "repo = \"test/large\"\n[[env]]\nversions = [\"1\"]\nbase = \"host\"\ntools = \
                  [\"git\", \"patch\", \"sh\"]\nsource = \"dir:../repo\"\ntest_command = \"sh \
                  check.sh\"\nlog_parser = \"parse_log_pytest\"\n";
    write("envs/test__large.toml", recipe);
    let test_patch = "diff --git a/check.sh b/check.sh\nnew file mode 100755\n--- /dev/null\n+++ \
                      b/check.sh\n@@ -0,0 +1,3 @@\n+#!/bin/sh\n+head -c 100000000 /dev/zero > \
                      /var/tmp/large || exit 1\n+echo PASSED answer\n";
    let script = format!(
        "#!/bin/bash\nset -uxo pipefail\ncd /testbed\ngit apply -v - <<'EOF_1'\n{test_patch}EOF_1\n: \
         '>>>>> Start Test Output'\nsh check.sh\n: '>>>>> End Test Output'\n"
    );
    let row = serde_json::json!({
        "repo": "test/large", "instance_id": "test__large-1", "version": "1",
        "patch": "diff --git a/answer b/answer\n--- a/answer\n+++ b/answer\n@@ -1 +1 @@\n-none\n+right\n",
        "test_patch": test_patch, "FAIL_TO_PASS": ["answer"], "PASS_TO_PASS": [],
        "eval_script": script, "log_parser": "parse_log_pytest", "eval_type": "pass_and_fail",
    });
    write("rows.jsonl", &format!("{row}\n"));
}

#[test]
fn a_run_that_fills_its_memory_goes_again_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    large_task(&folder.path().join("set"));
    let run = |upper: &str| -> serde_json::Value {
        let reports = folder.path().join(upper);
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_evalrun"))
            .args(["run", "--predictions", "gold", "--memory", "128M", "--run-id", "r", "--quiet"])
            .args(["--upper", upper, "--dataset"])
            .arg(folder.path().join("set"))
            .arg("--home")
            .arg(folder.path().join("home"))
            .arg("--report-dir")
            .arg(&reports)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        // A verdict without tests has no report of its own.
        let journal = fs_err::read_to_string(reports.join("r/journal.jsonl")).unwrap();
        let mut events = journal.lines().map(|line| serde_json::from_str(line).unwrap());
        let evaluated = |line: &serde_json::Value| line["event"].get("evaluated").is_some();
        let mut event: serde_json::Value = events.find(evaluated).unwrap();
        event["event"]["evaluated"]["evaluation"].take()
    };
    let memory = run("memory");
    assert_eq!(memory["verdict"]["verdict"], "tests_stopped", "{memory:#}");
    assert_eq!(memory["disk"]["ran_short"], true, "{memory:#}");
    for upper in ["disk", "auto"] {
        let seen = run(upper);
        assert_eq!(seen["verdict"]["verdict"], "resolved", "{seen:#}");
        assert_eq!(seen["disk"]["in_memory"], false, "{seen:#}");
        let notes = seen["notes"].to_string();
        assert_eq!(notes.contains("a second run, on disk"), upper == "auto", "{notes}");
    }
}
