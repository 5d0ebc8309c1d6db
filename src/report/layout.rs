//! Where the files of a run are.

use crate::model::{InstanceId, PredictionKey};
use std::path::{Path, PathBuf};

/// The directory of a run, `reports/<run_id>/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The directory of this run below the directory of all reports.
    #[must_use]
    pub fn new(reports: &Path, run_id: &str) -> Self {
        Self(reports.join(run_id))
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `manifest.json`: what the run is, for people and scripts.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.0.join("manifest.json")
    }

    /// The report of a model, in the incumbent's form and under its name.
    #[must_use]
    pub fn summary(&self, model: &str, run_id: &str) -> PathBuf {
        self.0.join(format!("{}.{run_id}.json", model_dir(model)))
    }

    /// The directory of a prediction: `<model>/<instance>/`, for further attempts
    /// `<model>/attempt-<k>/<instance>/`.
    #[must_use]
    pub fn prediction(&self, key: &PredictionKey) -> PathBuf {
        let model = self.0.join(model_dir(&key.model));
        let attempt =
            if key.attempt > 1 { model.join(format!("attempt-{}", key.attempt)) } else { model };
        attempt.join(key.instance_id.as_str())
    }

    /// The `report.json` of a prediction.
    #[must_use]
    pub fn instance_report(&self, key: &PredictionKey) -> PathBuf {
        self.prediction(key).join("report.json")
    }

    /// Why these names cannot be directories side by side; the names must be known before
    /// anything is written.
    ///
    /// # Errors
    /// A sentence that names the model or the run id.
    pub fn check_names<'a>(
        run_id: &str,
        models: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), String> {
        if InstanceId::new(run_id).is_err() {
            return Err(format!(
                "`{run_id}` cannot be a run id: it has to be usable as a file name"
            ));
        }
        let mut taken = std::collections::BTreeMap::new();
        for model in models {
            let dir = model_dir(model);
            if InstanceId::new(&dir).is_err() || dir == crate::journal::FILE_NAME {
                return Err(format!("the model name `{model}` cannot be the name of a directory"));
            }
            if let Some(other) = taken.insert(dir, model)
                && other != model
            {
                return Err(format!(
                    "the models `{other}` and `{model}` would share one directory: rename one"
                ));
            }
        }
        Ok(())
    }
}

fn model_dir(model: &str) -> String {
    model.replace('/', "__")
}
