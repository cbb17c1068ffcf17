//! Who vouches for a weight file: its signature, held against the keys that are trusted.
//!
//! A public key is a text file, which `omomi keygen` makes beside the private one. While one key takes the place of another, both are trusted:
//! first every server learns the new one, then files are signed by it, then the old one is forgotten. At no time is a file refused.
//!
//! What [`SignaturePolicy::Require`] protects from: anybody who can write to the store, or to the disk or the network on the way there, but does not
//! have a private key. What it does not protect from: whoever can write the server's own keys, or replace its program; and a file that was signed once
//! stays signed, so an old generation is as good as a new one to it: which generation is served is a matter of the store.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};

use super::header::Record;
use super::layout::{self, KEY_ID_LEN, SectionKind};
use super::{Header, WeightFile};
use crate::digest::Digest;
use crate::error::Error;
use crate::hex;
use crate::short_text::{self, TextError};

/// Longest key file, in bytes.
pub(super) const MAX_KEY_TEXT_LEN: u64 = 1_024;

/// What stands in front of a public key in its file.
const PUBLIC_KEY_WORD: &str = "ed25519-public";

/// Short name of a key pair: the first bytes of the SHA-256 of the public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; KEY_ID_LEN]);

impl KeyId {
    fn of(key: &VerifyingKey) -> Self {
        let digest = Digest::of(key.as_bytes());
        Self(*digest.as_bytes().first_chunk().unwrap_or(&[0; KEY_ID_LEN]))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_ID_LEN] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, formatter)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyId({self})")
    }
}

/// The half of a key pair that verifies. Its text is `ed25519-public` and 64 hexadecimal digits.
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
    /// [`Error::File`] if it cannot be read; [`Error::InvalidArgument`] if it holds something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = key_text(path)?;
        text.parse().map_err(|problem| not_a_key(path, problem))
    }

    /// Its short name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
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
        key.map(Self).ok_or("expected a key that `omomi keygen` made, found digits that are no safe key")
    }
}

/// The text of a key file.
#[doc(hidden)]
pub fn key_text(path: &Path) -> Result<String, Error> {
    let absent = || std::io::Error::from(std::io::ErrorKind::NotFound);
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

/// The keys whose signatures are accepted: one, or two while one takes the place of the other, or more.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// These keys.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// Reads each key from its file.
    ///
    /// # Errors
    ///
    /// As [`PublicKey::read`].
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        paths.into_iter().map(|path| PublicKey::read(path.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    fn find(&self, id: KeyId) -> Option<&VerifyingKey> {
        self.0.iter().find(|key| key.id() == id).map(|key| &key.0)
    }

    fn ids(&self) -> String {
        if self.0.is_empty() {
            return "a known key, of which there is none".to_owned();
        }
        self.0.iter().map(|key| key.id().to_string()).collect::<Vec<_>>().join(" or ")
    }
}

/// What signatures have to do with whether a file is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SignaturePolicy {
    /// Nothing: they are not looked at.
    #[default]
    Off,
    /// A signature by a known key has to be right. Files without one, and with one by an unknown key, are accepted: for the time in which
    /// signing is introduced. It protects from nobody, who would just leave the signature away.
    Accept,
    /// A right signature by a known key has to be there.
    Require,
}

impl SignaturePolicy {
    /// Every policy, the most lenient first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Accept, Self::Require];

    /// `off`, `accept` or `require`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Accept => "accept",
            Self::Require => "require",
        }
    }

    /// The policy with that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.word() == word)
    }
}

/// What is known about who vouches for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureState {
    /// It was not looked at.
    NotChecked,
    /// The file has no signature.
    Unsigned,
    /// The file has a signature by a key that is not known, right or wrong.
    UnknownKey(KeyId),
    /// The file is as the owner of this key signed it.
    Signed(KeyId),
}

/// Holds the signature of a file against the trusted keys. Reads every byte of it, at the speed of SHA-256, unless the policy is
/// [`SignaturePolicy::Off`].
///
/// # Errors
///
/// [`Error::SignatureInvalid`] for bytes that the owner of the key did not sign; under [`SignaturePolicy::Require`] also
/// [`Error::SignatureMissing`] and [`Error::SignatureKeyUnknown`]; [`Error::UnknownRequired`] for a signature by another algorithm.
pub fn verify_signature<B: AsRef<[u8]>>(
    file: &WeightFile<B>,
    keys: &TrustedKeys,
    policy: SignaturePolicy,
) -> Result<SignatureState, Error> {
    if policy == SignaturePolicy::Off {
        return Ok(SignatureState::NotChecked);
    }
    let Some(SignatureSection { key: key_id, signature }) = SignatureSection::of(file)? else {
        return match policy {
            SignaturePolicy::Require => Err(Error::SignatureMissing { expected: keys.ids() }),
            SignaturePolicy::Accept | SignaturePolicy::Off => Ok(SignatureState::Unsigned),
        };
    };
    let Some(key) = keys.find(key_id) else {
        return match policy {
            SignaturePolicy::Require => Err(Error::SignatureKeyUnknown { expected: keys.ids(), found: key_id }),
            SignaturePolicy::Accept | SignaturePolicy::Off => Ok(SignatureState::UnknownKey(key_id)),
        };
    };
    match key.verify_strict(&signed_bytes(file), &signature) {
        Ok(()) => Ok(SignatureState::Signed(key_id)),
        Err(_) => Err(Error::SignatureInvalid { key: key_id }),
    }
}

/// A signature as it stands in a file.
struct SignatureSection {
    key: KeyId,
    signature: Signature,
}

impl SignatureSection {
    /// The signature of a file, or nothing where it has none.
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

/// The bytes that are signed: everything that the file says, as `FORMAT.md` lays it out.
#[doc(hidden)]
pub fn signed_bytes<B: AsRef<[u8]>>(file: &WeightFile<B>) -> Vec<u8> {
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
        bytes.extend(Digest::of(file.section_bytes(section)).as_bytes());
    }
    bytes
}
