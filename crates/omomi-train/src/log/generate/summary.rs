//! Summarizes a generated log: rows, clicks, log losses and files.

use std::path::PathBuf;

use super::Error;

/// The content of a generated log in numbers. Log losses use the natural logarithm and are per impression.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Number of rows in all files.
    pub rows: u64,
    /// Number of rows with a click.
    pub clicks: u64,
    /// Mean of the column `true_probability`.
    pub mean_true_probability: f64,
    /// Log loss of the true probabilities on the drawn clicks. A model can be better only by chance.
    pub bayes_log_loss: f64,
    /// The files with their sizes in bytes, in order of time.
    pub files: Vec<(PathBuf, u64)>,
}

impl Summary {
    /// Returns the observed CTR: clicks divided by rows.
    pub fn observed_ctr(&self) -> f64 {
        self.clicks as f64 / self.rows as f64
    }

    /// Returns the log loss of the best constant prediction, which is the observed CTR. It is 0 if all rows or none
    /// were clicked.
    pub fn constant_log_loss(&self) -> f64 {
        let ctr = self.observed_ctr();
        if ctr == 0.0 || ctr == 1.0 { 0.0 } else { -(ctr * ctr.ln() + (1.0 - ctr) * (1.0 - ctr).ln()) }
    }

    /// Returns the lowest normalized entropy that a model can expect: the Bayes log loss divided by the log loss of the
    /// best constant. Returns `None` if all rows or none were clicked, because the constant then has no loss.
    pub fn bayes_normalized_entropy(&self) -> Option<f64> {
        let constant = self.constant_log_loss();
        (constant > 0.0).then(|| self.bayes_log_loss / constant)
    }

    /// Returns the total size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Sums over rows. They are added in the order of the rows, so that any number of threads gives the same sums.
#[derive(Default)]
pub(super) struct RowTotals {
    rows: u64,
    clicks: u64,
    probability: f64,
    log_loss: f64,
}

impl RowTotals {
    pub(super) fn count(&mut self, true_probability: f64, clicked: bool) {
        self.rows += 1;
        self.clicks += u64::from(clicked);
        self.probability += true_probability;
        self.log_loss -= if clicked { true_probability.ln() } else { (1.0 - true_probability).ln() };
    }

    pub(super) fn add(&mut self, later: &RowTotals) {
        self.rows += later.rows;
        self.clicks += later.clicks;
        self.probability += later.probability;
        self.log_loss += later.log_loss;
    }

    pub(super) fn into_summary(self, paths: &[PathBuf]) -> Result<Summary, Error> {
        let size = |path: &PathBuf| match path.metadata() {
            Ok(metadata) => Ok((path.clone(), metadata.len())),
            Err(source) => Err(Error::Io { path: path.clone(), source }),
        };
        Ok(Summary {
            rows: self.rows,
            clicks: self.clicks,
            mean_true_probability: self.probability / self.rows as f64,
            bayes_log_loss: self.log_loss / self.rows as f64,
            files: paths.iter().map(size).collect::<Result<_, _>>()?,
        })
    }
}
