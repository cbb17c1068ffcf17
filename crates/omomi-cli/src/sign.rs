//! `omomi keygen` and `omomi sign`: make key pairs and sign weight files.

use std::path::PathBuf;

use omomi::Error;
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys};
use omomi_train::pack::signing::{PrivateKey, sign_file};
use omomi_train::pack::writer::WriteError;

use crate::Failure;
use crate::output::say;
use crate::refusal::Refusal;

/// Make a key pair for signing weight files
///
/// Only the owner can read the file of the private key. Keep it where files are signed, and nowhere else. Copy the
/// public key, NAME.pub, to every server, and name it in the limits of the store. To replace a key, let servers trust
/// both keys, sign with the new one, then stop trusting the old one.
#[derive(clap::Args)]
pub(crate) struct KeygenArguments {
    /// File of the private key to write; the public key gets the same name with .pub added
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Verify a weight file and sign it
///
/// The signature covers the whole content of the file, except an earlier signature, which it replaces. The signed file
/// is written whole or not at all, and never over an existing file.
#[derive(clap::Args)]
pub(crate) struct SignArguments {
    /// Weight file to sign
    file: PathBuf,
    /// Private key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Signed weight file to write; the name must be new
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Whether a file must be signed to be accepted.
#[derive(clap::Args)]
pub(crate) struct SignatureArguments {
    /// Whether a signature by one of --keys is needed: off ignores signatures, accept only rejects wrong ones, require
    /// needs one
    #[arg(long, value_name = "off|accept|require", value_parser = policy)]
    signature: Option<SignaturePolicy>,
    /// Public keys to trust
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "signature")]
    keys: Vec<PathBuf>,
}

fn policy(word: &str) -> Result<SignaturePolicy, &'static str> {
    SignaturePolicy::from_word(word).ok_or("expected off, accept or require")
}

impl SignatureArguments {
    /// Returns the policy and its keys, or `None` if no policy was given.
    pub(crate) fn read(&self) -> Result<Option<(SignaturePolicy, TrustedKeys)>, Error> {
        let Some(policy) = self.signature else { return Ok(None) };
        Ok(Some((policy, TrustedKeys::read(&self.keys)?)))
    }
}

pub(crate) fn run_keygen(arguments: &KeygenArguments) -> Result<(), Failure> {
    let key = PrivateKey::generate();
    let public_path = key.write(&arguments.out).map_err(|error| Refusal::from(error).report(false))?;
    say!("Private key {}: {}", key.public().id(), arguments.out.display());
    say!("Public key:                   {}", public_path.display());
    Ok(())
}

pub(crate) fn run_sign(arguments: &SignArguments) -> Result<(), Failure> {
    let refuse = |error: WriteError| match error {
        WriteError::File(error) => Refusal::from(error).about(arguments.file.display()).report(false),
        other => other.into(),
    };
    let key = PrivateKey::read(&arguments.key).map_err(|error| Refusal::from(error).report(false))?;
    let model = sign_file(&arguments.file, &key, &arguments.out).map_err(refuse)?;
    say!("Signed by the key {}, verified and read-only: {}", key.public().id(), arguments.out.display());
    say!("  generation {} (unchanged)", model.generation());
    Ok(())
}
