//! Checks the signature of a weight file against the trusted keys.
//!
//! A public key is a text file, which `omomi keygen` writes beside the private one. While one key replaces another,
//! both are trusted: first every server gets the new key, then files are signed with it, then the old key is removed.
//! No file is rejected at any time.
//!
//! [`SignaturePolicy::Require`] protects against anyone who can write to the store, or to the disk or the network on
//! the way there, but has no private key.
//!
//! # Limits
//!
//! It does not protect against anyone who can write the server's own keys, or replace its program. A file that was
//! signed once stays signed: the signature of an old generation is as valid as that of a new one. Which generation is
//! served is up to the store.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};

use super::header::Record;
use super::layout::{self, SectionKind};
use super::{Header, WeightFile};
use crate::digest::Digester;
pub use crate::digest::KeyId;
use crate::error::Error;
use crate::hex;
use crate::short_text::{self, TextError};

/// Longest key file, in bytes.
pub(super) const MAX_KEY_TEXT_LEN: u64 = 1_024;

/// The word before a public key in its file.
const PUBLIC_KEY_WORD: &str = "ed25519-public";

/// The public half of a key pair, which verifies. Its text is `ed25519-public` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(key: VerifyingKey) -> Self {
        Self(key)
    }

    /// Reads a key from its file.
    ///
    /// # Errors
    ///
    /// Returns [`Error::File`] if the file cannot be read, and [`Error::InvalidArgument`] if it does not contain a
    /// public key.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = key_text(path)?;
        text.parse().map_err(|problem| not_a_key(path, problem))
    }

    /// Returns the id of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId::of(self.0.as_bytes())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PUBLIC_KEY_WORD} ")?;
        hex::write(self.0.as_bytes(), formatter)
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.trim_end().strip_prefix(PUBLIC_KEY_WORD).and_then(|rest| rest.strip_prefix(' '));
        let bytes = digits.and_then(hex::read).ok_or("expected `ed25519-public` and 64 hexadecimal digits")?;
        let key = VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak());
        key.map(Self).ok_or("expected a key from `omomi keygen`, found digits that are not a safe key")
    }
}

/// Reads the text of a key file.
#[doc(hidden)]
pub fn key_text(path: &Path) -> Result<String, Error> {
    let absent = || std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file");
    match short_text::read(path, MAX_KEY_TEXT_LEN) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(Error::File { action: "open the key", path: path.to_owned(), source: absent() }),
        Err(TextError::Io { action, source }) => Err(Error::File { action, path: path.to_owned(), source }),
        Err(TextError::Unexpected { expected, found }) => {
            Err(not_a_key(path, &format!("expected {expected}, found {found}")))
        }
    }
}

#[doc(hidden)]
#[must_use]
pub fn not_a_key(path: &Path, problem: &str) -> Error {
    Error::InvalidArgument { argument: "key", problem: format!("{}: {problem}", path.display()) }
}

/// The keys whose signatures are accepted: one, or several while one key replaces another.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// Creates a set of these keys.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// Reads each key from its file.
    ///
    /// # Errors
    ///
    /// Fails like [`PublicKey::read`].
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        paths.into_iter().map(PublicKey::read).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the keys.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    fn find(&self, id: KeyId) -> Option<&VerifyingKey> {
        self.0.iter().find(|key| key.id() == id).map(|key| &key.0)
    }

    fn ids(&self) -> String {
        if self.0.is_empty() {
            return "a trusted key, but there are none".to_owned();
        }
        self.0.iter().map(|key| key.id().to_string()).collect::<Vec<_>>().join(" or ")
    }
}

/// How signatures affect whether a file is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SignaturePolicy {
    /// Signatures are ignored.
    #[default]
    Off,
    /// A signature by a trusted key must be valid. Files without a signature, or with one by an unknown key, are
    /// accepted. For the time while signing is being introduced: it does not protect against an attacker, who would
    /// just omit the signature.
    Accept,
    /// The file must have a valid signature by a trusted key.
    Require,
}

impl SignaturePolicy {
    /// Every policy, from the most lenient to the strictest.
    pub const ALL: [Self; 3] = [Self::Off, Self::Accept, Self::Require];

    /// Returns `off`, `accept` or `require`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Accept => "accept",
            Self::Require => "require",
        }
    }

    /// Returns the policy with that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.word() == word)
    }
}

/// The result of checking the signature of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureState {
    /// The signature was not checked.
    NotChecked,
    /// The file has no signature.
    Unsigned,
    /// The file has a signature by an unknown key, which may be valid or not.
    UnknownKey(KeyId),
    /// The file has a valid signature by this key.
    Signed(KeyId),
}

/// Checks the signature of a file against the trusted keys. Unless the policy is [`SignaturePolicy::Off`], it reads
/// every byte of the file, at the speed of SHA-256.
///
/// # Errors
///
/// Returns [`Error::SignatureInvalid`] if the owner of the key did not sign these bytes, and [`Error::UnknownRequired`]
/// if the signature uses another algorithm. Under [`SignaturePolicy::Require`], also returns
/// [`Error::SignatureMissing`] and [`Error::SignatureKeyUnknown`].
pub fn verify_signature<B: AsRef<[u8]>>(
    file: &WeightFile<B>,
    keys: &TrustedKeys,
    policy: SignaturePolicy,
) -> Result<SignatureState, Error> {
    verify_signature_asking(file, keys, policy, &mut || Ok(()))
}

/// Checks a signature like [`verify_signature`]. Calls `go_on` once per megabyte, and stops with the error that it
/// returns.
pub(crate) fn verify_signature_asking<B: AsRef<[u8]>, E: From<Error>>(
    file: &WeightFile<B>,
    keys: &TrustedKeys,
    policy: SignaturePolicy,
    go_on: &mut dyn FnMut() -> Result<(), E>,
) -> Result<SignatureState, E> {
    if policy == SignaturePolicy::Off {
        return Ok(SignatureState::NotChecked);
    }
    let Some(SignatureSection { key: key_id, signature }) = SignatureSection::of(file)? else {
        return match policy {
            SignaturePolicy::Require => Err(Error::SignatureMissing { expected: keys.ids() }.into()),
            SignaturePolicy::Accept | SignaturePolicy::Off => Ok(SignatureState::Unsigned),
        };
    };
    let Some(key) = keys.find(key_id) else {
        return match policy {
            SignaturePolicy::Require => Err(Error::SignatureKeyUnknown { expected: keys.ids(), found: key_id }.into()),
            SignaturePolicy::Accept | SignaturePolicy::Off => Ok(SignatureState::UnknownKey(key_id)),
        };
    };
    match key.verify_strict(&signed_bytes_asking(file, go_on)?, &signature) {
        Ok(()) => Ok(SignatureState::Signed(key_id)),
        Err(_) => Err(Error::SignatureInvalid { key: key_id }.into()),
    }
}

/// The signature section of a file.
struct SignatureSection {
    key: KeyId,
    signature: Signature,
}

impl SignatureSection {
    /// Returns the signature of a file, or nothing if it has none.
    fn of<B: AsRef<[u8]>>(file: &WeightFile<B>) -> Result<Option<Self>, Error> {
        let bytes = file.section(SectionKind::Signature);
        if bytes.is_empty() {
            return Ok(None);
        }
        let record = Record(bytes);
        let algorithm = record.u32(layout::SIGNATURE_ALGORITHM_OFFSET);
        if algorithm != layout::SIGNATURE_ED25519 {
            return Err(Error::UnknownRequired { what: "signature algorithm", found: algorithm });
        }
        let key = bytes.get(layout::SIGNATURE_KEY_ID_OFFSET..).and_then(|bytes| bytes.first_chunk());
        let signature = bytes.get(layout::SIGNATURE_BYTES_OFFSET..).and_then(|bytes| bytes.first_chunk());
        let (Some(key), Some(signature), 0) = (key, signature, record.u32(layout::SIGNATURE_ZEROS_OFFSET)) else {
            return Err(Error::Malformed { problem: "its signature section is not valid".to_owned() });
        };
        Ok(Some(Self { key: KeyId(*key), signature: Signature::from_bytes(signature) }))
    }
}

/// Returns the bytes that are signed. They cover everything that the file says; `FORMAT.md` (8) has their layout.
#[doc(hidden)]
pub fn signed_bytes<B: AsRef<[u8]>>(file: &WeightFile<B>) -> Vec<u8> {
    let Ok(bytes) = signed_bytes_asking(file, &mut || Ok::<(), std::convert::Infallible>(()));
    bytes
}

fn signed_bytes_asking<B: AsRef<[u8]>, E>(
    file: &WeightFile<B>,
    go_on: &mut dyn FnMut() -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let Header { format_version, oldest_reader, generation, file_id, sections, .. } = file.header();
    let sections = || sections.iter().filter(|section| section.kind_number != SectionKind::Signature.number());
    let section_count = u32::try_from(sections().count()).unwrap_or(u32::MAX);
    let mut bytes = layout::SIGNED_DOMAIN.to_vec();
    bytes.extend(format_version.to_le_bytes());
    bytes.extend(oldest_reader.to_le_bytes());
    bytes.extend(generation.to_le_bytes());
    bytes.extend(file_id);
    bytes.extend(section_count.to_le_bytes());
    bytes.extend([0; 4]);
    for section in sections() {
        let flags = if section.required { layout::FLAG_REQUIRED } else { 0 };
        bytes.extend(section.kind_number.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(section.len_bytes.to_le_bytes());
        let mut digester = Digester::new();
        for piece in file.section_bytes(section).chunks(layout::CHUNK_LEN) {
            go_on()?;
            digester.update(piece);
        }
        bytes.extend(digester.finish().as_bytes());
    }
    Ok(bytes)
}
