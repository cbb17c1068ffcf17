//! `pardons`: contents that people have taken out of quarantine.

use std::fmt;
use std::str::FromStr;

use super::{Digest, UnexpectedText, generation_text, parse_generation};

/// An order to take a content out of quarantine. Each server obeys it once: what it finds out afterwards counts again.
/// Its text is `000042 <digest> <time>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pardon {
    /// Generation under which the content was published.
    pub generation: u64,
    /// Digest of the content.
    pub digest: Digest,
    /// When the order was given, in nanoseconds since 1970. It tells one order from the next.
    pub unix_nanoseconds: u64,
}

/// The pardons of a store, one in each line, the latest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pardons(pub Vec<Pardon>);

impl Pardons {
    /// Maximum number of pardons that a store keeps.
    pub const MAX_LEN: usize = 32;
}

impl fmt::Display for Pardon {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", generation_text(self.generation), self.digest, self.unix_nanoseconds)
    }
}

impl fmt::Display for Pardons {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|pardon| writeln!(formatter, "{pardon}"))
    }
}

impl FromStr for Pardons {
    type Err = UnexpectedText;

    fn from_str(text: &str) -> Result<Self, UnexpectedText> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let pardons: Option<Vec<Pardon>> = lines.map(parse).collect();
        pardons.map(Self).ok_or_else(|| {
            UnexpectedText::new("lines of a generation, a digest and a time, as `omomi unquarantine` writes them", text)
        })
    }
}

fn parse(line: &str) -> Option<Pardon> {
    let mut words = line.split_whitespace();
    let generation = parse_generation(words.next()?)?;
    let (digest, time) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(Pardon { generation, digest, unix_nanoseconds: time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pardons_are_read_back() {
        let pardon = |generation: u64| Pardon {
            generation,
            digest: Digest::of(&generation.to_le_bytes()),
            unix_nanoseconds: generation * 1_000,
        };
        for pardons in [vec![], vec![pardon(1)], vec![pardon(1), pardon(2)]] {
            let pardons = Pardons(pardons);
            assert_eq!(pardons.to_string().parse(), Ok(pardons));
        }
        for text in ["x", "000001", &format!("000001 {}", Digest::of(b"")), &format!("{} 7", pardon(1))] {
            assert!(text.parse::<Pardons>().is_err(), "{text}");
        }
    }
}
