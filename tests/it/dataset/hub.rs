//! Downloads, against a small server that has the hub's paths and the hub's moods.

use super::{load_with, options, row};
use evalrun::dataset::{DatasetError, LoadOptions};
use evalrun::model::Digest;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server has, and how it behaves.
#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    /// Answers given instead, one a request, to paths that hold a text.
    moods: Vec<(&'static str, Mood)>,
    /// Request lines with their ranges and tokens, in order.
    asked: Vec<String>,
    /// What the list says of files that LFS does not know.
    blobs: HashMap<String, String>,
    lfs: bool,
    no_ranges: bool,
}

#[derive(Clone)]
enum Mood {
    /// A status with a header line.
    Status(u16, &'static str),
    /// The connection is cut after so many bytes of the body.
    Cut(usize),
    /// Other bytes than the true ones.
    Damage,
}

struct Hub {
    state: Arc<Mutex<State>>,
    endpoint: String,
    _runtime: tokio::runtime::Runtime,
}

impl Hub {
    fn start(state: State) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { state, endpoint, _runtime: runtime }
    }

    fn options(&self, cache: &Path) -> LoadOptions {
        LoadOptions {
            cache: cache.to_owned(),
            hf_endpoint: Some(self.endpoint.clone()),
            offline: false,
            ..options()
        }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).await.is_err() {
            return;
        }
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let header = |name: &str| {
        request.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let range = header("range");
    let answer = {
        let mut state = state.lock().unwrap();
        let mut note = path.clone();
        for extra in [range.clone(), header("authorization")].into_iter().flatten() {
            note = format!("{note} {extra}");
        }
        state.asked.push(note);
        answer(&mut state, &path, range.as_deref())
    };
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

fn answer(state: &mut State, path: &str, range: Option<&str>) -> Vec<u8> {
    let mood = state
        .moods
        .iter()
        .position(|(part, _)| path.contains(part))
        .map(|at| state.moods.remove(at).1);
    if let Some(Mood::Status(status, header)) = mood {
        return format!(
            "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n{header}\r\n\r\n"
        )
        .into();
    }
    let body = match path.strip_prefix("/api/datasets/o/n/revision/") {
        Some(_) => Some(list(state).to_string().into_bytes()),
        None => path
            .strip_prefix(&format!("/datasets/o/n/resolve/{SHA}/"))
            .and_then(|name| state.files.get(name).cloned()),
    };
    let Some(mut body) = body else {
        return b"HTTP/1.1 404 x\r\nX-Error-Code: EntryNotFound\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into();
    };
    let total = body.len();
    let from = range.map(|range| {
        range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap()
    });
    let head = match from.filter(|_| !state.no_ranges) {
        Some(from) => {
            body.drain(..from);
            format!("HTTP/1.1 206 x\r\nContent-Range: bytes {from}-{}/{total}\r\n", total - 1)
        }
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let head = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    match mood {
        Some(Mood::Cut(at)) => body.truncate(at),
        Some(Mood::Damage) => body.fill(b'x'),
        _ => {}
    }
    [head.into_bytes(), body].concat()
}

fn list(state: &State) -> Value {
    let files = state.files.iter().map(|(name, body)| {
        let lfs = state.lfs.then(|| json!({"sha256": Digest::of(body).to_string(), "size": body.len(), "pointerSize": 130}));
        json!({"rfilename": name, "size": body.len(), "blobId": state.blobs.get(name), "lfs": lfs})
    });
    let files: Vec<_> = files.collect();
    json!({"id": "o/n", "sha": SHA, "siblings": files, "private": false})
}

/// A hub with two splits of rows; the first has two files.
fn state() -> State {
    let lines = |ids: &[&str]| {
        let lines: Vec<_> =
            ids.iter().map(|id| serde_json::to_string(&row(id)).unwrap() + "\n").collect();
        lines.concat().into_bytes()
    };
    let many: Vec<_> = (0..2000).map(|n| format!("o__n-{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let files = [
        ("README.md".to_owned(), b"about".to_vec()),
        ("test.jsonl".to_owned(), lines(&many)),
        ("dev.jsonl".to_owned(), lines(&["o__n-1"])),
    ];
    State { files: files.into(), lfs: true, ..State::default() }
}

#[test]
fn a_revision_is_resolved_once_and_pinned() {
    let hub = Hub::start(state());
    let temp = tempfile::tempdir().unwrap();
    let with_token = LoadOptions { hf_token: Some("hf_x".into()), ..hub.options(temp.path()) };
    let dataset = load_with("o/n", &with_token).unwrap();
    assert_eq!((dataset.name.as_str(), dataset.instances.len()), ("o/n", 2000));
    let asked = [
        "/api/datasets/o/n/revision/main?blobs=true Bearer hf_x".to_owned(),
        format!("/datasets/o/n/resolve/{SHA}/test.jsonl Bearer hf_x"),
    ];
    assert_eq!(hub.asked(), asked);
    assert!(temp.path().join(format!("o__n/{SHA}/test.jsonl")).is_file());

    // Again: nothing is asked; another split asks for its file alone; offline works for both.
    assert_eq!(load_with("o/n", &with_token).unwrap().digest, dataset.digest);
    assert!(hub.asked().is_empty());
    let dev = LoadOptions { split: Some("dev".into()), ..hub.options(temp.path()) };
    assert_eq!(load_with("o/n", &dev).unwrap().instances.len(), 1);
    assert_eq!(hub.asked(), [format!("/datasets/o/n/resolve/{SHA}/dev.jsonl")]);
    let offline = LoadOptions { offline: true, ..dev.clone() };
    assert_eq!(load_with("o/n", &offline).unwrap().instances.len(), 1);
    let train = LoadOptions { split: Some("train".into()), ..dev.clone() };
    let told = load_with("o/n", &train).unwrap_err().to_string();
    assert!(told.contains("its files are of dev, test: name one with --split"), "{told}");
    assert!(hub.asked().is_empty());

    // A revision that is named is looked up again; a commit never is.
    let named = LoadOptions { revision: Some("refs/pr/1".into()), ..dev.clone() };
    load_with("o/n", &named).unwrap();
    assert_eq!(hub.asked(), ["/api/datasets/o/n/revision/refs%2Fpr%2F1?blobs=true"]);
    let commit = LoadOptions { revision: Some(SHA.into()), ..dev };
    load_with("o/n", &commit).unwrap();
    assert!(hub.asked().is_empty());
}

#[test]
fn a_name_of_the_registry_goes_the_same_way() {
    let hub = Hub::start(state());
    let temp = tempfile::tempdir().unwrap();
    let registry = temp.path().join("registry.toml");
    let text = format!(
        "[tiny]\nabout = \"x\"\nkind = \"hub\"\nid = \"o/n\"\nrevision = \"{SHA}\"\nsplit = \"dev\"\nfiles = [\"{{split}}.jsonl\"]\n"
    );
    fs_err::write(&registry, text).unwrap();
    let options = LoadOptions { registry, ..hub.options(temp.path()) };
    let dataset = load_with("tiny", &options).unwrap();
    assert_eq!((dataset.name.as_str(), dataset.split.as_str()), ("tiny", "dev"));
    assert_eq!(hub.asked()[0], format!("/api/datasets/o/n/revision/{SHA}?blobs=true"));
}

#[test]
fn a_connection_cut_in_the_middle_is_resumed() {
    let mut state = state();
    let size = state.files["test.jsonl"].len();
    state.moods =
        vec![("resolve", Mood::Cut(1000)), ("resolve", Mood::Cut(500)), ("api", Mood::Cut(10))];
    let hub = Hub::start(state);
    let temp = tempfile::tempdir().unwrap();
    let dataset = load_with("o/n", &hub.options(temp.path())).unwrap();
    assert_eq!(dataset.instances.len(), 2000);
    let ranges: Vec<_> = hub
        .asked()
        .iter()
        .filter_map(|line| line.split_once(' ').map(|(_, range)| range.to_owned()))
        .collect();
    assert_eq!(ranges, ["bytes=1000-", "bytes=1500-"]);

    // What an earlier run left is used, unless the server knows no ranges.
    let file = temp.path().join(format!("o__n/{SHA}/test.jsonl"));
    let part = temp.path().join(format!("o__n/{SHA}/test.jsonl.part"));
    for no_ranges in [false, true] {
        let whole = fs_err::read(&file).unwrap();
        fs_err::remove_file(&file).unwrap();
        fs_err::write(&part, &whole[..7777]).unwrap();
        hub.state.lock().unwrap().no_ranges = no_ranges;
        assert_eq!(load_with("o/n", &hub.options(temp.path())).unwrap().digest, dataset.digest);
        assert_eq!(hub.asked(), [format!("/datasets/o/n/resolve/{SHA}/test.jsonl bytes=7777-")]);
        assert_eq!(fs_err::metadata(&file).unwrap().len(), size as u64);
        assert!(!part.exists());
    }
}

#[test]
fn damage_is_noticed_and_fetched_again_once() {
    for lfs in [true, false] {
        let mut state = state();
        state.lfs = lfs;
        // The git object id of the file, as `git hash-object` gives it.
        let body = &state.files["dev.jsonl"];
        let blob = git2::Oid::hash_object(git2::ObjectType::Blob, body).unwrap().to_string();
        state.blobs.insert("dev.jsonl".into(), blob);
        state.moods = vec![("resolve", Mood::Damage)];
        let hub = Hub::start(state);
        let temp = tempfile::tempdir().unwrap();
        let dev = LoadOptions { split: Some("dev".into()), ..hub.options(temp.path()) };
        assert_eq!(load_with("o/n", &dev).unwrap().instances.len(), 1);
        assert_eq!(hub.asked().len(), 3);

        let again = tempfile::tempdir().unwrap();
        hub.state.lock().unwrap().moods =
            vec![("resolve", Mood::Damage), ("resolve", Mood::Damage)];
        let dev = LoadOptions { cache: again.path().to_owned(), ..dev };
        let told = load_with("o/n", &dev).unwrap_err().to_string();
        assert!(
            told.contains(if lfs { "the file has the digest" } else { "the git object id" }),
            "{told}"
        );
        let left: Vec<_> =
            fs_err::read_dir(again.path().join(format!("o__n/{SHA}"))).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn passing_trouble_is_waited_out_and_lasting_trouble_is_told() {
    let mut passing = state();
    passing.moods = vec![
        ("api", Mood::Status(429, "Retry-After: 1")),
        ("api", Mood::Status(503, "X: y")),
        ("resolve", Mood::Status(500, "X: y")),
    ];
    let hub = Hub::start(passing);
    let temp = tempfile::tempdir().unwrap();
    let start = std::time::Instant::now();
    assert_eq!(load_with("o/n", &hub.options(temp.path())).unwrap().instances.len(), 2000);
    assert!(start.elapsed().as_secs_f64() >= 1.0, "Retry-After was not honoured");

    let told = |moods: Vec<(&'static str, Mood)>, token: Option<&str>, spec: &str| {
        hub.state.lock().unwrap().moods = moods;
        let temp = tempfile::tempdir().unwrap();
        let options = LoadOptions { hf_token: token.map(Into::into), ..hub.options(temp.path()) };
        let error = load_with(spec, &options).unwrap_err();
        assert!(matches!(error, DatasetError::Hub { .. }), "{error}");
        error.to_string()
    };
    let api = |status, header| vec![("api", Mood::Status(status, header))];
    for (text, parts) in [
        (told(api(401, "X: y"), None, "o/n"), ["status 401", "hint: set HF_TOKEN"]),
        (
            told(api(401, "X: y"), Some("hf_x"), "o/n"),
            ["does not accept the token", "hint: make a new one"],
        ),
        (
            told(api(403, "X-Error-Message: gated"), None, "o/n"),
            ["(status 403) (gated)", "hint: ask for access at http://127"],
        ),
        (
            told(api(404, "X-Error-Code: RevisionNotFound"), None, "o/n"),
            ["has no such revision", "hint: check --revision"],
        ),
        (
            told(vec![], None, "o/other"),
            ["knows no such data set", "hint: check the name `o/other`"],
        ),
        (
            told(api(429, "Retry-After: 4000"), None, "o/n"),
            ["wait 4000 s", "hint: try again later"],
        ),
        (
            told(vec![("resolve", Mood::Status(404, "X: y"))], None, "o/n"),
            ["test.jsonl: the hub knows no such", "hint: "],
        ),
        (
            told(vec![("api", Mood::Damage)], None, "o/n"),
            ["not what a hub says", "hint: check HF_ENDPOINT"],
        ),
    ] {
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} in {text}");
        assert!(!text.contains("hf_x"), "{text}");
    }
}

#[test]
fn no_hub_at_the_address_is_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let temp = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        cache: temp.path().to_owned(),
        hf_endpoint: Some(format!("http://{free}")),
        offline: false,
        ..options()
    };
    let told = load_with("o/n", &options).unwrap_err().to_string();
    assert!(
        told.contains("the connection failed")
            && told.contains("hint: check the network, HTTPS_PROXY"),
        "{told}"
    );
    let options = LoadOptions { hf_endpoint: Some("hub".into()), ..options };
    let told = load_with("o/n", &options).unwrap_err().to_string();
    assert!(told.contains("`hub` is no address of a hub"), "{told}");
}

#[test]
fn assets_are_downloaded_once_and_what_cannot_be_had_is_told() {
    let files = HashMap::from([("a.png".to_owned(), b"image".to_vec())]);
    let hub = Hub::start(State { files, ..State::default() });
    let cache = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("{}/datasets/o/n/resolve/{SHA}/{name}", hub.endpoint);
    let mut with_assets = row("o__n-1");
    let assets = json!({"test_patch": [
        {"path": "t/a.png", "url": at("a.png")},
        {"path": "t/b.png", "url": at("b.png")},
    ]});
    with_assets.insert("image_assets".to_owned(), assets);
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.jsonl");
    fs_err::write(&rows, Value::from(with_assets).to_string()).unwrap();
    let options = hub.options(cache.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let spec = rows.to_str().unwrap();
    let dataset = runtime.block_on(evalrun::dataset::load(spec, &options)).unwrap();

    for asked in [2, 1] {
        let fetched = runtime.block_on(evalrun::dataset::fetch_assets(&dataset, &options)).unwrap();
        assert_eq!(fs_err::read(&fetched.files[&at("a.png")]).unwrap(), b"image");
        assert_eq!(fetched.failures.len(), 1);
        assert!(fetched.failures[0].to_string().contains("b.png"), "{}", fetched.failures[0]);
        assert_eq!(hub.asked().len(), asked, "the file that is there was asked for again");
    }
}
