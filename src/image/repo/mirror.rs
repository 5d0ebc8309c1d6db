//! Mirrors: bare repositories in the cache that hold the history of every commit wanted so far.

use super::RepoError;
use super::git::git;
use fs_err as fs;
use git2::{Oid, Repository};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// How the other side is started when it is a directory: it must give commits that no branch names,
/// and clones that belong to another user.
const UPLOAD_PACK: &str =
    "git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true upload-pack";

/// git holds the lock of a reference for moments only.
const STALE_LOCK: Duration = Duration::from_secs(60);
/// A pack may take its time to come.
const STALE_DATA: Duration = Duration::from_secs(6 * 3600);

/// Where repositories come from, and the cache they are kept in.
pub(in crate::image) struct Mirrors {
    cache: PathBuf,
    clones: Option<PathBuf>,
    url: String,
    /// By repository: the commits that images will be made of.
    wanted: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// Repositories whose wanted commits were asked for.
    asked: Mutex<BTreeSet<String>>,
}

/// A bare repository in the cache.
pub(in crate::image) struct Mirror {
    pub(super) path: PathBuf,
    pub(super) repo: String,
    /// Commits that images will be made of; some may not be here.
    pub(super) wanted: BTreeSet<String>,
}

impl Mirrors {
    pub(in crate::image) fn new(cache: PathBuf, clones: Option<PathBuf>, url: String) -> Self {
        Self { cache, clones, url, wanted: Mutex::default(), asked: Mutex::default() }
    }

    /// Says of a commit that an image will be made of it. The packs of images share more the more is
    /// said before the first is made.
    pub(in crate::image) fn expect(&self, repo: &str, commit: &str) {
        let mut wanted = self.wanted.lock().expect("no holder panics");
        wanted.entry(repo.to_owned()).or_default().insert(commit.to_owned());
    }

    /// The mirror of a repository with these commits and all their history in it. Nothing is asked
    /// for if it has them.
    pub(in crate::image) async fn with(
        &self,
        repo: &str,
        commits: &[&str],
    ) -> Result<Mirror, RepoError> {
        let name = repo.replace('/', "__");
        if repo.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            return Err(RepoError::Content(format!("`{repo}` is no name of a repository")));
        }
        let path = self.cache.join(format!("{name}.git"));
        let wanted = self.wanted.lock().expect("no holder panics").get(repo).cloned();
        let mirror = Mirror { path, repo: repo.to_owned(), wanted: wanted.unwrap_or_default() };
        if commits.iter().all(|commit| mirror.has(commit)) && !self.is_to_be_asked(&mirror) {
            return Ok(mirror);
        }
        fs::create_dir_all(&self.cache)?;
        let _lock = crate::image::once::lock(&self.cache.join(format!("{name}.lock"))).await?;
        mirror.make()?;
        self.fetch_wanted(&mirror).await;
        for commit in commits {
            if !mirror.has(commit) {
                self.fetch(&mirror, commit).await?;
            }
        }
        Ok(mirror)
    }

    /// Whether there are wanted commits that nobody has asked for yet.
    fn is_to_be_asked(&self, mirror: &Mirror) -> bool {
        let asked = self.asked.lock().expect("no holder panics");
        mirror.wanted.len() > 1 && !asked.contains(&mirror.repo)
    }

    /// All wanted commits at once, which is less work for both sides than one after the other. What
    /// does not come is asked for again, and missed, when its image is made.
    async fn fetch_wanted(&self, mirror: &Mirror) {
        if !self.is_to_be_asked(mirror) {
            return;
        }
        let missing: Vec<&String> = mirror.wanted.iter().filter(|id| !mirror.has(id)).collect();
        for place in self.places(&mirror.repo).0 {
            if missing.is_empty() || mirror.fetch_from(&place, &missing).await.is_ok() {
                break;
            }
            // One that a clone lacks makes it refuse all; asking by ones costs nothing there.
            for commit in missing.iter().filter(|_| Path::new(&place).is_absolute()) {
                let _ = mirror.fetch_from(&place, &[commit]).await;
            }
        }
        self.asked.lock().expect("no holder panics").insert(mirror.repo.clone());
    }

    /// Where to look for a repository, and what is to be said of where not.
    fn places(&self, repo: &str) -> (Vec<String>, Vec<String>) {
        let (mut places, mut tried) = (Vec::new(), Vec::new());
        if let Some(clones) = &self.clones {
            match find_clone(clones, repo) {
                Some(found) => places.push(found.to_string_lossy().into_owned()),
                None => tried.push(format!("{}: no clone of it there", clones.display())),
            }
        }
        places.push(format!("{}/{repo}", self.url.trim_end_matches('/')));
        (places, tried)
    }

    async fn fetch(&self, mirror: &Mirror, commit: &str) -> Result<(), RepoError> {
        let (places, mut tried) = self.places(&mirror.repo);
        for place in places {
            match mirror.fetch_one(&place, commit).await {
                Ok(()) if mirror.has(commit) => return Ok(()),
                Ok(()) => tried.push(format!("{place}: it does not have it")),
                Err(RepoError::NoGit(error)) => return Err(RepoError::NoGit(error)),
                Err(error) => tried.push(format!("{place}: {error}")),
            }
        }
        Err(RepoError::NoCommit {
            repo: mirror.repo.clone(),
            commit: commit.to_owned(),
            tried: tried.join("\n"),
        })
    }
}

impl Mirror {
    pub(super) fn open(&self) -> Result<Repository, RepoError> {
        Repository::open_bare(&self.path)
            .map_err(RepoError::library(format!("open the mirror {}", self.path.display())))
    }

    /// Whether the commit is here. All its history is then here too: objects come by `git fetch`
    /// alone, which sees to that before it keeps them.
    fn has(&self, commit: &str) -> bool {
        let Ok(id) = Oid::from_str(commit) else { return false };
        self.path.exists() && self.open().is_ok_and(|repository| repository.find_commit(id).is_ok())
    }

    /// Removes what a killed fetch left behind: its locks would stop every later one. The caller holds
    /// the mirror's lock, but a git of a killed evalrun may still be at work: what is young stays.
    fn sweep(&self) -> Result<(), RepoError> {
        for entry in walkdir::WalkDir::new(&self.path) {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name().to_string_lossy();
            let age = if name.ends_with(".lock") {
                STALE_LOCK
            } else if name.starts_with("tmp_") && !entry.file_type().is_dir() {
                STALE_DATA
            } else {
                continue;
            };
            let modified = entry.metadata().ok().and_then(|metadata| metadata.modified().ok());
            if modified.and_then(|time| time.elapsed().ok()).is_some_and(|passed| passed > age) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn make(&self) -> Result<(), RepoError> {
        if self.path.join("HEAD").exists() {
            return self.sweep();
        }
        let repository = Repository::init_bare(&self.path)
            .map_err(RepoError::library(format!("make {}", self.path.display())))?;
        let mut config = repository.config().map_err(RepoError::library("configure the mirror"))?;
        // Instances are checked out while another fetch runs: nothing may be repacked under them.
        config.set_i32("gc.auto", 0).map_err(RepoError::library("configure the mirror"))?;
        config
            .set_bool("maintenance.auto", false)
            .map_err(RepoError::library("configure the mirror"))
    }

    /// Fetches these commits with all their history, and the tags of what comes.
    async fn fetch_from(&self, place: &str, commits: &[&String]) -> Result<(), RepoError> {
        let mut wanted = Vec::new();
        for commit in commits {
            if Oid::from_str(commit).is_err() || commit.len() < 40 {
                return Err(RepoError::Content(format!("`{commit}` is no full commit id")));
            }
            wanted.push(format!("+{commit}:refs/evalrun/{commit}"));
        }
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        self.fetch_refs(place, &wanted).await
    }

    async fn fetch_refs(&self, place: &str, wanted: &[&str]) -> Result<(), RepoError> {
        let upload = format!("--upload-pack={UPLOAD_PACK}");
        let mut args = vec!["fetch", "--quiet", "--no-write-fetch-head", "--update-shallow"];
        if Path::new(place).is_absolute() {
            args.push(&upload);
        }
        git(&self.path, &[&args[..], &[place], wanted].concat(), "").await.map(drop)
    }

    async fn fetch_one(&self, place: &str, commit: &str) -> Result<(), RepoError> {
        let direct = self.fetch_from(place, &[&commit.to_owned()]).await;
        let Err(error) = direct else { return Ok(()) };
        // A server may refuse to give commits by their id; then all its branches are taken.
        let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        self.fetch_refs(place, &all).await.map_err(|_| error)?;
        if self.has(commit) {
            let keep = format!("refs/evalrun/{commit}");
            git(&self.path, &["update-ref", &keep, commit], "").await?;
        }
        Ok(())
    }
}

/// The clone of `owner/name` in a directory of clones, bare or not, under any usual name.
pub(super) fn find_clone(clones: &Path, repo: &str) -> Option<PathBuf> {
    // git starts the other side in its own directory: a relative path would be lost.
    let clones = fs::canonicalize(clones).ok()?;
    let stems = [repo.to_owned(), repo.replace('/', "__"), repo.replace('/', "+")];
    stems.iter().find_map(|stem| {
        ["", ".git", "/repo", "/repo.git"]
            .iter()
            .map(|end| clones.join(format!("{stem}{end}")))
            .find_map(|path| git_dir(&path))
    })
}

/// The git directory at a path: the path itself if it is bare, else its `.git`.
fn git_dir(path: &Path) -> Option<PathBuf> {
    let is_one = |dir: &Path| dir.join("HEAD").is_file() && dir.join("objects").is_dir();
    let inner = path.join(".git");
    if is_one(path) {
        Some(path.to_owned())
    } else if is_one(&inner) {
        Some(inner)
    } else if inner.is_file() {
        // A work tree or submodule whose git directory is elsewhere: git itself follows it.
        Some(path.to_owned())
    } else {
        None
    }
}
