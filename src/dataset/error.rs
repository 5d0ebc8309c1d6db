//! What is wrong with an input: all of it at once, each problem with place and remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// How many problems are shown; the rest is counted.
const SHOWN: usize = 20;
/// How many problems are kept; the rest is counted.
const KEPT: usize = 1000;

/// Why a data set or a file of predictions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The input is wrong.
    #[error(transparent)]
    Input(#[from] Problems),
    /// The hub could not be asked, or did not give what was asked for.
    #[error("{what}\n  hint: {hint}")]
    Hub {
        /// What happened, with the address and all causes.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A file of the cache could not be written or read.
    #[error(transparent)]
    Cache(#[from] std::io::Error),
}

impl From<Problem> for DatasetError {
    fn from(problem: Problem) -> Self {
        let mut problems = Problems::default();
        problems.push(problem);
        Self::Input(problems)
    }
}

impl DatasetError {
    /// The single problems of the input, where it is the input that is wrong.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Input(problems) => problems.list(),
            Self::Hub { .. } | Self::Cache(_) => &[],
        }
    }
}

/// One thing that is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the name of the input.
    pub path: PathBuf,
    /// Where in it.
    pub place: Option<Place>,
    /// The instance concerned, where it is known.
    pub id: Option<Box<str>>,
    /// The field concerned.
    pub field: Option<Box<str>>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: Option<Box<str>>,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line, from 1.
    Line(u64),
    /// A row of a table, from 1.
    Row(u64),
}

/// As it stands behind the file's name.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, ":{line}"),
            Self::Row(row) => write!(f, ": row {row}"),
        }
    }
}

impl Problem {
    /// A problem of a whole file, or of an input that is none.
    #[must_use]
    pub fn new(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            place: None,
            id: None,
            field: None,
            what: what.into(),
            remedy: None,
        }
    }

    /// The same at a line or row.
    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// The same, of this instance.
    #[must_use]
    pub fn of(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The same in a field.
    #[must_use]
    pub fn field(mut self, field: impl Into<Box<str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same with a remedy.
    #[must_use]
    pub fn hint(mut self, remedy: impl Into<Box<str>>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(place) = self.place {
            write!(f, "{place}")?;
        }
        if let Some(id) = &self.id {
            write!(f, ": {id}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": field `{field}`")?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  hint: {remedy}")?;
        }
        Ok(())
    }
}

/// Every problem of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    kept: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        if self.kept.len() < KEPT {
            self.kept.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// Those kept: the first thousand.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.kept
    }

    /// How many there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.len() + self.more
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Nothing, if there is no problem, else the error that holds them.
    pub(super) fn ok(self) -> Result<(), DatasetError> {
        if self.is_empty() { Ok(()) } else { Err(self.into()) }
    }

    /// Adds those of another list.
    pub(super) fn append(&mut self, other: Self) {
        self.more += other.more;
        for problem in other.kept {
            self.push(problem);
        }
    }

    /// Adds what an error says; what is no list of problems becomes one of this path.
    pub(super) fn extend(&mut self, error: DatasetError, path: &Path) {
        match error {
            DatasetError::Input(problems) => self.append(problems),
            other => self.push(Problem::new(path, other.to_string())),
        }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count();
        if count > 1 {
            write!(f, "{count} problems in the input:")?;
        }
        // One remedy serves many equal problems: it is shown under the last of them only.
        for (index, problem) in self.kept.iter().take(SHOWN).enumerate() {
            if count > 1 {
                f.write_str("\n")?;
            }
            let next = self.kept.get(index + 1).filter(|_| index + 1 < SHOWN);
            if next.is_some_and(|next| next.remedy == problem.remedy) {
                write!(f, "{}", Problem { remedy: None, ..problem.clone() })?;
            } else {
                write!(f, "{problem}")?;
            }
        }
        if count > SHOWN {
            write!(f, "\n… and {} more", count - SHOWN)?;
        }
        Ok(())
    }
}
