//! `omomi keygen` and `omomi sign`: who vouches for a weight file.

use std::path::PathBuf;

use omomi::Error;
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys};
use omomi_train::pack::signing::{PrivateKey, sign_file};
use omomi_train::pack::writer::WriteError;

use crate::Failure;
use crate::refusal::Refusal;
use crate::text::say;

/// Make a key pair to sign weight files with
///
/// The private key is for its owner alone to read: keep it where files are signed, and nowhere else. The public key, NAME.pub, goes to every
/// server and into the limits of the store. To replace a key, let servers trust both, sign with the new one, then forget the old one.
#[derive(clap::Args)]
pub(crate) struct KeygenArguments {
    /// The file of the private key; the public key gets the same name with .pub behind it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Sign a weight file, which is verified first
///
/// The signature covers everything that the file says, but for an earlier signature, whose place it takes. The signed file is
/// written whole or not at all, and never over an existing name.
#[derive(clap::Args)]
pub(crate) struct SignArguments {
    /// The weight file
    file: PathBuf,
    /// The private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The signed weight file to make
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What signatures have to do with whether a file is accepted.
#[derive(clap::Args)]
pub(crate) struct SignatureArguments {
    /// Whether the file has to be signed by one of the keys; `accept` refuses wrong signatures only
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    signature: Option<SignaturePolicy>,
    /// Public keys that are trusted
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "signature")]
    keys: Vec<PathBuf>,
}

fn policy(word: &str) -> Result<SignaturePolicy, &'static str> {
    SignaturePolicy::from_word(word).ok_or("expected off, accept or require")
}

impl SignatureArguments {
    /// The policy and its keys, if there is a policy.
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
    say!("  generation {}, as before", model.generation());
    Ok(())
}
