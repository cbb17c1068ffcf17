//! `current`: the generation that was published last.

use std::fmt;
use std::str::FromStr;

use super::{Digest, UnexpectedText, generation_text, parse_generation};

/// The generation that was published last. Its text is `000042 <digest>` and a line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Current {
    /// Generation of the weight file.
    pub generation: u64,
    /// Digest of the weight file's bytes. It distinguishes the published file from any other file with the same name.
    pub digest: Digest,
}

impl fmt::Display for Current {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} {}", generation_text(self.generation), self.digest)
    }
}

impl FromStr for Current {
    type Err = UnexpectedText;

    fn from_str(text: &str) -> Result<Self, UnexpectedText> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let parse = || {
            let (generation, digest) = line.split_once(' ')?;
            Some(Self { generation: parse_generation(generation)?, digest: digest.parse().ok()? })
        };
        parse().ok_or_else(|| UnexpectedText::new("a generation and a digest, such as `000042 9f86d0...`", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_text_is_read_back_with_and_without_its_line_end() {
        let current = Current { generation: 42, digest: Digest::of(b"abc") };
        let text = format!("000042 {DIGEST}\n");
        assert_eq!(current.to_string(), text);
        assert_eq!(text.parse(), Ok(current));
        assert_eq!(text.trim_end().parse(), Ok(current));
    }

    #[test]
    fn any_other_text_is_rejected() {
        let texts = [
            String::new(),
            "\n".to_owned(),
            "000042".to_owned(),
            "000042 ".to_owned(),
            format!(" {DIGEST}"),
            format!("000042  {DIGEST}"),
            format!("000042\t{DIGEST}"),
            format!(" 000042 {DIGEST}"),
            format!("+42 {DIGEST}"),
            format!("-42 {DIGEST}"),
            format!("0x42 {DIGEST}"),
            format!("18446744073709551616 {DIGEST}"),
            format!("000042 {DIGEST}\n\n"),
            format!("000042 {DIGEST}\r\n"),
            format!("000042 {DIGEST} "),
            format!("000042 {}", &DIGEST[1..]),
            format!("000042 {DIGEST}0"),
            format!("000042 {}", DIGEST.to_uppercase()),
        ];
        for text in texts {
            assert!(text.parse::<Current>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_not_shown_whole() {
        let error = "x".repeat(4_000).parse::<Current>().unwrap_err();
        assert!(error.found.len() < 100 && error.found.ends_with("and more"), "{error}");
    }
}
