//! What an agent proposes for an instance.

use super::{Digest, InstanceId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One candidate patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The task it is for.
    pub instance_id: InstanceId,
    /// `model_name_or_path` as given; see [`Prediction::model_dir`] for its form in paths.
    pub model: Arc<str>,
    /// `model_patch`; null and the empty text are the same: an empty patch.
    pub patch: Option<String>,
    /// Which attempt of this model at this instance: 1, 2, …
    pub attempt: u32,
}

/// What tells one prediction of a run from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PredictionKey {
    /// The model.
    pub model: Arc<str>,
    /// The task.
    pub instance_id: InstanceId,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl Prediction {
    /// Its identity in a run.
    #[must_use]
    pub fn key(&self) -> PredictionKey {
        PredictionKey {
            model: self.model.clone(),
            instance_id: self.instance_id.clone(),
            attempt: self.attempt,
        }
    }

    /// Whether there is nothing to apply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patch.as_deref().unwrap_or("").is_empty()
    }

    /// Digest of the patch text; of the empty text for none.
    #[must_use]
    pub fn patch_digest(&self) -> Digest {
        Digest::of(self.patch.as_deref().unwrap_or(""))
    }

    /// The model's name as a directory: `/` becomes `__`.
    #[must_use]
    pub fn model_dir(&self) -> String {
        self.model.replace('/', "__")
    }
}

impl fmt::Display for PredictionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.instance_id, self.model)?;
        if self.attempt > 1 {
            write!(f, ", attempt {}", self.attempt)?;
        }
        Ok(())
    }
}
