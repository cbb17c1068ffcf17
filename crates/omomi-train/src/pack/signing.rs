//! Signs weight files: creates and stores key pairs, and adds signatures to files.

use std::fmt;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey};

use super::draft::Draft;
use super::writer::{PendingFile, WriteError};
use crate::bucket::load_bytes;
use omomi::error::Error;
use omomi::hex;
use omomi::new_file::NewFile;
use omomi::score::Model;
use omomi::weight_file::WeightFile;
use omomi::weight_file::layout::{self, SIGNATURE_LEN, SectionKind};
use omomi::weight_file::map::LoadMode;
use omomi::weight_file::signature::{KeyId, PublicKey, key_text, not_a_key, signed_bytes};

/// The word before a private key in its file.
const PRIVATE_KEY_WORD: &str = "ed25519-private";

/// The private half of a key pair, which signs. Its bytes are overwritten when it is dropped, and it is never printed.
pub struct PrivateKey(SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PrivateKey({})", self.public().id())
    }
}

impl PrivateKey {
    /// Creates a new key from the random numbers of the operating system.
    #[must_use]
    pub fn generate() -> Self {
        Self(SigningKey::from_bytes(&rand::random()))
    }

    /// Reads a key from its file.
    ///
    /// # Errors
    ///
    /// Returns [`Error::File`] if the file cannot be read. Returns [`Error::InvalidArgument`] if it is not a private
    /// key, or if users other than its owner may read it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let failed = |source| Error::File { action: "read the key", path: path.to_owned(), source };
        let text = key_text(path)?;
        let mode = path.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let problem = format!("expected a key that only its owner may read, found mode {mode:04o}; use chmod 600");
            return Err(not_a_key(path, &problem));
        }
        let digits = text.trim_end().strip_prefix(PRIVATE_KEY_WORD).and_then(|rest| rest.strip_prefix(' '));
        let bytes = digits.and_then(hex::read);
        let bytes = bytes.ok_or_else(|| not_a_key(path, "expected `ed25519-private` and 64 hexadecimal digits"))?;
        Ok(Self(SigningKey::from_bytes(&bytes)))
    }

    /// Writes the key to `path`, so that only its owner may read it. Writes the public key to a file beside it, whose
    /// name has `.pub` added. Returns the path of the public key.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if a file with either name exists, because an overwritten key would be lost.
    /// Returns [`Error::File`] if a file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let path = path.as_ref();
        let mut public_path = path.as_os_str().to_owned();
        public_path.push(".pub");
        let public_path = PathBuf::from(public_path);
        let private = text_file(path, &format!("{PRIVATE_KEY_WORD} {}\n", Hex(&self.0.to_bytes())), 0o600)?;
        let public = text_file(&public_path, &format!("{}\n", self.public()), 0o644)?;
        public.commit().map_err(failed(&public_path))?;
        private.commit().map_err(failed(path))?;
        Ok(public_path)
    }

    /// Returns the public half of the key pair, which verifies.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key())
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(self.0, formatter)
    }
}

/// Writes a text file that does not have its name yet. Sets the mode before it writes the text.
fn text_file(path: &Path, text: &str, mode: u32) -> Result<NewFile, Error> {
    let new_file = NewFile::create(path, false).map_err(failed(path))?;
    new_file.file().set_permissions(Permissions::from_mode(mode)).map_err(failed(path))?;
    new_file.file().write_all(text.as_bytes()).map_err(failed(path))?;
    Ok(new_file)
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error {
    |error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            not_a_key(path, "expected a new name, found an existing file: overwriting it would lose a key")
        }
        _ => Error::File { action: "write", path: path.to_owned(), source: error },
    }
}

/// Adds a signature to the bytes of a weight file, or replaces the signature that it has. The content of the file does
/// not change otherwise. The same file and key give the same bytes.
///
/// # Errors
///
/// Returns a [`WriteError`] if the bytes are not a weight file.
pub fn sign(file: Vec<u8>, key: &PrivateKey) -> Result<Vec<u8>, WriteError> {
    let key_id = key.public().id();
    let draft = Draft::of_file(file)?.with_section(SectionKind::Signature, &section(key_id, &[0; 64]))?;
    // Seal once to compute the file id, which is signed and does not depend on the signature.
    let unsigned = WeightFile::open(draft.seal())?;
    let signature = key.0.sign(&signed_bytes(&unsigned));
    let mut draft = Draft::of_file(unsigned.into_inner())?;
    draft.replace(SectionKind::Signature, &section(key_id, &signature.to_bytes()))?;
    Ok(draft.seal())
}

/// Verifies the weight file at `path`, signs it and writes the signed file to `out`. The file gets its name only after
/// it is complete and verified.
///
/// # Errors
///
/// Returns a [`WriteError`] if the file cannot be read or verified, if a file exists at `out`, or if writing fails. An
/// existing file at `out` is never touched.
pub fn sign_file(path: impl AsRef<Path>, key: &PrivateKey, out: impl AsRef<Path>) -> Result<Arc<Model>, WriteError> {
    let path = path.as_ref();
    let out = out.as_ref();
    let pending = PendingFile::create(out)?;
    let bytes = load_bytes(path, LoadMode::Copy)?.as_ref().to_vec();
    // A file that a server would reject must not be signed.
    let Some(bytes) = Model::from_bytes(bytes)?.into_bytes() else { unreachable!("the model is held here alone") };
    pending.write(sign(bytes, key)?)
}

fn section(key: KeyId, signature: &[u8; 64]) -> Vec<u8> {
    let mut bytes = layout::SIGNATURE_ED25519.to_le_bytes().to_vec();
    bytes.resize(layout::SIGNATURE_KEY_ID_OFFSET, 0);
    bytes.extend(key.as_bytes());
    bytes.extend(signature);
    debug_assert_eq!(bytes.len(), SIGNATURE_LEN);
    bytes
}
