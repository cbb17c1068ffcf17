//! `control`: the orders by which people decide whether servers score, and what they serve.
//!
//! Two orders are in force at any time. Whether to score: `on` or `off`. What to serve: `follow` (what is published),
//! `freeze` or `pin` (one generation). Commands write both, in one line: `on pin 000041 <digest>`. People may write the
//! file by hand, in any case and with any blanks. An order that the text does not name stays as it was.

use std::fmt;
use std::str::FromStr;

use super::{Current, Digest, UnexpectedText, generation_text, parse_generation};

/// The two orders in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Control {
    /// Whether servers score.
    pub scoring: Scoring,
    /// What servers serve.
    pub target: Target,
}

/// Whether servers score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scoring {
    /// They score.
    #[default]
    On,
    /// They do not: from the next request on, each server uses its own logic.
    Off,
}

/// What servers serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Target {
    /// What is published.
    #[default]
    Follow,
    /// What was served when the order was given, no matter what is published. The text names it. Without a name, as
    /// people may write it by hand, each server stays at what it serves.
    Freeze(Option<Named>),
    /// This generation, no matter what is published. It may be older than the served one.
    Pin(Named),
}

/// A generation that an order names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Named {
    /// The generation number.
    pub generation: u64,
    /// Digest of its weight file. `None` only in a text that was written by hand: any file of that name is meant.
    pub digest: Option<Digest>,
}

/// The orders that a text names. The others stay as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ControlText {
    /// Whether servers score.
    pub scoring: Option<Scoring>,
    /// What servers serve.
    pub target: Option<Target>,
}

impl Control {
    /// Whether servers must not score.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        matches!(self.scoring, Scoring::Off)
    }
}

impl Target {
    /// Returns the generation that the order names, if it names one.
    #[must_use]
    pub const fn named(&self) -> Option<Named> {
        match self {
            Self::Follow | Self::Freeze(None) => None,
            Self::Freeze(Some(named)) | Self::Pin(named) => Some(*named),
        }
    }
}

impl Named {
    /// Whether `current` is what the order names.
    #[must_use]
    pub fn is(&self, current: Current) -> bool {
        self.generation == current.generation && self.digest.is_none_or(|digest| digest == current.digest)
    }
}

impl From<Current> for Named {
    fn from(current: Current) -> Self {
        Self { generation: current.generation, digest: Some(current.digest) }
    }
}

impl ControlText {
    /// Returns the orders in force after this text, if `before` was in force until then.
    #[must_use]
    pub fn over(self, before: Control) -> Control {
        Control { scoring: self.scoring.unwrap_or(before.scoring), target: self.target.unwrap_or(before.target) }
    }
}

impl From<Control> for ControlText {
    fn from(control: Control) -> Self {
        Self { scoring: Some(control.scoring), target: Some(control.target) }
    }
}

impl fmt::Display for Scoring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Follow => formatter.write_str("follow"),
            Self::Freeze(None) => formatter.write_str("freeze"),
            Self::Freeze(Some(named)) => write!(formatter, "freeze {named}"),
            Self::Pin(named) => write!(formatter, "pin {named}"),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&generation_text(self.generation))?;
        match self.digest {
            Some(digest) => write!(formatter, " {digest}"),
            None => Ok(()),
        }
    }
}

/// Writes the text of the file without its line end.
impl fmt::Display for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.scoring, self.target)
    }
}

impl FromStr for ControlText {
    type Err = UnexpectedText;

    fn from_str(text: &str) -> Result<Self, UnexpectedText> {
        const EXPECTED: &str =
            "`on` or `off`, and `follow`, `freeze` or `pin` and a generation, such as `on pin 000041`";
        parse(text).ok_or_else(|| UnexpectedText::new(EXPECTED, text))
    }
}

impl FromStr for Control {
    type Err = UnexpectedText;

    /// Parses a text that may omit an order: it is then `on`, or `follow`.
    fn from_str(text: &str) -> Result<Self, UnexpectedText> {
        text.parse().map(|text: ControlText| text.over(Self::default()))
    }
}

fn parse(text: &str) -> Option<ControlText> {
    // An editor on another system may have added a byte order mark and carriage returns.
    let lower = text.trim_start_matches('\u{feff}').to_lowercase();
    let mut words = lower.split_whitespace().peekable();
    let mut found = ControlText::default();
    while let Some(word) = words.next() {
        match word {
            "on" if found.scoring.is_none() => found.scoring = Some(Scoring::On),
            "off" if found.scoring.is_none() => found.scoring = Some(Scoring::Off),
            // Each order may be named once: two of a kind would contradict each other.
            _ if found.target.is_some() => return None,
            "follow" => found.target = Some(Target::Follow),
            "freeze" => found.target = Some(Target::Freeze(named(&mut words))),
            "pin" => found.target = Some(Target::Pin(named(&mut words)?)),
            _ => return None,
        }
    }
    (found != ControlText::default()).then_some(found)
}

/// Takes a generation, and the digest after it if there is one.
fn named<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> Option<Named> {
    let generation = words.next_if(|word| parse_generation(word).is_some()).and_then(parse_generation)?;
    let digest = words.next_if(|word| word.parse::<Digest>().is_ok()).and_then(|word| word.parse().ok());
    Some(Named { generation, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(generation: u64, digest: Option<Digest>) -> Named {
        Named { generation, digest }
    }

    fn orders() -> Vec<Control> {
        let digest = Some(Digest::of(b"abc"));
        let targets = [
            Target::Follow,
            Target::Freeze(None),
            Target::Freeze(Some(named(42, digest))),
            Target::Pin(named(1_234_567, digest)),
            Target::Pin(named(41, None)),
        ];
        let both = |target| [Scoring::On, Scoring::Off].map(|scoring| Control { scoring, target });
        targets.into_iter().flat_map(both).collect()
    }

    #[test]
    fn both_orders_are_read_back_with_and_without_a_line_end() {
        for control in orders() {
            let text = control.to_string();
            assert_eq!(text.parse(), Ok(ControlText::from(control)), "{text}");
            assert_eq!(format!("{text}\n").parse(), Ok(control), "{text}");
        }
        let digest = Digest::of(b"abc");
        let pinned = Control { scoring: Scoring::Off, target: Target::Pin(named(41, Some(digest))) };
        assert_eq!(pinned.to_string(), format!("off pin 000041 {digest}"));
    }

    #[test]
    fn case_blanks_order_and_the_marks_of_editors_do_not_matter() {
        for control in orders() {
            let words = control.to_string();
            let (scoring, target) = words.split_once(' ').unwrap();
            for text in [
                words.to_uppercase(),
                format!("\u{feff}{words}\r\n"),
                format!("  {target}\t{scoring} \n\n"),
                format!("{target}\n{scoring}"),
            ] {
                assert_eq!(text.parse(), Ok(ControlText::from(control)), "{text:?}");
            }
        }
    }

    #[test]
    fn an_order_that_a_text_does_not_name_stays_as_it_was() {
        let pinned = Target::Pin(named(41, None));
        let before = Control { scoring: Scoring::Off, target: pinned };
        let over = |text: &str| text.parse::<ControlText>().unwrap().over(before);
        assert_eq!(over("on"), Control { scoring: Scoring::On, target: pinned });
        assert_eq!(over("off"), before);
        assert_eq!(over("freeze"), Control { scoring: Scoring::Off, target: Target::Freeze(None) });
        assert_eq!(over("follow"), Control { scoring: Scoring::Off, target: Target::Follow });
        assert_eq!(over("pin 7 on"), Control { scoring: Scoring::On, target: Target::Pin(named(7, None)) });
    }

    #[test]
    fn any_other_text_is_rejected() {
        let texts = [
            "",
            "\n",
            "\0\0\0",
            "of",
            "offf",
            "on off",
            "on on",
            "pin",
            "pin x",
            "pin -41",
            "pin 41 x",
            "pin 41 42",
            "41",
            "follow freeze",
            "pin 1 pin 2",
            "freeze 1 freeze",
            "pin 18446744073709551616",
            "on, follow",
        ];
        for text in texts {
            assert!(text.parse::<ControlText>().is_err(), "{text:?}");
        }
    }
}
