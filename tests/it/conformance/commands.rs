//! Commands: how they end, what they read and write, and what they are born with.

use super::bench::{Bench, contents, logged, printed, run, shell};
use bytes::Bytes;
use evalrun::model::{Digest, Status};
use evalrun::sandbox::{Command, Output, SandboxError, SandboxOptions, Stdin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(super) async fn exit_codes_and_signals(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    for code in [0, 1, 127, 255] {
        let (outcome, _) = shell(&*sandbox, &format!("exit {code}")).await;
        assert_eq!(outcome.status, Status::Code(code));
    }
    for signal in [9, 15, 11] {
        let (outcome, _) = shell(&*sandbox, &format!("kill -{signal} $$")).await;
        assert_eq!(outcome.status, Status::Signal(signal));
    }
    let process = sandbox.exec(&Command::new(["sleep", "60"])).await.unwrap();
    process.control.signal(12).await.unwrap();
    assert_eq!(process.wait().await.unwrap().status, Status::Signal(12));
}

pub(super) async fn what_cannot_start_is_told_apart(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    for argv in [["no-such-program"], ["/etc/passwd"], ["/no/such/program"]] {
        let error = sandbox.exec(&Command::new(argv)).await.err().unwrap();
        assert!(matches!(error, SandboxError::CannotStart { .. }), "{error}");
    }
    let mut command = Command::new(["true"]);
    command.workdir = Some("/no/such/place".to_owned());
    let error = sandbox.exec(&command).await.err().unwrap();
    assert!(error.to_string().contains("working directory"), "{error}");
    command.workdir = None;
    command.user = Some("no-such-user".to_owned());
    let error = sandbox.exec(&command).await.err().unwrap();
    assert!(error.to_string().contains("no-such-user"), "{error}");
    assert!(shell(&*sandbox, "true").await.0.success(), "nothing is broken by it");
}

pub(super) async fn output_to_a_pipe_and_to_a_file(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let mut command = Command::new(["sh", "-c", "echo out; echo more"]);
    command.stdout = Output::Pipe;
    let mut process = sandbox.exec(&command).await.unwrap();
    let mut out = String::new();
    process.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "out\nmore\n");
    assert_eq!(process.wait().await.unwrap().usage.output_bytes, 9);

    let (command, file) = logged(bench, "echo one; echo two");
    for _ in 0..2 {
        assert!(sandbox.exec(&command).await.unwrap().wait().await.unwrap().success());
    }
    assert_eq!(contents(file), "one\ntwo\none\ntwo\n", "it is appended");
}

pub(super) async fn standard_error(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let mut command = Command::new(["sh", "-c", "echo out; echo err >&2"]);
    command.stdout = Output::Pipe;
    command.stderr = Output::Pipe;
    let mut process = sandbox.exec(&command).await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    process.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    assert_eq!(process.wait().await.unwrap().usage.output_bytes, 8);
    let both = printed(&*sandbox, "echo a; echo b >&2; echo c > /dev/stdout").await;
    assert_eq!(both, "a\nb\nc", "in the order written");
    let (mut command, file) = logged(bench, "echo one; echo two >&2");
    command.stderr = Output::Stdout;
    assert!(sandbox.exec(&command).await.unwrap().wait().await.unwrap().success());
    assert_eq!(contents(file), "one\ntwo\n");
}

pub(super) async fn standard_input(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    assert_eq!(printed(&*sandbox, "cat").await, "", "it is empty");
    let mut command = Command::new(["sha256sum"]);
    let bytes = Bytes::from(vec![b'x'; 5 << 20]);
    command.stdin = Stdin::Bytes(bytes.clone());
    let (outcome, text) = run(&*sandbox, command).await;
    assert!(outcome.success());
    assert!(text.starts_with(&Digest::of(&bytes).to_string()), "{text}");
    let mut command = Command::new(["true"]);
    command.stdin = Stdin::Bytes(bytes);
    assert!(run(&*sandbox, command).await.0.success(), "who does not read it ends all the same");
}

pub(super) async fn pipes_both_ways(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let mut command = Command::new(["cat"]);
    command.stdin = Stdin::Pipe;
    command.stdout = Output::Pipe;
    let mut process = sandbox.exec(&command).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let mut stdout = process.stdout.take().unwrap();
    let mut echoed = [0; 5];
    for word in [b"first", b"again"] {
        stdin.write_all(word).await.unwrap();
        stdout.read_exact(&mut echoed).await.unwrap();
        assert_eq!(&echoed, word);
    }
    stdin.shutdown().await.unwrap();
    drop(stdin);
    assert!(process.wait().await.unwrap().success());
}

pub(super) async fn terminals(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let mut command = Command::new([
        "sh",
        "-c",
        "test -t 0 && test -t 1 && test -t 2 && stty size; read x; stty size; echo $TERM; tty",
    ]);
    command.pty = Some((100, 40));
    command.stdin = Stdin::Pipe;
    command.stdout = Output::Pipe;
    let mut process = sandbox.exec(&command).await.unwrap();
    process.control.resize((120, 50)).await.unwrap();
    process.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
    let mut text = String::new();
    process.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert!(text.contains("50 120"), "{text}");
    assert!(text.contains("xterm"), "{text}");
    assert!(text.contains("/dev/pts/"), "{text}");
    assert!(process.wait().await.unwrap().success());
}

pub(super) async fn the_environment(bench: &Bench) {
    let mut options = SandboxOptions::default();
    options.env.insert("FROM".to_owned(), "sandbox".to_owned());
    options.env.insert("KEPT".to_owned(), "yes".to_owned());
    let sandbox = bench.sandbox_with(&options).await;
    let mut command = Command::new(["sh", "-c", "echo $FROM $KEPT $HOME; pwd; id -u"]);
    command.env.insert("FROM".to_owned(), "command".to_owned());
    command.workdir = Some("/var/tmp".to_owned());
    let (_, text) = run(&*sandbox, command).await;
    assert_eq!(text, "command yes /root\n/var/tmp\n0\n");
    let all = printed(&*sandbox, "env | sed 's/=.*//' | sort | tr '\\n' ' '").await;
    let known = ["FROM", "HOME", "KEPT", "LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "_", "HOSTNAME"];
    let foreign: Vec<&str> = all.split(' ').filter(|name| !known.contains(name)).collect();
    assert_eq!(foreign, [""; 0], "variables of somebody else's");
}

pub(super) async fn users(bench: &Bench) {
    if !bench.has_owners {
        return;
    }
    let sandbox = bench.sandbox().await;
    for (user, expected) in [("nobody", "65534:65534"), ("1234", "1234:0"), ("7:8", "7:8")] {
        let line = "echo $(id -u):$(id -g); echo again > /dev/stdout; echo no > /root/file";
        let mut command = Command::new(["sh", "-c", line]);
        command.user = Some(user.to_owned());
        let (outcome, text) = run(&*sandbox, command).await;
        assert!(text.starts_with(&format!("{expected}\nagain\n")), "{text}");
        assert!(!outcome.success(), "the file is root's");
    }
}

pub(super) async fn what_holds_the_output_holds_up_nobody(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let (outcome, text) = shell(&*sandbox, "sleep 600 & echo done").await;
    assert!(outcome.success());
    assert_eq!(text, "done\n");
    let (command, file) = logged(bench, "sleep 600 & echo done");
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert!(outcome.success());
    assert_eq!(contents(file), "done\n");
    assert!(outcome.usage.wall.as_secs() < 300, "nobody waited for the sleepers");
}
