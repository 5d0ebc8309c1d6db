//! What of this machine's `/etc` a host image gets: an allow-list, and never a secret.

use super::{make_directory, write_file};
use crate::layers::StoreError;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Files, links and whole directories that programs of `/usr` need to find their parts. A `*` at
/// the end stands for the rest of a name.
const ALLOWED: [&str; 51] = [
    "alternatives",
    "bash.bashrc",
    "bindresvport.blacklist",
    "ca-certificates.conf",
    "debian_version",
    "alpine-release",
    "arch-release",
    "ethertypes",
    "fedora-release",
    "fonts",
    "gai.conf",
    "groff",
    "host.conf",
    "inputrc",
    "issue",
    "java",
    "java-*",
    "jvm",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ld-musl-*",
    "libnl",
    "locale.alias",
    "locale.conf",
    "locale.gen",
    "localtime",
    "login.defs",
    "lsb-release",
    "magic",
    "magic.mime",
    "mailcap",
    "mime.types",
    "mke2fs.conf",
    "netconfig",
    "networks",
    "os-release",
    "perl",
    "protocols",
    "python",
    "python2*",
    "python3*",
    "redhat-release",
    "rpc",
    "services",
    "sgml",
    "system-release",
    "terminfo",
    "timezone",
    "xattr.conf",
    "xml",
];

/// Where certificates of authorities are. Only certificates are taken, links included.
const CERTIFICATES: [&str; 5] =
    ["ssl/certs", "ssl/cert.pem", "ca-certificates", "pki/tls/certs", "pki/ca-trust/extracted"];

/// Configuration of libraries at paths that hold other things too.
const SINGLE: [&str; 3] =
    ["ssl/openssl.cnf", "pki/tls/openssl.cnf", "crypto-policies/back-ends/opensslcnf.config"];

/// Parts of names that tell of a secret, wherever they are found.
const SECRET: [&str; 9] =
    ["shadow", "secret", "passw", "credential", "token", "private", ".key", "id_rsa", "netrc"];

/// Files larger than this are no configuration.
const MAX_FILE: u64 = 16 << 20;

/// Copies what is allowed from one `/etc` to another.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    for entry in fs_err::read_dir(from)? {
        let name = entry?.file_name();
        if is_allowed(&name) {
            copy_tree(&from.join(&name), &to.join(&name), false)?;
        }
    }
    for path in CERTIFICATES {
        copy_below(from, to, path, true)?;
    }
    for path in SINGLE {
        copy_below(from, to, path, false)?;
    }
    Ok(())
}

/// Writes what must not be the machine's own: accounts, names, name services.
pub(super) fn write_own(host: &Path, to: &Path) -> Result<(), StoreError> {
    let shell = if host.join("usr/bin/bash").exists() || host.join("bin/bash").exists() {
        "/bin/bash"
    } else {
        "/bin/sh"
    };
    let passwd = format!(
        "root:x:0:0:root:/root:{shell}\n\
         daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
         bin:x:2:2:bin:/bin:/usr/sbin/nologin\n\
         mail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n\
         www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
    let files = [
        ("passwd", passwd.as_str()),
        (
            "group",
            "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\n\
             www-data:x:33:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n",
        ),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
             protocols: files\nservices: files\nethers: files\nrpc: files\n",
        ),
        ("hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
        ("resolv.conf", ""),
        ("shells", "/bin/sh\n/bin/bash\n"),
        ("fstab", ""),
        ("environment", ""),
        (
            "profile",
            "export PATH=\"${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}\"\n",
        ),
    ];
    for (name, text) in files {
        write_file(&to.join(name), text.as_bytes(), 0o644)?;
    }
    fs_err::os::unix::fs::symlink("/proc/self/mounts", to.join("mtab"))?;
    Ok(())
}

fn is_allowed(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    ALLOWED.iter().any(|allowed| match allowed.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *allowed,
    })
}

fn is_secret(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// Copies `path` below both, with the directories it lies in.
fn copy_below(from: &Path, to: &Path, path: &str, certificates: bool) -> Result<(), StoreError> {
    if fs_err::symlink_metadata(from.join(path)).is_err() {
        return Ok(());
    }
    let mut parent = to.to_owned();
    for part in Path::new(path).parent().into_iter().flatten() {
        parent.push(part);
        if !parent.exists() {
            make_directory(&parent, 0o755)?;
        }
    }
    copy_tree(&from.join(path), &to.join(path), certificates)
}

/// Copies a file, a link or a directory. What not everybody may read, is large, or looks like a
/// secret is left out; `certificates`: so is every file that is none.
fn copy_tree(from: &Path, to: &Path, certificates: bool) -> Result<(), StoreError> {
    let metadata = fs_err::symlink_metadata(from)?;
    if metadata.is_symlink() {
        if fs_err::symlink_metadata(to).is_err() {
            fs_err::os::unix::fs::symlink(fs_err::read_link(from)?, to)?;
        }
    } else if from.file_name().is_some_and(is_secret) || metadata.permissions().mode() & 0o4 == 0 {
        // Left out.
    } else if metadata.is_dir() {
        if !to.exists() {
            make_directory(to, 0o755)?;
        }
        for entry in fs_err::read_dir(from)? {
            let name = entry?.file_name();
            copy_tree(&from.join(&name), &to.join(&name), certificates)?;
        }
    } else if metadata.is_file() && metadata.len() <= MAX_FILE {
        let bytes = fs_err::read(from)?;
        let has = |text: &[u8]| memchr::memmem::find(&bytes, text).is_some();
        let certificate = has(b"BEGIN CERTIFICATE") || has(b"BEGIN TRUSTED CERTIFICATE");
        if !has(b"PRIVATE KEY") && (!certificates || certificate) {
            let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            write_file(to, &bytes, mode)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::Mode;

    #[test]
    fn only_what_is_allowed_and_no_secret_is_copied() {
        let from = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\n";
        let key = "-----BEGIN RSA PRIVATE KEY-----\n";
        for (path, text) in [
            ("shadow", "root:hash"),
            ("machine-id", "1"),
            ("ssh/ssh_host_key", key),
            ("npmrc", "token"),
            ("ld.so.conf", "/usr/lib"),
            ("python3.11/sitecustomize.py", "x"),
            ("java-17/management/jmxremote.password", "p"),
            ("perl/closed", "x"),
            ("perl/open", "x"),
            ("perl/sneaky", key),
            ("ssl/private/ssl.key", key),
            ("ssl/certs/ca.crt", certificate),
            ("ssl/certs/both.pem", &format!("{certificate}{key}")),
            ("ssl/certs/readme", "no certificate"),
        ] {
            let path = from.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let closed = from.path().join("perl/closed");
        rustix::fs::chmod(closed, Mode::from_raw_mode(0o640)).unwrap();
        copy(from.path(), to.path()).unwrap();
        let mut found: Vec<_> = walkdir::WalkDir::new(to.path())
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.path().strip_prefix(to.path()).unwrap().display().to_string())
            .collect();
        found.sort();
        let expected =
            ["ld.so.conf", "perl/open", "python3.11/sitecustomize.py", "ssl/certs/ca.crt"];
        assert_eq!(found, expected);
    }
}
