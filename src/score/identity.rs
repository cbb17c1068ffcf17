//! What a log says about the model that answered.

use std::sync::Arc;

use super::Model;
use crate::contract::Contract;
use crate::weight_file::Calibrator;

/// Names a model, and keeps what is needed to log its predictions. It outlives the weights.
#[derive(Debug)]
pub(crate) struct ModelIdentity {
    pub(crate) logic_id: Arc<str>,
    pub(crate) generation: u64,
    /// The first bytes of the SHA-256 of the weight file.
    pub(crate) digest: [u8; Self::DIGEST_LEN],
    pub(crate) contract: Contract,
    pub(crate) contract_fingerprint: u64,
    pub(crate) calibrator: Calibrator,
}

impl ModelIdentity {
    /// Bytes of the digest that are kept.
    pub(crate) const DIGEST_LEN: usize = 8;

    /// The identity of `model`, whose weight file has the SHA-256 `digest`.
    pub(crate) fn new(model: &Model, digest: &[u8; 32]) -> Self {
        let contract = model.contract().clone();
        Self {
            logic_id: Arc::from(model.logic_id()),
            generation: model.generation(),
            digest: *digest.first_chunk().unwrap_or(&[0; Self::DIGEST_LEN]),
            contract_fingerprint: contract.fingerprint(),
            contract,
            calibrator: model.calibrator(),
        }
    }
}
