//! Digests: SHA-256 of a file, equal to the output of `sha256sum`, and the short name of a signing key.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::hex;
use crate::short_text::UnexpectedText;

/// Bytes that one read of a file asks for.
const PIECE_LEN_BYTES: usize = 1 << 18;

/// SHA-256 of all bytes of a file, written as 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; Self::LEN]);

impl Digest {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Computes the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut digester = Digester::new();
        digester.update(bytes);
        digester.finish()
    }

    /// Computes the digest of the file `path`, which is read once from front to back.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn of_file(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut digester = Digester::new();
        let mut piece = vec![0; PIECE_LEN_BYTES];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(digester.finish()),
                Ok(filled) => digester.update(&piece[..filled]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the bytes of the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// Computes a digest of bytes that arrive piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Digester(Sha256);

impl Digester {
    /// Starts a digest, with no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of all bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, formatter)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = UnexpectedText;

    fn from_str(text: &str) -> Result<Self, UnexpectedText> {
        hex::read(text).map(Self).ok_or_else(|| UnexpectedText::new("64 hexadecimal digits in lower case", text))
    }
}

/// Short name of a key pair: the first bytes of the SHA-256 of the public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub(crate) [u8; Self::LEN]);

impl KeyId {
    /// Length in bytes.
    pub const LEN: usize = 8;

    /// The id of a public key.
    pub(crate) fn of(public_key: &[u8]) -> Self {
        let digest = Digest::of(public_key);
        Self(*digest.as_bytes().first_chunk().unwrap_or(&[0; Self::LEN]))
    }

    /// Returns the bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// From the standard, FIPS 180-4.
    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        assert_eq!(Digest::of(b"abc").to_string(), OF_ABC);
    }

    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let mut digester = Digester::new();
        digester.update(b"a");
        digester.update(b"");
        digester.update(b"bc");
        assert_eq!(digester.finish(), Digest::of(b"abc"));
    }

    #[test]
    fn the_text_is_read_back() {
        assert_eq!(OF_ABC.parse(), Ok(Digest::of(b"abc")));
    }

    #[test]
    fn any_other_text_is_rejected() {
        let texts = [
            String::new(),
            OF_ABC[1..].to_owned(),
            format!("{OF_ABC}0"),
            OF_ABC.to_uppercase(),
            OF_ABC.replace('b', "g"),
            OF_ABC.replacen("ba", "é", 1),
        ];
        for text in texts {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }
}
